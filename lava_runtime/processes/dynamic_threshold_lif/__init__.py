"""LIF under a threshold that another Process sends: the Process, and its ProcessModels."""
