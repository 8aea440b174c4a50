"""Granularity "fused": a whole graph, vectorised over a batch, inside one Lava Process."""
