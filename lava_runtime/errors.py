"""Errors of the Lava runtime, all of which a user can mend or report."""

from hardware_profiles.errors import AxonportError


class LavaRuntimeError(AxonportError):
    """A run on Lava that cannot start, or that ended without a result."""


class KilledError(LavaRuntimeError):
    """A signal ended an OS process of a run, for want of memory perhaps: the same run may succeed later."""
