"""Reads a network: its forward runs, what it does is understood as time steps, and becomes nodes and edges."""
