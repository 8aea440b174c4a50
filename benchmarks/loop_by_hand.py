"""The rival of the fused runner: one network's arithmetic and nothing else, written out by hand."""

from __future__ import annotations

import numpy as np

from export.trace import Array
from hardware_profiles.compiling import compiled


@compiled
def run_chain(spikes: Array, columns: Array, exponents: Array, keep: Array, heights: Array) -> Array:
    """Run a chain of Linear+LIF layers (hard reset) in integers and return the last layer's spike counts.

    Args:
        spikes: uint8 [T, B, n].
        columns: int8 [layers, n, n], the transposed weights.
        exponents: int32, left shift of each layer's sums.
        keep: int32, 4096 − dv of each layer.
        heights: int32, vth << 6 of each layer.

    Returns:
        int64 [B, n].
    """
    num_steps, batch, size = spikes.shape
    counts = np.zeros((batch, size), np.int64)
    events, fired = np.empty(size, np.int64), np.empty(size, np.uint8)
    total, part = np.empty(size, np.int32), np.empty(size, np.int16)
    for b in range(batch):
        membranes = np.zeros((len(columns), size), np.int32)
        for t in range(num_steps):
            fired[:] = spikes[t, b]
            for depth in range(len(columns)):
                add_weights(fired, columns[depth], events, part, total)
                fire(membranes[depth], total, exponents[depth] + 6, keep[depth], heights[depth], fired)
            for j in range(size):
                counts[b, j] += fired[j]
    return counts


@compiled
def add_weights(fired: Array, weights: Array, events: Array, part: Array, total: Array) -> None:
    """Overwrite `total` with the sum of the weights of what fired, 255 of them in int16 at a time."""
    size = len(total)
    count = 0
    for i in range(size):
        events[count] = i
        count += fired[i]
    total[:] = 0
    done = 0
    while done < count:
        end = min(done + 255, count)
        part[:] = 0
        while done + 4 <= end:
            w, x = weights[events[done]], weights[events[done + 1]]
            y, z = weights[events[done + 2]], weights[events[done + 3]]
            for j in range(size):
                part[j] += np.int16(w[j]) + np.int16(x[j]) + np.int16(y[j]) + np.int16(z[j])
            done += 4
        while done < end:
            w = weights[events[done]]
            for j in range(size):
                part[j] += w[j]
            done += 1
        for j in range(size):
            total[j] += part[j]


@compiled
def fire(v: Array, total: Array, shift: int, keep: int, height: int, fired: Array) -> None:
    """Let v become clip(rz(v · keep / 4096) + (total << shift)); what lies above the height fires and becomes 0."""
    for j in range(len(v)):
        magnitude = np.int32(abs(v[j]))
        low = np.int32(np.int32(np.int32(magnitude & 4095) * keep) >> 12)
        leaked = np.int32(np.int32(np.int32(magnitude >> 12) * keep) + low)
        state = np.int32((leaked if v[j] >= 0 else np.int32(-leaked)) + np.int32(total[j] << shift))
        state = min(max(state, np.int32(-8388607)), np.int32(8388607))
        fired[j] = state > height
        v[j] = 0 if state > height else state
