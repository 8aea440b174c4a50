from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_profiles.interval import Interval, exactly, total

figures = st.lists(st.floats(min_value=0.0, max_value=1e6), min_size=3, max_size=3)
intervals = figures.map(sorted).map(lambda f: Interval(low=f[0], mid=f[1], high=f[2]))


@settings(deadline=None, derandomize=True)
@given(intervals, intervals)
def test_sums_products_and_floors_keep_their_order(left: Interval, right: Interval) -> None:
    for result in (left + right, left * right, left.at_least(right)):
        assert result.low <= result.mid <= result.high


def test_arithmetic_is_bound_by_bound() -> None:
    left, right = Interval(low=1.0, mid=2.0, high=3.0), Interval(low=4.0, mid=5.0, high=10.0)
    assert left + right == Interval(low=5.0, mid=7.0, high=13.0)
    assert left * right == Interval(low=4.0, mid=10.0, high=30.0)
    assert left * 2.0 == Interval(low=2.0, mid=4.0, high=6.0)
    assert left.at_least(exactly(2.5)) == Interval(low=2.5, mid=2.5, high=3.0)
    assert total([left, right, exactly(1.0)]) == Interval(low=6.0, mid=8.0, high=14.0)
    assert total([]) == exactly(0.0)
