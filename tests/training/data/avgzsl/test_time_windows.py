"""Sequences of any length to K vectors."""

import numpy as np
import pytest

from training.data.avgzsl.time_windows import Trim, resample


@pytest.mark.parametrize("num_steps", (1, 3, 9, 10, 11, 40, 61))
def test_resampling_averages_equal_parts_of_time(num_steps):
    vectors = np.random.default_rng(0).standard_normal((num_steps, 4)).astype(np.float32)
    fine = np.repeat(vectors.astype(np.float64), 10, axis=0)  # 10 n samples: every part is exactly n of them
    expected = fine.reshape(10, num_steps, 4).mean(axis=1)
    np.testing.assert_allclose(resample(vectors, 10), expected, rtol=1e-6, atol=1e-7)
    assert resample(vectors, 10).dtype == np.float32


def test_as_many_vectors_as_parts_stay_what_they_are():
    vectors = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32)
    np.testing.assert_array_equal(resample(vectors, 10), vectors)


def numbered(num_steps):
    return np.arange(num_steps, dtype=np.float32)[:, None]


def test_clips_that_are_judged_keep_the_middle():
    trim = Trim(longest=4, num_parts=4, seed=None)
    (place,) = trim.places(1, 0)
    assert trim(numbered(10), place)[:, 0].tolist() == [3, 4, 5, 6]
    assert trim(numbered(4), place)[:, 0].tolist() == [0, 1, 2, 3]
    assert trim(numbered(2), place)[:, 0].tolist() == [0, 0, 1, 1]


def test_training_clips_keep_a_seeded_random_window():
    trim = Trim(longest=4, num_parts=4, seed=1)
    places = trim.places(200, 3)
    starts = [trim(numbered(10), place)[0, 0] for place in places]
    assert set(starts) == set(range(7))
    for place in places:
        window = trim(numbered(10), place)[:, 0]
        np.testing.assert_array_equal(np.diff(window), 1)
    np.testing.assert_array_equal(places, trim.places(200, 3))
    assert (places != trim.places(200, 4)).all()
    assert (places != Trim(longest=4, num_parts=4, seed=2).places(200, 3)).all()
