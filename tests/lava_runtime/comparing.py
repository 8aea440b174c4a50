"""Equality of traces, and the guards against vacuous equality."""

import numpy as np


def assert_equal_traces(actual, expected):
    """Every spike, membrane, threshold and clip of every neuron in every step."""
    assert set(actual) == set(expected)
    for name, layer in expected.items():
        assert np.array_equal(actual[name].s, layer.s), f"spikes of {name}"
        assert (actual[name].v is None) == (layer.v is None)
        assert layer.v is None or np.array_equal(actual[name].v, layer.v), f"membranes of {name}"
        assert (actual[name].theta is None) == (layer.theta is None)
        assert layer.theta is None or np.array_equal(actual[name].theta, layer.theta), f"thresholds of {name}"
        assert actual[name].saturations == layer.saturations, f"saturations of {name}"
        assert layer.v is None or actual[name].v.dtype == layer.v.dtype
        assert actual[name].s.dtype == np.uint8


class Liveliness:
    """What happened over all compared cases."""

    def __init__(self):
        self.num_spikes = self.num_silent = self.num_negative = self.num_saturated = self.num_moving = 0

    def see(self, trace):
        for layer in trace.values():
            self.num_spikes += int(layer.s.sum())
            self.num_silent += int((layer.s.sum(axis=(0, 1)) == 0).sum())
            self.num_negative += 0 if layer.v is None else int((layer.v < 0).sum())
            self.num_saturated += layer.saturations
            if layer.theta is not None:
                self.num_moving += len(np.unique(layer.theta)) > 1

    def assert_lively(self, *, saturating=False):
        assert self.num_spikes > 200 and self.num_silent > 20 and self.num_negative > 200 and self.num_moving > 0
        assert self.num_saturated > 10 or not saturating
