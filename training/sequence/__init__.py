"""Spiking layers over whole sequences, for training: one call takes a layer through all its time steps.

Flow: currents of all steps (weights are applied to all of them at once) → `scan` → spikes of all steps. `scan` holds
the equations and their gradient; `kernels` (Numba), `eager` (torch) and `compiled` (torch.compile) hold the loops over
time, and `backends` chooses among them. `leaky` and `network` are the doors for snnTorch's own layers.
"""
