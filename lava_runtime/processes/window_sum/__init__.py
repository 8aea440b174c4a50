"""A weighted sum over time, with which a slower stage begins: the Process, and its ProcessModels."""
