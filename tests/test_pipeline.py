"""Video to joules on a tiny benchmark, command by command, as `make demo` does it."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest

import export.__main__
import lava_runtime.__main__
from export.arrays import load_arrays
from export.host_segment import chip_inputs, made_by_hosts, run_host_segments
from export.interpreters.integer_interpreter import run_integer
from export.nodes import IntegerDynamicThresholdLIF
from export.package import Exported, load_export
from export.trace import Array
from hardware_profiles.__main__ import main as hardware_profiles_main
from hardware_profiles.activity import read_activity
from hardware_profiles.artifact import read_json
from hardware_profiles.command import run_command
from hardware_profiles.energy import price
from hardware_profiles.number_format import format_si
from hardware_profiles.profile import load_profile
from hardware_profiles.reference_file import read_reference
from lava_runtime.counts import count_events
from training.__main__ import main as training_main

pytestmark = pytest.mark.lava

CONFIG = """
[benchmark]
num_seen = 6
num_val_unseen = 1
num_test_unseen = 1
train_clips = 4
val_seen_clips = 1
val_unseen_clips = 1
test_clips = 2
size_px = 32
num_frames = 9
[preparation]
num_bins = 8
frame_cells = 4
[preparation.video]
height_px = 32
width_px = 32
[preparation.events]
cells = 8
[preparation.audio]
num_bands = 16
[model]
architecture = "mdst"
steps = [8]
widths = [16, 16, 8]
num_groups = 4
discrepancy_width = 8
context_width = 12
embedding_width = 8
[training]
epochs = 2
batch_size = 8
learning_rate = 0.002
weight_decay = 0.0001
seed = 0
[protocol]
stages = "A"
[export]
num_samples = 64
[simulation]
batch_size = 5
process_samples = 1
[report]
batch_sizes = [2]
window_s = 0.02
"""
NUM_TEST, NUM_STEPS, ONNX_SAMPLES = 16, 8, 8
"""2 clips of each of 8 classes."""
STAGES = ("render", "prepare", "fit", "export", "simulate", "score", "reference", "report")
FOLDERS = ("videos", "dataset", "training", "export", "simulation", "scores", "reference", "report")
STREAM_LAYERS = [f"{stream}.neurons.{i}.lif" for stream in ("visual", "audio") for i in range(3)]
DISCREPANCY_LAYERS = [f"discrepancy.{population}_alone.lif" for population in ("sound", "sight")]
LAYERS = [*STREAM_LAYERS, *DISCREPANCY_LAYERS]
NETWORK = "training.model.mdst:make_deployment"
UP_TO_DATE = "up to date"


class Ran(NamedTuple):
    """What a command said."""

    code: int
    out: str
    errors: str


def stage_commands(run: Path, config: Path) -> dict[str, Callable[[], int]]:
    """Return the eight commands of the Makefile's pipeline."""
    configured = ["--config", str(config)]
    samples = ["--input", f"{run}/dataset/dataset.h5", "--group", "test_seen", "--group", "test_unseen"]
    network = [NETWORK, "--checkpoint", f"{run}/training/checkpoint.safetensors"]
    scored = [
        f"{run}/{folder}/outputs_{world}.h5"
        for folder, world in (
            ("export", "float"), ("export", "integer"), ("simulation", "fixed_pt"), ("simulation", "floating_pt")
        )
    ]  # fmt: skip
    stages = ("simulation", "export", "scores", "training", "reference")
    read = [word for stage in stages for word in (f"--{stage}", f"{run}/{stage}")]
    arguments: dict[str, list[str]] = {
        "render": ["render", *configured],
        "prepare": ["prepare", *configured, "--videos", f"{run}/videos"],
        "fit": ["fit", *configured, "--data", f"{run}/dataset"],
        "export": [*network, "--example", *samples[1:], *configured],
        "simulate": [f"{run}/export", *samples, *configured],
        "score": ["score", *scored, "--training", f"{run}/training", "--data", f"{run}/dataset"],
        "reference": ["reference", *network, *samples, *configured],
        "report": ["report", *read, *configured],
    }
    mains: dict[str, Callable[[list[str]], int]] = {
        "export": lambda words: run_command(export.__main__.parser(), export.__main__.handle, words),
        "simulate": lambda words: run_command(lava_runtime.__main__.parser(), lava_runtime.__main__.handle, words),
        "reference": hardware_profiles_main,
        "report": hardware_profiles_main,
    }
    return {
        stage: lambda stage=stage, folder=folder: mains.get(stage, training_main)(
            [*arguments[stage], "--out", f"{run}/{folder}"]
        )
        for stage, folder in zip(STAGES, FOLDERS, strict=True)
    }


def run_stages(run: Path, config: str, stages: tuple[str, ...] = STAGES) -> dict[str, Ran]:
    path = run.parent / "config.toml"
    path.write_text(config)
    commands, said = stage_commands(run, path), {}
    for stage in stages:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as errors:
            code = commands[stage]()
        said[stage] = Ran(code, out.getvalue(), errors.getvalue())
    return said


def snapshot(run: Path) -> dict[str, tuple[int, int, int]]:
    """What changes if a file is written again, even with the same bytes."""
    return {
        str(path.relative_to(run)): (path.stat().st_mtime_ns, path.stat().st_ino, path.stat().st_size)
        for path in run.rglob("*")
    }


class Pipeline(NamedTuple):
    run: Path
    said: Mapping[str, Ran]
    again: Mapping[str, Ran]
    before_again: Mapping[str, tuple[int, int, int]]
    after_again: Mapping[str, tuple[int, int, int]]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    run = tmp_path_factory.mktemp("pipeline") / "run"
    said = run_stages(run, CONFIG)
    before = snapshot(run)
    again = run_stages(run, CONFIG)
    return Pipeline(run, said, again, before, snapshot(run))


@pytest.fixture(scope="module")
def exported(pipeline: Pipeline) -> Exported:
    return load_export(pipeline.run / "export")


@pytest.fixture(scope="module")
def sent(pipeline: Pipeline) -> dict[str, Array]:
    """The chip's inputs as the runtime stored them, time first."""
    with h5py.File(pipeline.run / "simulation" / "inputs.h5") as file:
        return {name: array[()].transpose(1, 0, 2) for name, array in file.items()}


def rungs(folder: Path) -> dict[str, dict[str, Any]]:
    return {rung["name"]: rung for rung in read_json(folder / "parity.json")["rungs"]}


def read_array(path: Path, name: str) -> np.ndarray:
    with h5py.File(path) as file:
        return np.asarray(file[name][()])


def test_every_stage_succeeds_and_leaves_its_folder_alone(pipeline: Pipeline) -> None:
    assert {stage: ran.code for stage, ran in pipeline.said.items()} == dict.fromkeys(STAGES, 0)
    assert {path.name for path in pipeline.run.iterdir()} == set(FOLDERS)
    assert not any("Traceback" in ran.errors or "Warning" in ran.errors for ran in pipeline.said.values())


def test_where_equality_is_claimed_there_are_zeros(pipeline: Pipeline) -> None:
    ladder = rungs(pipeline.run / "export") | rungs(pipeline.run / "simulation")
    assert [rung["class"] for rung in ladder.values()] == [
        "exact", "quantised", "bounded", "exact", "exact", "bounded", "bounded", "exact",
    ]  # fmt: skip
    for name, rung in ladder.items():
        assert rung["holds"], name
        assert sorted(layer["name"] for layer in rung["layers"]) == sorted(LAYERS)
        num_samples = 1 if "per node" in name or "frozen" in name else ONNX_SAMPLES if "ONNX" in name else NUM_TEST
        for layer in rung["layers"]:
            assert layer["compared"] == num_samples * NUM_STEPS * layer["num_neurons"]
            one_sample = num_samples == 1 and layer["name"] in DISCREPANCY_LAYERS  # it may hold no discrepancy
            assert layer["spikes"] > 0 or one_sample, (name, layer["name"])
            if rung["class"] == "exact":
                assert layer["mismatches"] == layer["membrane_mismatches"] == 0
            if rung["class"] == "bounded":
                assert layer["unexplained"] == 0
        assert any(layer["silent_neurons"] for layer in rung["layers"]), "and some neurons are silent"


def test_freezing_the_thresholds_changes_spikes(pipeline: Pipeline) -> None:
    witness = rungs(pipeline.run / "simulation")[
        "NumPy integer interpreter = stock Lava Dense + LIFReset, thresholds frozen"
    ]
    changed = [int(layer["note"].split()[0]) for layer in witness["layers"]]
    assert sum(changed) > 0


def test_thresholds_vary_over_samples_and_steps(pipeline: Pipeline, exported: Exported) -> None:
    rows = {row["name"]: row for row in read_json(pipeline.run / "simulation" / "thresholds.json")["layers"]}
    nodes = exported.integer_graph.of_type(IntegerDynamicThresholdLIF)
    assert set(rows) == set(nodes) == set(STREAM_LAYERS)
    for name, row in rows.items():
        low, high = nodes[name].controller.theta_range
        assert low <= min(row["min"]) and max(row["max"]) <= high and len(row["median"]) == NUM_STEPS
        assert any(a < b for a, b in zip(row["min"], row["max"], strict=True)), f"{name}: same in every sample"
        assert len(set(row["median"])) > 1, f"{name}: same in every step"


def test_the_chips_inputs_are_the_data_set_and_the_context_quantised_once(
    pipeline: Pipeline, exported: Exported, sent: Mapping[str, Array]
) -> None:
    dataset = pipeline.run / "dataset" / "dataset.h5"
    arrays = load_arrays(dataset, ["test_seen", "test_unseen"], exported.host_inputs())
    assert np.array_equal(sent["visual_events"], arrays["visual_events"].transpose(1, 0, 2))
    known = run_host_segments(exported.folder, exported.hosts, "before", arrays)
    expected = chip_inputs(exported.float_graph, known, made_by_hosts(exported.hosts))
    assert set(sent) == set(expected) == {"visual_events", "audio_events", "context_statistics"}
    for name, array in expected.items():
        assert np.array_equal(sent[name], array) and sent[name].any(), name


def test_integer_and_lava_embeddings_are_equal(pipeline: Pipeline) -> None:
    integer = read_array(pipeline.run / "export" / "outputs_integer.h5", "joint_embedding")
    lava = read_array(pipeline.run / "simulation" / "outputs_fixed_pt.h5", "joint_embedding")
    assert integer.shape == (NUM_TEST, 8) and len(np.unique(integer, axis=0)) == NUM_TEST
    assert np.array_equal(integer, lava)


def test_output_counts_are_those_of_the_specification(
    pipeline: Pipeline, exported: Exported, sent: Mapping[str, Array]
) -> None:
    trace = run_integer(exported.integer_graph, sent)
    for stream in ("visual", "audio"):
        counts = read_array(pipeline.run / "simulation" / "outputs_fixed_pt.h5", f"{stream}_motion_count")
        assert np.array_equal(counts, trace[f"{stream}.neurons.2.lif"].s.sum(axis=0)) and counts.any()


def test_activity_is_the_plain_count_of_the_specification(
    pipeline: Pipeline, exported: Exported, sent: Mapping[str, Array]
) -> None:
    activity = read_activity(pipeline.run / "simulation" / "activity.json")
    assert (activity.number_format, activity.granularity) == ("fixed_pt", "fused")
    assert (activity.num_samples, activity.num_steps) == (NUM_TEST, NUM_STEPS)
    assert activity.layers == count_events(exported.integer_graph, sent, run_integer(exported.integer_graph, sent))
    assert all(activity.layer(name).spikes > 0 and activity.layer(name).synops > 0 for name in LAYERS)


def test_scores_are_the_trainings_own_for_the_float_world(pipeline: Pipeline) -> None:
    accuracy = read_json(pipeline.run / "scores" / "accuracy.json")
    metrics = read_json(pipeline.run / "training" / "metrics.json")
    assert [row["world"] for row in accuracy["rows"]] == [
        "snnTorch float32", "NumPy integer interpreter", "Lava fixed_pt, fused", "Lava floating_pt, fused",
    ]  # fmt: skip
    by_world = {row.pop("world"): row for row in accuracy["rows"]}
    heads = {world: row.pop("heads") for world, row in by_world.items()}
    assert by_world["snnTorch float32"] == metrics["test"] and heads["snnTorch float32"] == metrics["heads"]["test"]
    assert by_world["Lava fixed_pt, fused"] == by_world["NumPy integer interpreter"]
    assert accuracy["context_only"] == metrics["context_only"]


def test_the_report_says_what_the_stages_found(pipeline: Pipeline) -> None:
    html = (pipeline.run / "report" / "report.html").read_text()
    activity = read_activity(pipeline.run / "simulation" / "activity.json")
    for profile in ("loihi1", "loihi2"):
        total = price(activity, load_profile(profile)).total_j
        assert format_si(total.mid, "J") in html, profile
    (cpu, *_) = read_reference(pipeline.run / "reference" / "reference.json")
    assert format_si(cpu.energy_low_j, "J") in html
    for world in ("snnTorch float32", "Lava fixed_pt, fused"):
        assert world in html
    for row in read_json(pipeline.run / "scores" / "accuracy.json")["rows"]:
        assert f"{row['ZSL']:.1f}" in html
    assert "4 of 4" in html and "badge broken" not in html
    values = json.loads((pipeline.run / "report" / "report.json").read_text())
    assert len(values["rungs"]) == 8 and (pipeline.run / "report" / "report.md").stat().st_size > 1000


def test_a_second_run_changes_nothing_and_says_so(pipeline: Pipeline) -> None:
    for stage, ran in pipeline.again.items():
        assert ran.code == 0 and UP_TO_DATE in ran.out + ran.errors, stage
    assert pipeline.after_again == pipeline.before_again


def test_a_changed_setting_runs_only_what_depends_on_it(pipeline: Pipeline) -> None:
    """Without single Processes and with another batch, the fused run gives the same, so scores stay."""
    changed = CONFIG.replace("process_samples = 1", "process_samples = 0").replace("batch_size = 5", "batch_size = 12")
    said = run_stages(pipeline.run, changed)
    ran = [stage for stage, ran in said.items() if UP_TO_DATE not in ran.out + ran.errors]
    assert ran == ["simulate", "report"]
    assert all(ran.code == 0 for ran in said.values())
    assert len(rungs(pipeline.run / "simulation")) == 2

    retrained = changed.replace("epochs = 2", "epochs = 1\ntrain_context_only = false").replace("seed = 0", "seed = 1")
    said = run_stages(pipeline.run, retrained, ("render", "prepare", "fit", "export"))
    ran = [stage for stage, ran in said.items() if UP_TO_DATE not in ran.out + ran.errors]
    assert ran == ["fit", "export"]
    assert len(read_json(pipeline.run / "training" / "metrics.json")["history"]) == 1


def test_a_broken_rung_is_still_an_error_when_up_to_date(pipeline: Pipeline) -> None:
    """Last, for it damages the folder."""
    path = pipeline.run / "export" / "parity.json"
    values = read_json(path)
    values["rungs"][0]["layers"][0]["mismatches"] = 3
    path.write_text(json.dumps(values))
    ran = run_stages(pipeline.run, CONFIG, ("export",))["export"]
    assert ran.code == 1 and UP_TO_DATE in ran.out
    assert ran.errors == "python -m export: 3 spikes differ from the network, allowed are 0\n"
