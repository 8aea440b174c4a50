"""A whole graph on a data set in memory: the Process, and its ProcessModels."""
