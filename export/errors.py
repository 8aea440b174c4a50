"""Errors of the export stage, all of which a user can mend."""

from hardware_profiles.errors import AxonportError


class ExportError(AxonportError):
    """A network or file that cannot be exported or read."""


class UnsupportedModuleError(ExportError):
    """A module or an operation that cannot be carried exactly."""


class NirFileError(ExportError):
    """A `.nir` or integer-model file that is missing, foreign or damaged."""


class InputDataError(ExportError):
    """Input data whose names, shapes, types or values do not fit the graph."""
