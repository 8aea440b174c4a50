"""Compiled loops of the fused runner (Numba): plain arrays in, plain arrays out, nothing known of graphs."""
