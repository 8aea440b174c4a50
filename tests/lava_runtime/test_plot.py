"""Pictures of what was recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from matplotlib.image import imread

import lava_runtime.__main__
from hardware_profiles.command import run_command
from lava_runtime.dataset.results import LayerRecord, open_records
from lava_runtime.plot import COLOURS, draw, handle, parser

from .dataset.models import DT_S, NUM_STEPS, specification, write_foreign_nir, write_spikes

RNG = np.random.default_rng(0)
S = (RNG.random((20, 8)) < np.linspace(0, 0.9, 8)).astype(np.uint8)
V = RNG.integers(-500, 500, (20, 8)).astype(np.int32)


def record(**changed: object) -> LayerRecord:
    return LayerRecord(**{"name": "l1", "s": S, "v": V, "threshold": np.full(8, 320), **changed})  # type: ignore[arg-type]


def axes_of(layers: list[LayerRecord], chosen: tuple[int, ...] | None = None, dt_s: float = 1e-3) -> list:
    return draw(layers, dt_s, "title", chosen).axes


def test_a_raster_has_a_mark_for_every_spike() -> None:
    raster, _ = axes_of([record()])
    marks = raster.collections[0].get_offsets()
    assert sorted(map(tuple, marks)) == sorted(zip(*map(list, np.nonzero(S)), strict=True)) and len(marks) > 20
    assert raster.get_title(loc="left") == f"l1: {S.sum()} spikes of 8 neurons, {100 * S.mean():.3g} % of neuron-steps"


def lines(axis) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_ydata() for line in axis.lines if line.get_label().startswith("neuron")}


def test_membranes_are_of_the_neurons_that_spike_most_or_were_named() -> None:
    _, traces = axes_of([record()])
    assert set(lines(traces)) == {f"neuron {index}" for index in sorted(np.argsort(-S.sum(0, dtype=int))[:3])}
    _, traces = axes_of([record()], (0, 5))
    assert np.array_equal(lines(traces)["neuron 0"], V[:, 0]) and np.array_equal(lines(traces)["neuron 5"], V[:, 5])
    (traces,) = axes_of([record(s=None)])
    assert len(lines(traces)) == 3


def dashed(axis) -> list[tuple[str, list[float]]]:
    return [(line.get_color(), np.asarray(line.get_ydata()).tolist()) for line in axis.lines if line.is_dashed()]


def test_thresholds_are_drawn_once_each_or_as_they_move() -> None:
    assert [levels for _, levels in dashed(axes_of([record()])[1])] == [[320] * 20]
    own = dashed(axes_of([record(threshold=np.arange(8) * 10)], (2, 3))[1])
    assert own == [(COLOURS[0], [20] * 20), (COLOURS[1], [30] * 20)]
    moving = np.arange(20.0)[:, None]
    assert [levels for _, levels in dashed(axes_of([record(threshold=moving)])[1])] == [list(range(20))]
    assert dashed(axes_of([record(threshold=None)])[1]) == []


def test_time_is_in_steps_and_milliseconds() -> None:
    figure = draw([record(), record(name="l2", v=None)], 0.25e-3, "title", None)
    *_, last = figure.axes
    assert last.get_xlabel() == "time step" and last.get_xlim() == (-0.5, 19.5)
    (above,) = figure.axes[0].child_axes
    figure.draw_without_rendering()
    assert above.get_xlabel() == "time in ms" and np.allclose(above.get_xlim(), (-0.125, 4.875))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of another framework's network."""
    folder = tmp_path_factory.mktemp("ran")
    write_foreign_nir(folder / "m.nir")
    write_spikes(folder / "d.h5", 4)
    words = [str(folder / "m.nir"), "--dt", str(DT_S), "--input", str(folder / "d.h5"), "--out", str(folder / "run")]
    words += ["--record", "l1.s,l1.v,l2.v"]
    assert run_command(lava_runtime.__main__.parser(), lava_runtime.__main__.handle, words) == 0
    return folder


def plot(*words: str) -> int:
    return run_command(parser(), handle, list(words))


@pytest.mark.lava
def test_records_are_read_sample_by_sample(ran: Path) -> None:
    with h5py.File(ran / "d.h5") as file:
        trace = specification(ran / "m.nir", file["input"][()])
    with open_records(ran / "run") as records:
        assert records.layers == ("l1", "l2") and records.dt_s == DT_S and records.world == "Lava fixed_pt, fused"
        layer = records.read("l1", 2)
        assert np.array_equal(layer.s, trace["l1"].s[:, 2]) and np.array_equal(layer.v, trace["l1"].v[:, 2])
        # a hard reset at once leaves no membrane above its threshold
        assert layer.threshold is not None and (layer.v <= layer.threshold).all() and layer.s.any()
        assert records.read("l2", 0).s is None


@pytest.mark.lava
@pytest.mark.parametrize("name", ["p.png", "p.svg", "p.pdf"])
def test_a_picture_is_written(ran: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / name
    assert plot(str(ran / "run"), "--sample", "1", "--layers", "l1,l2", "--neurons", "0,3", "--out", str(out)) == 0
    assert capsys.readouterr().out == f"drawn into {out}\n"
    assert [path.name for path in tmp_path.iterdir()] == [name] and out.stat().st_size > 5_000
    if name.endswith("png"):
        picture = imread(out)
        assert picture.shape[1] == 1200 and len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20
    if name.endswith("svg"):
        content = out.read_bytes()
        assert plot(str(ran / "run"), "--sample", "1", "--layers", "l1,l2", "--neurons", "0,3", "--out", str(out)) == 0
        assert out.read_bytes() == content


@pytest.mark.lava
def test_without_options_the_picture_lies_in_the_folder(ran: Path) -> None:
    assert plot(str(ran / "run")) == 0
    assert (ran / "run" / "sample_0.png").is_file() and NUM_STEPS > 1


def no_records(folder: Path) -> None:
    (folder / "run" / "records.h5").unlink()


def foreign(folder: Path) -> None:
    with h5py.File(folder / "run" / "records.h5", "r+") as file:
        file.attrs["format"] = np.bytes_("other")


def keep(folder: Path) -> None:
    """Nothing is damaged."""


@pytest.mark.lava
@pytest.mark.parametrize(
    ("damage", "words", "message"),
    [
        (keep, ("--sample", "4"), "sample 4: allowed are 0 to 3"),
        (keep, ("--sample", "-1"), "sample -1: allowed are 0 to 3"),
        (keep, ("--layers", "l9"), "layer 'l9': was not recorded, there are l1, l2"),
        (keep, ("--layers", ","), "--layers: names 0 of l1, l2"),
        (keep, ("--neurons", "0,x"), "--neurons 0,x: allowed are numbers from 0"),
        (keep, ("--neurons", "7"), "--neurons 7: l2 has 6 neurons, allowed are 0 to 5"),
        (keep, ("--out", "p.jpeg"), "--out p.jpeg: allowed are names that end in .png, .svg, .pdf"),
        (no_records, (), "run: holds no records.h5; run python -m lava_runtime with --record"),
        (foreign, (), "records.h5: is not of format 'axonport-records-1'"),
        (lambda folder: (folder / "run" / "records.h5").write_text("no"), (), "not a readable HDF5 file"),
    ],
)
def test_what_is_wrong_is_one_line(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None], words: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "records.h5").write_bytes((ran / "run" / "records.h5").read_bytes())
    damage(tmp_path)
    before = {path.name for path in (tmp_path / "run").iterdir()}
    assert plot("run", *words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("python -m lava_runtime.plot: error: ") and said.err.count("\n") == 1
    assert message in said.err and said.out == ""
    assert {path.name for path in (tmp_path / "run").iterdir()} == before
