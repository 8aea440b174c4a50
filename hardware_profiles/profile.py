"""Hardware profiles: what a device can do, what it can hold and what its operations cost, each with a source.

A profile is a TOML file. The built-in ones lie in `hardware_profiles/profiles`; a user's own file is
loaded by its path. No hardware number lives in Python: every figure carries value, range, unit, what it
covers, where it comes from and how it was obtained. `docs/energy.md` describes the format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .arithmetic import IntegerFormat
from .coefficient import Coefficient, require_text
from .config import from_mapping, read_toml
from .errors import ConfigError, ProfileError

FORMAT = "axonport-profile-1"
PROFILE_FOLDER = Path(__file__).resolve().parent / "profiles"
FAMILIES = ("neuromorphic", "processor")

CAPABILITIES = {
    "binary_spikes": "spikes of one bit",
    "graded_spikes": "spikes that carry an integer payload",
    "dynamic_threshold": "a firing threshold that may move at every time step",
    "hard_reset": "the membrane is set to zero by a spike",
    "subtract_reset": "the threshold is subtracted from the membrane by a spike",
    "no_reset": "the membrane keeps its value after a spike",
    "held_state": "a membrane that neither leaks nor fires between the ticks of a slower stage",
}
"""What a model may require of a chip: the vocabulary of `Activity.requires` and of every profile."""

LIMITS = (
    "neurons_per_core",
    "synaptic_memory_bits_per_core",
    "input_axons_per_core",
    "output_axons_per_core",
    "cores_per_chip",
)
"""Every limit that a profile may carry."""

REQUIRED_COEFFICIENTS = {
    "neuromorphic": ("synop_energy",),
    "processor": ("tdp_power", "idle_power", "peak_flop_rate"),
}


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A published limit of one core or chip: a count or a number of bits."""

    name: str
    value: int
    source: str

    def __post_init__(self) -> None:
        if self.name not in LIMITS:
            raise ConfigError(f"unknown limit '{self.name}'; allowed are {', '.join(LIMITS)}")
        if self.value < 1:
            raise ConfigError(f"value is {self.value}, allowed is at least 1")
        require_text(source=self.source)


@dataclass(frozen=True, kw_only=True)
class Capability:
    """Whether the device can do one thing that models ask for.

    Attributes:
        name: one of `CAPABILITIES`.
        supported: whether it can.
        source: publication or reason.
        compartments_per_neuron: hardware compartments that one such neuron occupies.
    """

    name: str
    supported: bool
    source: str
    compartments_per_neuron: int = 1

    def __post_init__(self) -> None:
        if self.name not in CAPABILITIES:
            raise ConfigError(f"unknown capability '{self.name}'; allowed are {', '.join(CAPABILITIES)}")
        if self.compartments_per_neuron < 1:
            raise ConfigError(f"compartments_per_neuron is {self.compartments_per_neuron}, allowed is at least 1")
        require_text(source=self.source)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One device.

    Attributes:
        name: short name, also the file's stem.
        title: name for people.
        family: `neuromorphic` or `processor`.
        provisional: whether decisive figures are unpublished, so that every result is provisional.
        notes: cautions that every report must repeat.
        coefficients: costs; one that is absent is reported as unpriced, never as zero.
        limits: published limits, empty for processors.
        capabilities: what the chip can do, empty for processors.
        integers: widths of the chip's integers, None for processors.
    """

    name: str
    title: str
    family: str
    provisional: bool
    notes: tuple[str, ...]
    coefficients: tuple[Coefficient, ...]
    limits: tuple[Limit, ...]
    capabilities: tuple[Capability, ...]
    integers: IntegerFormat | None

    def find(self, name: str) -> Coefficient | None:
        """Return the coefficient called `name`, or None where the profile has none."""
        return next((entry for entry in self.coefficients if entry.name == name), None)

    def coefficient(self, name: str) -> Coefficient:
        """Return the coefficient called `name`.

        Raises:
            ProfileError: the profile has none.
        """
        entry = self.find(name)
        if entry is None:
            raise ProfileError(f"profile {self.name}: has no coefficient '{name}'; add it with its source")
        return entry

    def limit(self, name: str) -> Limit | None:
        """Return the limit called `name`, or None where it is not published."""
        return next((entry for entry in self.limits if entry.name == name), None)

    def require_limit(self, name: str) -> Limit:
        """Return the limit called `name`.

        Raises:
            ProfileError: the profile does not give it.
        """
        entry = self.limit(name)
        if entry is None:
            raise ProfileError(f"profile {self.name}: has no limit '{name}'; add it with its source")
        return entry

    def missing_capabilities(self, requires: tuple[str, ...]) -> tuple[str, ...]:
        """Return what a model requires and this chip cannot do, sorted.

        Raises:
            ProfileError: a requirement is not in the vocabulary.
        """
        for name in requires:
            if name not in CAPABILITIES:
                raise ProfileError(f"requirement '{name}': unknown; allowed are {', '.join(CAPABILITIES)}")
        supported = {entry.name for entry in self.capabilities if entry.supported}
        return tuple(sorted(set(requires) - supported))

    def compartments_per_neuron(self, requires: tuple[str, ...]) -> int:
        """Return how many hardware compartments one neuron of a model with `requires` occupies."""
        return max((entry.compartments_per_neuron for entry in self.capabilities if entry.name in requires), default=1)


@dataclass(frozen=True, kw_only=True)
class _Header:
    """The scalar keys at the top of a profile file."""

    format: str
    name: str
    title: str
    family: str
    provisional: bool = False
    notes: tuple[str, ...] = ()


def profile_names() -> tuple[str, ...]:
    """Return the names of the built-in profiles, sorted."""
    return tuple(sorted(path.stem for path in PROFILE_FOLDER.glob("*.toml")))


def load_profile(name: str) -> Profile:
    """Load a profile by built-in name, or a user's own by the path of its TOML file.

    Raises:
        ProfileError: no such profile, or a malformed file; the message names the key.
    """
    if name in profile_names():
        return read_profile(PROFILE_FOLDER / f"{name}.toml")
    path = Path(name)
    if path.suffix != ".toml":
        raise ProfileError(
            f"profile {name}: unknown; allowed are {', '.join(profile_names())} or the path of a .toml file"
        )
    return read_profile(path)


def read_profile(path: Path) -> Profile:
    """Read and validate one profile file.

    Raises:
        ProfileError: missing, malformed, or incomplete; the message names the key.
    """
    try:
        return _build(read_toml(path), str(path))
    except ConfigError as error:
        raise ProfileError(str(error)) from error


def integer_format(name: str = "loihi2") -> IntegerFormat:
    """Return the integer widths of a chip, from its `[integer_format]` table.

    Raises:
        ProfileError: no such profile, or it has no integers of its own.
    """
    profile = load_profile(name)
    if profile.integers is None:
        raise ProfileError(f"profile {name}: has no [integer_format]; name a chip, for example loihi2")
    return profile.integers


def _build(values: dict[str, Any], where: str) -> Profile:
    tables = {key: values.get(key, {}) for key in ("coefficients", "limits", "capabilities", "integer_format")}
    header = from_mapping(_Header, {key: value for key, value in values.items() if key not in tables}, where)
    if header.format != FORMAT:
        raise ConfigError(f"{where}: format is '{header.format}', allowed is '{FORMAT}'; convert the file")
    if header.family not in FAMILIES:
        raise ConfigError(f"{where}: family is '{header.family}', allowed are {', '.join(FAMILIES)}")
    profile = Profile(
        name=header.name,
        title=header.title,
        family=header.family,
        provisional=header.provisional,
        notes=header.notes,
        coefficients=_entries(Coefficient, tables["coefficients"], f"{where} [coefficients"),
        limits=_entries(Limit, tables["limits"], f"{where} [limits"),
        capabilities=_entries(Capability, tables["capabilities"], f"{where} [capabilities"),
        integers=_integers(tables["integer_format"], f"{where} [integer_format]"),
    )
    _check_complete(profile, where)
    return profile


def _entries(cls: type[Any], tables: Any, where: str) -> tuple[Any, ...]:
    """Build one `cls` per named table."""
    if not isinstance(tables, dict):
        raise ConfigError(f"{where}]: is {type(tables).__name__}, allowed is a table of tables")
    built = []
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{where}.{name}]: is {table!r}, allowed is a table with value and source")
        if "name" in table:
            raise ConfigError(f"{where}.{name}]: unknown key 'name'; the table's own name is the name")
        built.append(from_mapping(cls, {"name": name, **table}, f"{where}.{name}]"))
    return tuple(built)


def _integers(table: Mapping[str, Any], where: str) -> IntegerFormat | None:
    if not table:
        return None
    integers = from_mapping(IntegerFormat, dict(table), where)
    if not all(1 <= width <= 32 for width in vars(integers).values()):
        raise ConfigError(f"{where}: widths {vars(integers)}; allowed are 1..32 bits")
    return integers


def _check_complete(profile: Profile, where: str) -> None:
    """Refuse a profile without the figures that its family cannot do without."""
    for name in REQUIRED_COEFFICIENTS[profile.family]:
        if profile.find(name) is None:
            raise ConfigError(f"{where}: [coefficients.{name}] is missing; a {profile.family} profile needs it")
    if profile.family != "neuromorphic":
        return
    named = {entry.name for entry in profile.capabilities}
    for name in CAPABILITIES:
        if name not in named:
            raise ConfigError(f"{where}: [capabilities.{name}] is missing; say true or false, with a source")
    if profile.limit("cores_per_chip") is None or profile.limit("neurons_per_core") is None:
        raise ConfigError(f"{where}: [limits] needs cores_per_chip and neurons_per_core")
    if profile.integers is None:
        raise ConfigError(f"{where}: [integer_format] is missing; synaptic memory is counted with its weight_bits")
