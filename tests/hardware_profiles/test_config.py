"""From TOML to dataclasses: what is taken, and every refusal in one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from hardware_profiles.config import MAX_TOML_BYTES, as_mapping, from_mapping, read_section, read_toml
from hardware_profiles.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    name: str
    size: int = 3

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"size is {self.size}, allowed is at least 1")


@dataclass(frozen=True, kw_only=True)
class Outer:
    rate: float
    count: int = 1
    on: bool = False
    mode: Literal["fast", "exact"] = "exact"
    inner: Inner = field(default_factory=lambda: Inner(name="default"))
    limit: float | None = None
    note: str | None = "none"
    widths: tuple[int, ...] = ()
    scales: tuple[float, ...] = (1.0,)
    modes: tuple[Literal["fast", "exact"], ...] = ()
    inners: tuple[Inner, ...] = ()
    part: Inner | None = None


def read(tmp_path: Path, text: str) -> Outer:
    path = tmp_path / "c.toml"
    path.write_text(text, encoding="utf-8")
    return from_mapping(Outer, read_toml(path), "c.toml")


def test_every_kind_of_value_is_taken(tmp_path: Path) -> None:
    text = """
    rate = 0.5
    count = 7
    on = true
    mode = "fast"
    inner = { name = "a", size = 2 }
    limit = 3
    note = "β"
    widths = [1, 2]
    scales = [1, 0.25]
    modes = ["fast", "exact"]
    inners = [{ name = "b" }, { name = "c", size = 9 }]
    part = { name = "d" }
    """
    result = read(tmp_path, text)
    assert result == Outer(
        rate=0.5,
        count=7,
        on=True,
        mode="fast",
        inner=Inner(name="a", size=2),
        limit=3.0,
        note="β",
        widths=(1, 2),
        scales=(1.0, 0.25),
        modes=("fast", "exact"),
        inners=(Inner(name="b"), Inner(name="c", size=9)),
        part=Inner(name="d"),
    )
    assert type(result.limit) is float and [type(scale) for scale in result.scales] == [float, float]


def test_only_what_has_no_default_must_be_given(tmp_path: Path) -> None:
    result = read(tmp_path, "rate = 2")
    assert result == Outer(rate=2.0)
    assert type(result.rate) is float


def test_null_is_none_where_the_field_allows_it() -> None:
    assert from_mapping(Outer, {"rate": 1.0, "limit": None, "note": None}, "x.json") == Outer(rate=1.0, note=None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "x: key 'rate' is missing; add it"),
        (
            {"rate": 1, "rte": 1},
            "x: unknown key 'rte'; allowed are count, inner, inners, limit, mode, modes, note, on, p",
        ),
        ({"rate": "1"}, "x rate: is '1' (str), allowed is float"),
        ({"rate": True}, "x rate: is True (bool), allowed is float"),
        ({"rate": None}, "x rate: is None (NoneType), allowed is float"),
        ({"rate": float("nan")}, "x rate: is nan, allowed is a finite number"),
        ({"rate": float("-inf")}, "x rate: is -inf, allowed is a finite number"),
        ({"rate": 10**400}, "allowed is a finite number"),
        ({"rate": 1, "limit": float("inf")}, "x limit: is inf, allowed is a finite number"),
        ({"rate": 1, "count": 1.0}, "x count: is 1.0 (float), allowed is int"),
        ({"rate": 1, "count": True}, "x count: is True (bool), allowed is int"),
        ({"rate": 1, "on": 1}, "x on: is 1 (int), allowed is bool"),
        ({"rate": 1, "mode": "slow"}, "x mode: is 'slow', allowed are 'fast', 'exact'"),
        ({"rate": 1, "mode": ["fast"]}, "x mode: is ['fast'], allowed are 'fast', 'exact'"),
        ({"rate": 1, "limit": "high"}, "x limit: is 'high' (str), allowed is float"),
        ({"rate": 1, "note": 3}, "x note: is 3 (int), allowed is str"),
        ({"rate": 1, "widths": 3}, "x widths: is 3, allowed is a list"),
        ({"rate": 1, "widths": "12"}, "x widths: is '12', allowed is a list"),
        ({"rate": 1, "widths": [1, 2.5]}, "x widths[1]: is 2.5 (float), allowed is int"),
        ({"rate": 1, "scales": [1, 2, float("nan")]}, "x scales[2]: is nan, allowed is a finite number"),
        ({"rate": 1, "modes": ["fast", 3]}, "x modes[1]: is 3, allowed are 'fast', 'exact'"),
        ({"rate": 1, "inner": 3}, "x inner: is int, allowed is a table of keys"),
        ({"rate": 1, "inner": {}}, "x inner: key 'name' is missing; add it"),
        ({"rate": 1, "inner": {"name": "a", "wide": 1}}, "x inner: unknown key 'wide'; allowed are name, size"),
        ({"rate": 1, "inner": {"name": "a", "size": 0}}, "x inner: size is 0, allowed is at least 1"),
        ({"rate": 1, "part": {"name": 1}}, "x part name: is 1 (int), allowed is str"),
        ({"rate": 1, "inners": [{"name": "a"}, {"nam": "b"}]}, "x inners[1]: unknown key 'nam'"),
        ([1], "x: is list, allowed is a table of keys"),
    ],
)
def test_refusals(values: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        from_mapping(Outer, values, "x")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; give a TOML file, for example configs/demo.toml"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="no such file"):
        read_toml(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"a = ", b"a = 1\na = 2\n", b"\xff\xfe", b"a = " + b"[" * 100_000, b"a = " + b"9" * 5_000],
    ids=["cut off", "key twice", "not UTF-8", "nested without end", "an integer of 5000 digits"],
)
def test_a_file_that_is_not_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"c.toml: not valid TOML \(.*\); mend that line") as error:
        read_toml(path)
    assert "\n" not in str(error.value)


def test_the_size_of_a_file_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"#" * MAX_TOML_BYTES)
    assert read_toml(path) == {}
    path.write_bytes(b"#" * (MAX_TOML_BYTES + 1))
    with pytest.raises(ConfigError, match="1000001 bytes; at most 1000000 are read"):
        read_toml(path)


def test_messages_name_file_and_table(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[training]\nname = 1\n")
    with pytest.raises(ConfigError, match=r"^config .*c.toml \[training\] name: is 1 \(int\), allowed is str$"):
        read_section(path, "training", Inner)


def test_dataclass_to_mapping_and_back() -> None:
    config = Outer(rate=0.5, widths=(4, 5), scales=(), inner=Inner(name="a"), limit=2.0)
    values = as_mapping(config)
    assert values["widths"] == [4, 5] and values["inner"] == {"name": "a", "size": 3}
    assert from_mapping(Outer, values, "x") == config
