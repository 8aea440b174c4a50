from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_profiles.interval import Interval, exactly
from hardware_profiles.number_format import PREFIXES, format_count, format_interval, format_share, format_si


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (2.36e-11, "23.6 pJ"),
        (0.0, "0 J"),
        (1.0, "1.00 J"),
        (999.4, "999 J"),
        (999.6, "1.00 kJ"),
        (0.0009996, "1.00 mJ"),
        (6.8e-12, "6.80 pJ"),
        (989.5e12, "990 TJ"),
        (5e-18, "0.005 fJ"),
    ],
)
def test_si_prefixes(figure: float, expected: str) -> None:
    assert format_si(figure, "J") == expected


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.floats(min_value=1e-14, max_value=1e14))
def test_a_formatted_figure_reads_back_within_its_digits(figure: float) -> None:
    number, prefixed = format_si(figure, "J").split(" ")
    exponent = next(power for power, prefix in PREFIXES.items() if f"{prefix}J" == prefixed)
    assert float(number) * 10.0**exponent == pytest.approx(figure, rel=5.1e-3)


def test_intervals_share_one_prefix() -> None:
    assert format_interval(Interval(low=8.1e-6, mid=12.3e-6, high=20.4e-6), "J") == "12.3 µJ (8.10 to 20.4)"
    assert format_interval(Interval(low=0.0, mid=1e-9, high=2e-6), "J") == "1.00 nJ (0 J to 2.00 µJ)"
    assert format_interval(exactly(3e-3), "s") == "3.00 ms"
    assert format_interval(None, "J") == "not priced"


def test_counts_and_shares() -> None:
    assert format_count(1234567) == "1\u202f234\u202f567"
    assert format_count(0.0333) == "0.033"
    assert format_count(12) == "12"
    assert format_share(0.1234) == "12.3 %"
    assert format_share(0.00012) == "0.012 %"
    assert format_share(0.0) == "0.0 %"
