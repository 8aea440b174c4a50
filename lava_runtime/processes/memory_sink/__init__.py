"""Messages and Vars into the parent's memory: the Process, and its ProcessModels."""
