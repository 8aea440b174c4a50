"""Events of tensors: the integers of the compiled loops, whatever the bins and the noise."""

import numpy as np
import pytest
import torch

from hardware_profiles.errors import ConfigError
from training.data.event_torch import tensor_event_counts
from training.data.events import EventConfig, visual_event_counts

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("num_bins", [1, 6, 11, 40])
@pytest.mark.parametrize(
    "settings", [{}, {"contrast_on": 0.15, "contrast_off": 0.31}, {"contrast_sigma": 0.04, "leak_hz": 3.0}]
)
def test_counts_equal_those_of_the_compiled_loops(settings, num_bins, device):
    frames = np.random.default_rng(5).integers(0, 256, (7, 20, 30, 3)).astype(np.uint8)
    times_us = [0, 33_367, 66_733, 100_100, 133_467, 500_001, 500_002]
    bins = {"num_bins": num_bins, "duration_us": 500_002}
    expected = visual_event_counts(frames, times_us, EventConfig(**settings), **bins)
    counts = tensor_event_counts(torch.from_numpy(frames).to(device), times_us, EventConfig(**settings), **bins)
    assert counts.dtype == torch.int32 and counts.device.type == device
    np.testing.assert_array_equal(counts.cpu().numpy(), expected)
    assert expected.any() and not expected.all()


@pytest.mark.parametrize("settings", [{"refractory_us": 100}, {"shot_hz": 1.0}])
def test_what_needs_event_times_is_refused(settings):
    frames = torch.zeros((2, 8, 8, 3), dtype=torch.uint8)
    with pytest.raises(ConfigError, match="allowed are 0"):
        tensor_event_counts(frames, [0, 10], EventConfig(**settings), num_bins=1, duration_us=10)
