"""Products of two graded signals: the Process, and its ProcessModels."""
