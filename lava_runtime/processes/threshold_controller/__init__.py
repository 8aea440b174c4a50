"""The threshold of a layer from spike counts and context: the Process, and its ProcessModels."""
