"""LIF with reset by subtraction, or without reset: the Process, and its ProcessModels."""
