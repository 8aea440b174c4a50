"""A membrane that never spikes: the Process, and its ProcessModel."""
