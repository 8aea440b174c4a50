"""Values out of the parent's memory: the Process, and its ProcessModels."""
