"""What a user can get wrong, in one line: object, what it is, what is allowed, next step."""


class AxonportError(ValueError):
    """Base of every error that a user can cause and mend; commands print it as one line."""

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())  # names in files from strangers may hold line breaks


class ArtifactError(AxonportError):
    """A file or folder that a stage reads or writes is missing, foreign or damaged."""


class ConfigError(AxonportError):
    """A configuration file or command line names something unknown or out of range."""


class ProfileError(AxonportError):
    """A hardware profile is malformed or does not carry what was asked of it."""


class RangeError(AxonportError):
    """An integer does not fit the field that the hardware gives it."""
