"""Bursts and rests of rendered clips."""

import numpy as np
import pytest

from training.data.activity import RAMP, WHOLE, Activity, Burst, draw_activity

TIME = np.linspace(0, 1, 2001)


def drawn(rest_share, seed):
    return draw_activity(rest_share, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(30))
def test_two_or_three_bursts_apart_from_each_other_with_the_share_of_rest(seed):
    activity = drawn(0.4, seed)
    edges = [edge for burst in activity.bursts for edge in (burst.begin, burst.end)]
    assert len(activity.bursts) in (2, 3) and edges == sorted(set(edges)) and edges[0] >= 0 and edges[-1] <= 1
    assert sum(burst.end - burst.begin for burst in activity.bursts) == pytest.approx(0.6)
    assert max(burst.speed for burst in activity.bursts) == 1 and min(burst.speed for burst in activity.bursts) >= 0.7


def test_bursts_and_rests_are_drawn_alike_at_one_half():
    activities = [drawn(0.5, seed) for seed in range(400)]
    assert {len(activity.bursts) for activity in activities} == {2, 3}
    assert all(len(activity.rests().bursts) == len(activity.bursts) for activity in activities)
    begins_at_once = np.mean([activity.bursts[0].begin == 0 for activity in activities])
    assert 0.4 < begins_at_once < 0.6


def test_speed_is_zero_in_rests_and_the_bursts_own_in_their_middle():
    activity = Activity((Burst(0.1, 0.4, 1.0), Burst(0.6, 0.9, 0.5)))
    np.testing.assert_allclose(
        activity.speed(np.array([0.0, 0.1, 0.25, 0.4, 0.5, 0.75, 0.95])), [0, 0, 1, 0, 0, 0.5, 0]
    )
    assert 0 < activity.speed(np.array([0.1 + RAMP / 2]))[0] < 1
    # the first burst goes twice as fast, so it goes two thirds of the way
    np.testing.assert_allclose(activity.progress(np.array([0.0, 0.5, 1.0])), [0, 2 / 3, 1], atol=1e-3)


@pytest.mark.parametrize("seed", range(10))
def test_progress_stands_still_in_rests_and_never_goes_back(seed):
    activity = drawn(0.5, seed)
    steps = np.diff(activity.progress(TIME))
    resting = (activity.speed(TIME[1:]) == 0) & (activity.speed(TIME[:-1]) == 0)
    assert resting.mean() > 0.3 and (steps >= 0).all() and steps[resting].max() < 1e-8  # of the integral
    assert activity.progress(TIME)[[0, -1]].tolist() == [0, 1]


@pytest.mark.parametrize("seed", range(10))
def test_nothing_moves_at_once_in_bursts_and_rests(seed):
    activity = drawn(0.3, seed)
    both = np.minimum(activity.speed(TIME), activity.rests().speed(TIME))
    either = np.maximum(activity.speed(TIME), activity.rests().speed(TIME))
    assert both.max() < 1e-12 and np.mean(either > 0.1) > 0.8


def test_without_rest_a_clip_is_one_burst():
    assert drawn(0.0, 1) == WHOLE and WHOLE.rests() == Activity(())
    assert not WHOLE.rests().speed(TIME).any()
