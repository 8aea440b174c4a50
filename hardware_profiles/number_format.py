"""Numbers as people read them: three significant digits, SI prefixes, ranges with their ends."""

from __future__ import annotations

import math

from .interval import Interval

PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
DIGITS = 3


def _exponent(figure: float) -> int:
    """Return the SI exponent in which `figure` reads as 1..999."""
    if figure == 0.0:
        return 0
    # rounding first: 999.9 µ reads as 1 m, not as 1000 µ
    rounded = float(f"{abs(figure):.{DIGITS - 1}e}")
    return min(max(3 * math.floor(math.log10(rounded) / 3), min(PREFIXES)), max(PREFIXES))


def _digits(figure: float) -> str:
    if figure == 0.0:
        return "0"
    decimals = max(0, DIGITS - 1 - math.floor(math.log10(float(f"{abs(figure):.{DIGITS - 1}e}"))))
    return f"{figure:.{min(decimals, DIGITS)}f}"


def format_si(figure: float, unit: str) -> str:
    """Return `figure` with an SI prefix, for example 2.36e-11 J as `23.6 pJ`."""
    exponent = _exponent(figure)
    return f"{_digits(figure / 10.0**exponent)} {PREFIXES[exponent]}{unit}".strip()


def format_interval(interval: Interval | None, unit: str) -> str:
    """Return central figure and range, for example `12.3 µJ (8.10 to 20.4)`; one figure if exact.

    Ends share the central figure's prefix where they can be read in it, else they carry their own.
    """
    if interval is None:
        return "not priced"
    if interval.low == interval.high:
        return format_si(interval.mid, unit)
    exponent = _exponent(interval.mid or interval.high)
    if interval.high >= 1e3 * 10.0**exponent or 0.0 < interval.low < 1e-2 * 10.0**exponent:
        return f"{format_si(interval.mid, unit)} ({format_si(interval.low, unit)} to {format_si(interval.high, unit)})"
    low, mid, high = (_digits(figure / 10.0**exponent) for figure in (interval.low, interval.mid, interval.high))
    return f"{mid} {PREFIXES[exponent]}{unit} ({low} to {high})"


def format_count(count: float) -> str:
    """Return a count: whole below ten thousand, else with thin spaces between thousands; fractions with 3 digits."""
    if count != int(count) and count < 1000:
        return _digits(count)
    return f"{round(count):,}".replace(",", "\u202f")


def format_share(share: float) -> str:
    """Return a share in percent, with the digits that a small one needs."""
    percent = 100.0 * share
    return f"{percent:.1f} %" if percent >= 1.0 or percent == 0.0 else f"{_digits(percent)} %"
