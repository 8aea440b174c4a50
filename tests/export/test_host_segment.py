"""Host segments: ONNX computes what torch computes, for any number of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.deployment import HostSegment
from export.errors import ExportError, InputDataError
from export.host_segment import (
    BATCH,
    HostFile,
    chip_inputs,
    output_counts,
    output_rates,
    run_host_segments,
    write_host_segment,
)
from export.interpreters.integer_interpreter import run_integer
from export.pipeline import lower
from export.reader import trace_network
from export.trace import Array
from hardware_profiles.arithmetic import CONTEXT_FRACTION_BITS, quantize_context
from hardware_profiles.profile import integer_format

from ..networks import mixed_inputs, mixed_network

NUM_STEPS, NUM_FEATURES, WIDTH = 5, 7, 6
DEEPEST_SUM = NUM_FEATURES + WIDTH + WIDTH
"""Additions on the longest path from a feature to a statistic."""


class Encoder(nn.Module):
    """Two layers per step, their mean over the features as a statistic, their mean over time as a context."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(NUM_FEATURES, WIDTH), nn.ReLU(), nn.Dropout(0.5), nn.Linear(WIDTH, WIDTH), nn.ReLU()
        )

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        encoded = self.layers(features)
        return encoded.mean(dim=2, keepdim=True), encoded.mean(dim=1)


def encoder(name: str = "context", inputs: tuple[str, ...] = ("features",)) -> HostSegment:
    torch.manual_seed(0)
    return HostSegment(name, Encoder(), inputs, ("statistics", "context"), "before")


def features(num_samples: int, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {"features": rng.normal(0, 2, (num_samples, NUM_STEPS, NUM_FEATURES)).astype(np.float32)}


def rounding_bound(module: Encoder, array: Array) -> float:
    """Largest |float32 − exact| of a statistic: every product and sum rounds once, of terms no larger than these."""
    magnitude = np.abs(array.astype(np.float64))
    for layer in (module.layers[0], module.layers[3]):
        weight, bias = (np.abs(p.detach().double().numpy()) for p in (layer.weight, layer.bias))
        magnitude = magnitude @ weight.T + bias
    return float(magnitude.max() * (DEEPEST_SUM + 3) * 2.0**-24)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HostSegment, HostFile]:
    folder = tmp_path_factory.mktemp("export")
    segment = encoder()
    file, _ = write_host_segment(segment, features(3), folder)
    return folder, segment, file


def test_the_file_is_described(written: tuple[Path, HostSegment, HostFile]) -> None:
    folder, _, file = written
    assert (file.name, file.file, file.when) == ("context", "host_context.onnx", "before")
    assert (file.inputs, file.outputs) == (("features",), ("statistics", "context"))
    assert file.flop == 2 * NUM_STEPS * (NUM_FEATURES * WIDTH + WIDTH * WIDTH), "multiply-accumulates of one sample"
    assert [path.name for path in folder.iterdir()] == ["host_context.onnx"]


@pytest.mark.parametrize("num_samples", [1, 2, BATCH - 1, BATCH, 2 * BATCH + 1])
def test_onnx_is_torch_for_any_batch(written: tuple[Path, HostSegment, HostFile], num_samples: int) -> None:
    folder, segment, file = written
    arrays = features(num_samples, seed=num_samples)
    got = run_host_segments(folder, [file], "before", arrays)
    with torch.no_grad():
        expected = segment.module.eval()(torch.from_numpy(arrays["features"]))
    bound = rounding_bound(segment.module, arrays["features"])
    assert bound < 1e-4
    for name, value in zip(file.outputs, expected, strict=True):
        assert got[name].shape == value.shape and got[name].dtype == np.float32
        assert np.abs(got[name] - value.numpy()).max() <= 2 * bound, name
        assert np.unique(got[name]).size > num_samples / 2
    assert got["features"] is arrays["features"], "what was known stays"

    statistics = expected[0].numpy().astype(np.float64)
    scaled = statistics * 2**CONTEXT_FRACTION_BITS + 0.5
    undecided = np.abs(scaled - np.round(scaled)) <= 1e-5 * 2**CONTEXT_FRACTION_BITS
    equal = quantize_context(got["statistics"]) == quantize_context(statistics)
    assert (equal | undecided).all() and undecided.mean() < 0.1


def test_dropout_is_off_in_the_file(written: tuple[Path, HostSegment, HostFile]) -> None:
    folder, _, file = written
    first, second = (run_host_segments(folder, [file], "before", features(4)) for _ in range(2))
    assert np.array_equal(first["context"], second["context"])


def test_a_sample_alone_is_exported_too(tmp_path: Path) -> None:
    file, outputs = write_host_segment(encoder(), features(1), tmp_path)
    got = run_host_segments(tmp_path, [file], "before", features(4))
    assert outputs["context"].shape == (1, WIDTH) and got["context"].shape == (4, WIDTH)


def test_segments_run_in_order_and_on_their_side(tmp_path: Path) -> None:
    class Double(nn.Module):
        def forward(self, value: torch.Tensor) -> tuple[torch.Tensor]:
            return (value * 2,)

    first = HostSegment("first", Double(), ("x",), ("y",), "before")
    second = HostSegment("second", Double(), ("y",), ("z",), "before")
    last = HostSegment("last", Double(), ("z",), ("w",), "after")
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    files = [write_host_segment(segment, dict.fromkeys("xyz", x), tmp_path)[0] for segment in (first, second, last)]
    before = run_host_segments(tmp_path, files, "before", {"x": x})
    assert set(before) == {"x", "y", "z"} and np.array_equal(before["z"], 4 * x)
    assert np.array_equal(run_host_segments(tmp_path, files, "after", before)["w"], 8 * x)


def test_missing_arrays_are_named(written: tuple[Path, HostSegment, HostFile], tmp_path: Path) -> None:
    folder, _, file = written
    with pytest.raises(InputDataError, match="host segment context: no array 'features', there are other"):
        run_host_segments(folder, [file], "before", {"other": np.zeros((1, 1))})
    with pytest.raises(ExportError, match="host segment context: no array 'missing', there are features"):
        write_host_segment(encoder(inputs=("missing",)), features(2), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["absent", "text", "cut", "shape"])
def test_what_onnx_runtime_refuses_is_one_line(
    written: tuple[Path, HostSegment, HostFile], tmp_path: Path, damage: str
) -> None:
    folder, _, file = written
    arrays = features(2)
    model = (folder / file.file).read_bytes()
    if damage == "shape":
        arrays = {"features": arrays["features"][:, :, :-1]}
    if damage != "absent":
        (tmp_path / file.file).write_bytes({"text": b"not a model", "cut": model[: len(model) // 2]}.get(damage, model))
    with pytest.raises(ExportError, match="ONNX Runtime cannot run it") as caught:
        run_host_segments(tmp_path, [file], "before", arrays)
    assert "\n" not in str(caught.value) and file.file in str(caught.value)


class Alone(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features * 2


class Looping(nn.Module):
    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor]:
        while features.sum() > 1:
            features = features / 2
        return (features,)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Alone(), "returns Tensor, allowed is a tuple of 1 tensors"),
        (Looping(), "torch cannot export it"),
    ],
)
def test_modules_that_cannot_be_a_segment(tmp_path: Path, module: nn.Module, message: str) -> None:
    segment = HostSegment("odd", module, ("features",), ("y",), "before")
    with pytest.raises(ExportError, match=f"host segment odd: {message}") as caught:
        write_host_segment(segment, features(2), tmp_path)
    assert "\n" not in str(caught.value)


def test_chip_inputs_put_time_first_and_quantise_floats_once() -> None:
    graph = trace_network(mixed_network()).graph
    inputs = {name: array.transpose(1, 0, 2) for name, array in mixed_inputs(num_steps=6, batch=3).items()}
    got = chip_inputs(graph, inputs)
    for name, array in inputs.items():
        assert np.array_equal(got[name], array.transpose(1, 0, 2)) and got[name].dtype == array.dtype
    floats = inputs["context"] / 2**CONTEXT_FRACTION_BITS
    again = chip_inputs(graph, inputs | {"context": floats}, made={"context"})
    assert np.array_equal(again["context"], got["context"]) and again["context"].dtype == np.int16
    assert (got["context"] > 1).any(), "integers are graded values already, and stay"
    with pytest.raises(InputDataError, match="input context: graded values are integers within ±1023"):
        chip_inputs(graph, inputs | {"context": floats})


def test_chip_inputs_that_are_missing_or_flat() -> None:
    graph = trace_network(mixed_network()).graph
    inputs = {name: array.transpose(1, 0, 2) for name, array in mixed_inputs(num_steps=6, batch=3).items()}
    with pytest.raises(InputDataError, match="input context: missing, there are x; rename the array"):
        chip_inputs(graph, {"x": inputs["x"]})
    with pytest.raises(InputDataError, match=r"input x: shape \(6, 32\), allowed is \[N, T, 32\]"):
        chip_inputs(graph, inputs | {"x": inputs["x"][0]})


def test_rates_are_counts_per_step() -> None:
    graph = lower(trace_network(mixed_network()).graph, integer_format("loihi2"))
    trace = run_integer(graph, mixed_inputs(num_steps=12, batch=3))
    counts = output_counts(graph, trace)
    assert set(counts) == {"output_0"}
    (source,) = graph.sources("output_0")
    assert np.array_equal(counts["output_0"], trace[source].s.astype(np.int64).sum(axis=0)) and counts["output_0"].any()
    rates = output_rates(counts, 12)
    assert set(rates) == {"output_0_rate"} and rates["output_0_rate"].dtype == np.float32
    assert np.array_equal(rates["output_0_rate"], counts["output_0"].astype(np.float32) / np.float32(12))
