"""Timings of what a user waits for, each beside a plain way to do the same work, in one run and interleaved."""
