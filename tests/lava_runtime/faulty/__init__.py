"""A Process that fails in a chosen way, for the tests of sessions."""
