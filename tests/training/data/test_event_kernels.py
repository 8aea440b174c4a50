"""The loops where there is no compiler, and at the bounds that their exactness rests on."""

import subprocess
import sys

import numpy as np
import pytest

from training.data.event_kernels import count_crossings, crossings, cut_levels, inverse
from training.data.event_pixels import MAX_LEVEL_Q, MIN_CONTRAST_Q

WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import numpy as np
from hardware_profiles import compiling
from training.data.events import EventConfig, visual_event_counts, visual_spikes
assert not compiling.HAS_COMPILER
frames = np.random.default_rng(0).integers(0, 255, (4, 8, 12, 3), np.uint8)
for noise in ({}, {"refractory_us": 3000, "contrast_sigma": 0.03, "leak_hz": 1.0, "shot_hz": 20.0}):
    for num_bins in (3, 7):
        counts = visual_event_counts(
            frames, range(0, 120_001, 40_000), EventConfig(**noise), num_bins=num_bins, duration_us=120_000
        )
        print(counts.tolist())
print(visual_spikes(
    frames, range(0, 120_001, 40_000), EventConfig(cells=4), num_bins=3, duration_us=120_000
).tolist())
"""


def test_without_numba_the_integers_are_the_same():
    with_numba = WITHOUT_NUMBA.replace('sys.modules["numba"] = None', "").replace("not compiling", "compiling")
    outputs = []
    for source in (WITHOUT_NUMBA, with_numba):
        done = subprocess.run([sys.executable, "-W", "error", "-c", source], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1] and outputs[0].count("\n") == 5 and "1" in outputs[0]


def test_quotients_are_exact_around_every_multiple():
    most = 2 * MAX_LEVEL_Q + MAX_LEVEL_Q + MAX_LEVEL_Q  # levels apart, what leaks, a threshold
    for contrast in (MIN_CONTRAST_Q, 65, 97, 655, 13_107, MAX_LEVEL_Q - 1, MAX_LEVEL_Q):
        multiples = np.unique(np.linspace(0, most // contrast, 3000).astype(np.int64)) * contrast
        sizes = (multiples[:, None] + np.arange(-1, 2)).ravel()
        sizes = sizes[(sizes >= 0) & (sizes < most)]
        for size in sizes.tolist():
            assert crossings(np.int32(size), np.int32(contrast), inverse(contrast)) == size // contrast


@pytest.mark.parametrize("whole_us", [1, 2, 3, 33_367, 62_500, (1 << 32) - 1, 1 << 32])
def test_cut_levels_are_exact(whole_us):
    rng = np.random.default_rng(0)
    level_q, target_q = rng.integers(1 - MAX_LEVEL_Q, MAX_LEVEL_Q, (2, 2000)).astype(np.int32)
    target_q[:500] = level_q[:500] + rng.integers(-3, 4, 500)
    cut_q = np.empty_like(level_q)
    for part_us in {1, whole_us // 3, whole_us // 2, whole_us - 1} - {0}:
        for drift_q in (0, 12_345):
            cut_levels(level_q, target_q, np.int32(drift_q), part_us, whole_us, cut_q)
            expected = []
            for start, end in zip(level_q.tolist(), target_q.tolist(), strict=True):
                change = end + drift_q - start
                moved = abs(change) * part_us // whole_us
                expected.append(start + (moved if change >= 0 else -moved))
            assert cut_q.tolist() == expected


def test_the_extent_tells_levels_out_of_range():
    counts = np.zeros((2, 40), np.int32)
    for value, inside in (
        (MAX_LEVEL_Q - 1, True),
        (-MAX_LEVEL_Q, True),
        (MAX_LEVEL_Q, False),
        (-MAX_LEVEL_Q - 1, False),
    ):
        level_q = np.zeros(40, np.int32)
        level_q[37] = value
        extent = count_crossings(
            level_q, np.int32(0), np.zeros(40, np.int32), np.int32(1000), np.int32(1000), counts, True
        )
        assert (extent < MAX_LEVEL_Q) == inside
