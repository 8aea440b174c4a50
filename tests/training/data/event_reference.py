"""The event rule written the slow, obvious way: one pixel, one crossing at a time, in exact fractions."""

from fractions import Fraction
from math import ceil


def slow_events(levels, times_us, on, off, *, refractory_us=0, reference=None, shots=()):
    """All events of one pixel as (polarity, time rounded up to whole microseconds), in order of time.

    `levels` may rise by a leak, `reference` may start below the first of them; `shots` are noise events
    (polarity, time) that come on top, after a crossing of the same microsecond.
    """
    events = []
    reference = levels[0] if reference is None else reference
    last_level, last_time = levels[0], times_us[0]
    for level, time in zip(levels[1:], times_us[1:], strict=True):
        while level - reference >= on:
            reference += on
            when = last_time + Fraction(reference - last_level, level - last_level) * (time - last_time)
            events.append((0, ceil(when)))
        while reference - level >= off:
            reference -= off
            when = last_time + Fraction(reference - last_level, level - last_level) * (time - last_time)
            events.append((1, ceil(when)))
        last_level, last_time = level, time
    events = sorted([*events, *shots], key=lambda event: event[1])
    kept = []
    for event in events:
        if not kept or event[1] - kept[-1][1] >= refractory_us:
            kept.append(event)
    return kept


def by_pixel(steps, num_pixels):
    """The events of many steps, per pixel, as (polarity, time)."""
    found = [[] for _ in range(num_pixels)]
    for events in steps:
        for pixel, polarity, time_us in zip(*(array.tolist() for array in events), strict=True):
            found[pixel].append((polarity, time_us))
    return found


def run(pixels, levels, times_us):
    """Step through all frames after the first."""
    return [pixels.step(level, time_us) for level, time_us in zip(levels[1:], times_us[1:], strict=True)]
