"""One page that tells what a run was, whether it is exact, and what it costs."""
