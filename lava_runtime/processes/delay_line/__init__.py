"""An edge that waits: the Process, and its ProcessModels."""
