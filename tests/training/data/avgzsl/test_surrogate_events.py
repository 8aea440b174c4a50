"""The closed forms of the surrogate equal the project's event rule, event for event."""

import numpy as np
import pytest

from training.data.avgzsl.clips import training_contrast
from training.data.avgzsl.surrogate_events import Contrast, fits, piecewise_spikes, ramp_spikes
from training.data.event_pixels import MAX_LEVEL_Q
from training.data.events import LEVEL_SCALE, binarise, count_events
from training.errors import TrainingError

CONTRASTS = ((0.25, 0.25), (0.1, 0.4), (3.0, 0.5))


def by_the_event_rule(level_q, contrast, num_steps):
    """Run `count_events` on frames `[F, d]` that end at equal intervals of a clip of T·(F − 1) ms."""
    duration_us = 1000 * num_steps * (len(level_q) - 1)
    counts = count_events(
        level_q,
        np.linspace(0, duration_us, len(level_q)).astype(int).tolist(),
        contrast_on=contrast[0],
        contrast_off=contrast[1],
        num_bins=num_steps,
        duration_us=duration_us,
    )
    return binarise(counts, 1)


def thresholds_q(contrast):
    return Contrast(start=np.zeros(1, np.float32), scale=1.0, on=contrast[0], off=contrast[1]).thresholds_q


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("num_steps", (1, 7, 10, 64))
def test_a_ramp_equals_the_event_rule(contrast, num_steps):
    generator = np.random.default_rng(num_steps)
    level_q = np.rint(generator.standard_normal((3, 400)) * LEVEL_SCALE).astype(np.int64)
    on_q, off_q = thresholds_q(contrast)
    level_q[0, :8] = (0, on_q - 1, on_q, on_q + 1, -off_q, -off_q + 1, num_steps * on_q, -num_steps * off_q)
    level_q[1, :2] = (MAX_LEVEL_Q - 1, 1 - MAX_LEVEL_Q)
    spikes = ramp_spikes(level_q, num_steps, (on_q, off_q))
    assert spikes.shape == (3, num_steps, 800) and spikes.dtype == np.float32
    assert spikes.any() and not spikes.all()
    for clip, levels in enumerate(level_q):
        expected = by_the_event_rule(np.stack([np.zeros_like(levels), levels]), contrast, num_steps)
        np.testing.assert_array_equal(spikes[clip], expected)


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("num_steps", (1, 10))
def test_several_vectors_equal_the_event_rule(contrast, num_steps):
    generator = np.random.default_rng(num_steps)
    level_q = np.rint(generator.standard_normal((3, num_steps, 200)) * LEVEL_SCALE).astype(np.int64)
    spikes = piecewise_spikes(level_q, thresholds_q(contrast))
    on, off = spikes.reshape(3, num_steps, 2, 200).any(axis=(0, 1, 3))
    assert on and off and not spikes.all()
    for clip, levels in enumerate(level_q):
        frames = np.concatenate([np.zeros((1, 200), np.int64), levels])
        np.testing.assert_array_equal(spikes[clip], by_the_event_rule(frames, contrast, num_steps))


def test_larger_features_fire_more_often_and_signs_choose_the_polarity():
    spikes = ramp_spikes(np.array([[0, 1, 3, -3]]) * LEVEL_SCALE, 10, thresholds_q((0.5, 0.5)))[0]
    on, off = spikes.reshape(10, 2, 4).sum(axis=0)
    np.testing.assert_array_equal(on, [0, 2, 6, 0])
    np.testing.assert_array_equal(off, [0, 0, 0, 6])
    assert np.flatnonzero(spikes[:, 1]).tolist() == [4, 9]


def test_the_contrast_is_that_of_the_training_vectors():
    vectors = np.array([[[1.0, 10.0]], [[3.0, 10.0]]], np.float32)
    zero = training_contrast(vectors, "zero", on=0.25, off=0.5)
    assert zero.scale == np.sqrt(0.5) and zero.start.tolist() == [0, 0]
    mean = training_contrast(vectors, "training_mean", on=0.25, off=0.5)
    assert mean.start.tolist() == [2, 10] and mean.thresholds_q == (LEVEL_SCALE // 4, LEVEL_SCALE // 2)
    np.testing.assert_array_equal(
        mean.level_q(np.array([3.0, 10.0], np.float32)), [round(LEVEL_SCALE / np.sqrt(0.5)), 0]
    )


def test_features_that_do_not_vary_are_refused():
    with pytest.raises(TrainingError, match="all training clips are the same"):
        training_contrast(np.ones((3, 1, 2), np.float32), "zero", on=1, off=1)


def test_levels_beyond_the_integers_are_seen():
    assert fits(np.array([MAX_LEVEL_Q - 1, 1 - MAX_LEVEL_Q])) and not fits(np.array([-MAX_LEVEL_Q]))
