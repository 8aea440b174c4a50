"""A whole graph in one Process: the Process, and its ProcessModels."""
