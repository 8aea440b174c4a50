"""Errors of the training stage, all of which a user can mend."""

from hardware_profiles.errors import AxonportError


class TrainingError(AxonportError):
    """A network, data set or checkpoint that cannot be trained or used."""


class VideoError(AxonportError):
    """A video or a folder of videos that cannot be read or written."""
