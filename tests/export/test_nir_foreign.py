"""Files of other frameworks, as their exporters write them: no metadata, scalars, gains, subgraphs, loops."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch

from export.errors import ExportError, NirFileError
from export.graph import Graph
from export.interpreters.float_interpreter import run_float
from export.nir_file import read_nir, write_nir
from export.nodes import LI, LIF, Conv, CubaLIF, Pool, Scale
from export.trace import Array

from .nir_graphs import inputs_for

DT_S = 1e-4
RNG = np.random.default_rng(0)
W1, W2 = (RNG.normal(0, 0.7, shape).astype(np.float32) for shape in ((6, 8), (6, 6)))
BIAS = RNG.normal(0, 0.3, 6).astype(np.float32)


def save(tmp_path: Path, nodes: dict[str, Any], edges: list[tuple[str, str]], **metadata: Any) -> Path:
    """Write without type checks, as files of nir < 1.0.5 were."""
    path = tmp_path / "foreign.nir"
    nir.write(str(path), nir.NIRGraph(nodes, edges, metadata=metadata, type_check=False))
    return path


def chain(tmp_path: Path, shape: tuple[int, ...], *units: Any, **metadata: Any) -> Path:
    names = ["input", *(f"u{k}" for k in range(len(units))), "output"]
    nodes = dict(zip(names, [nir.Input(np.array(shape)), *units, nir.Output(np.array([0]))], strict=True))
    return save(tmp_path, nodes, list(itertools.pairwise(names)), **metadata)


def lif(n: int = 6, tau: float = 2 * DT_S, r: float = 2.0, threshold: float = 1.0, **more: Any) -> Any:
    full = {"tau": tau, "r": r, "v_leak": 0.0, "v_threshold": threshold, **more}
    return nir.LIF(**{name: np.full(n, value) for name, value in full.items()})


def output(graph: Graph, seed: int = 0) -> tuple[Array, Array]:
    """Return (input, first output) of a run, flattened."""
    inputs = inputs_for(graph, 60, 4, seed=seed)
    (x,) = inputs.values()
    spikes = next(iter(run_float(graph, inputs).outputs.values()))
    return x.reshape(60, 4, -1).astype(np.float64), spikes.reshape(60, 4, -1)


def euler(
    current: Callable[[int, Array], Array], beta: float, gain: float, theta: float, x: Array, n: int = 6
) -> Array:
    """v += dt/tau (−v + r I), spike, reset to zero: NIR's LIF in double precision; `current` sees the last spikes."""
    v = s = np.zeros((x.shape[1], n))
    spikes = []
    for t in range(len(x)):
        v = beta * v + gain * current(t, s)
        s = (v > theta).astype(np.float64)
        v = v * (1 - s)
        spikes.append(s)
    return np.stack(spikes)


def assert_spikes(found: Array, expected: Array) -> None:
    assert np.array_equal(found, expected) and 0.01 < expected.mean() < 0.9


def test_scalar_parameters_serve_the_whole_layer(tmp_path: Path) -> None:
    unit = nir.LIF(*(np.array([value]) for value in (2 * DT_S, 2.0, 0.0, 1.0)))
    graph = read_nir(chain(tmp_path, (8,), nir.Affine(W1, BIAS), unit), DT_S)
    node = graph.nodes["u1"]
    assert isinstance(node, LIF) and node.beta.shape == (6,) and "u1.gain" not in graph.nodes
    x, spikes = output(graph)
    assert_spikes(spikes, euler(lambda t, s: x[t] @ W1.T + BIAS, 0.5, 1, 1, x))


def test_one_threshold_per_channel(tmp_path: Path) -> None:
    conv = nir.Conv2d((8, 8), RNG.normal(0, 1, (3, 2, 3, 3)).astype(np.float32), 1, 0, 1, 1, np.zeros(3, np.float32))
    theta = np.array([0.5, 1.0, 2.0]).reshape(3, 1, 1)
    unit = nir.IF(r=np.full((3, 1, 1), 1 / DT_S), v_threshold=theta)
    node = read_nir(chain(tmp_path, (2, 6, 6), conv, unit), DT_S).nodes["u1"]
    assert isinstance(node, LIF) and node.threshold is not None and node.threshold.shape == (3, 4, 4)
    assert np.array_equal(np.unique(node.threshold[2]), [2]) and (node.beta == 1).all()


def test_another_r_becomes_a_scale_before_the_neuron(tmp_path: Path) -> None:
    """Norse's files: r = 1, so the input counts dt/tau."""
    graph = read_nir(chain(tmp_path, (8,), nir.Affine(4 * W1, BIAS), lif(tau=4 * DT_S, r=1)), DT_S)
    gain = graph.nodes["u1.gain"]
    assert isinstance(gain, Scale) and np.unique(gain.weight) == 0.25
    x, spikes = output(graph)
    assert_spikes(spikes, euler(lambda t, s: x[t] @ (4 * W1.T) + BIAS, 0.75, 0.25, 1, x))


def test_the_time_step_decides_the_decay(tmp_path: Path) -> None:
    path = chain(tmp_path, (8,), nir.Affine(W1, BIAS), lif(tau=4e-4, r=4))
    assert np.unique(read_nir(path, 1e-4).nodes["u1"].beta) == 0.75  # type: ignore[union-attr]
    assert np.unique(read_nir(path, 2e-4).nodes["u1"].beta) == 0.5  # type: ignore[union-attr]
    with pytest.raises(NirFileError, match=r"node u1: tau down to 0.0004 s is shorter than dt = 0.001 s"):
        read_nir(path, 1e-3)
    for given in (0.0, -1.0, float("nan")):
        with pytest.raises(NirFileError, match="a time step of"):
            read_nir(path, given)


def test_metadata_dt_comes_before_the_callers(tmp_path: Path) -> None:
    path = chain(tmp_path, (8,), nir.Affine(W1, BIAS), lif(), dt=DT_S)
    assert read_nir(path, 1.0).dt_s == DT_S


def test_cuba_lif_gains_multiply(tmp_path: Path) -> None:
    values = {"tau_syn": 2 * DT_S, "tau_mem": 4 * DT_S, "r": 2.0, "v_leak": 0.0, "v_threshold": 0.25, "w_in": 3.0}
    unit = nir.CubaLIF(**{name: np.full(6, value) for name, value in values.items()})
    graph = read_nir(chain(tmp_path, (8,), nir.Linear(W1), unit), DT_S)
    assert isinstance(graph.nodes["u1"], CubaLIF)
    assert np.unique(graph.nodes["u1.gain"].weight) == 0.75  # type: ignore[union-attr]  # 3/2 before, 2/4 behind
    x, spikes = output(graph)
    current = np.zeros((4, 6))

    def synapse(t: int, s: Array) -> Array:
        nonlocal current
        current = 0.5 * current + 1.5 * (x[t] @ W1.T)
        return current

    assert_spikes(spikes, euler(synapse, 0.75, 0.5, 0.25, x))


def test_integrators_with_and_without_threshold(tmp_path: Path) -> None:
    r = np.full(6, 1 / DT_S)
    threshold = nir.Threshold(np.full(6, 3.0))
    node = read_nir(chain(tmp_path, (8,), nir.Linear(W1), nir.I(r=r), threshold), DT_S).nodes["u2"]
    assert isinstance(node, LIF) and node.reset == "none" and (node.beta == 1).all()
    full = {
        name: np.full(6, value) for name, value in {"tau_syn": 2 * DT_S, "tau_mem": 4 * DT_S, "v_leak": 0.0}.items()
    }
    li = nir.CubaLI(r=np.full(6, 4.0), w_in=2.0, **full)
    graph = read_nir(chain(tmp_path, (8,), nir.Linear(W1), li, nir.Affine(W2, BIAS), lif()), DT_S)
    assert isinstance(graph.nodes["u1"], LI) and isinstance(graph.nodes["u1.current"], LI)
    x, spikes = output(graph)
    current = v = np.zeros((4, 6))
    traces = []
    for step in x:
        current = 0.5 * current + step @ W1.T
        v = 0.75 * v + current
        traces.append(v @ W2.T + BIAS)
    assert_spikes(spikes, euler(lambda t, s: traces[t], 0.5, 1, 1, x))


def recurrent(unit: Any, *, nested: bool) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """RLeaky as snnTorch 1.0.0 exports it: a subgraph of neuron and weights in a loop without Delay."""
    loop = {"lif": unit, "w_rec": nir.Affine(W2, BIAS)}
    wires = [("lif", "w_rec"), ("w_rec", "lif")]
    shell = {"input": nir.Input(np.array([8])), "fc": nir.Linear(W1), "output": nir.Output(np.array([6]))}
    if not nested:
        return {**shell, **loop}, [("input", "fc"), ("fc", "lif"), ("lif", "output"), *wires]
    ends = {"input": nir.Input(np.array([6])), "output": nir.Output(np.array([6]))}
    inner = nir.NIRGraph({**ends, **loop}, [("input", "lif"), *wires, ("lif", "output")], type_check=False)
    return {**shell, "rnn": inner}, [("input", "fc"), ("fc", "rnn"), ("rnn", "output")]


@pytest.mark.parametrize("nested", [False, True])
def test_a_loop_without_delay_sends_the_last_steps_spikes(nested: bool, tmp_path: Path) -> None:
    graph = read_nir(save(tmp_path, *recurrent(lif(), nested=nested)), DT_S)
    prefix = "rnn." if nested else ""
    assert [(e.source, e.target) for e in graph.edges if e.delay] == [(f"{prefix}lif", f"{prefix}w_rec")]
    x, spikes = output(graph)
    # the bias behind the recurrent weights acts from the first step, as in snnTorch
    assert_spikes(spikes, euler(lambda t, s: x[t] @ W1.T + s @ W2.T + BIAS, 0.5, 1, 1, x))


def test_two_loops_through_one_neuron_need_two_delays_at_most(tmp_path: Path) -> None:
    nodes, edges = recurrent(lif(), nested=False)
    nodes |= {"w2": nir.Linear(W2), "lif2": lif(), "w3": nir.Linear(W2)}
    edges += [("lif", "w2"), ("w2", "lif2"), ("lif2", "w3"), ("w3", "lif")]
    graph = read_nir(save(tmp_path, nodes, edges), DT_S)
    assert sorted((e.source, e.target) for e in graph.edges if e.delay) == [("lif", "w_rec"), ("lif2", "w3")]


def test_delays_become_delays_of_edges(tmp_path: Path) -> None:
    late = nir.Delay(np.full(8, 3 * DT_S))
    graph = read_nir(chain(tmp_path, (8,), late, nir.Delay(np.full(8, DT_S)), nir.Affine(W1, BIAS), lif()), DT_S)
    assert [(e.source, e.target, e.delay) for e in graph.edges if e.delay] == [("input", "u2", 4)]
    x, spikes = output(graph)
    shifted = np.concatenate([np.zeros((4, *x.shape[1:])), x[:-4]])
    assert_spikes(spikes, euler(lambda t, s: shifted[t] @ W1.T + BIAS, 0.5, 1, 1, x))


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        (np.full(8, 2.5 * DT_S), "a delay of 2.5 steps, allowed are whole steps"),
        (np.arange(8) * DT_S, "delays differ between neurons"),
        (np.full(8, -DT_S), "a delay of -1 steps"),
        (np.full(8, 1e9), "too large to read"),
    ],
)
def test_delays_that_no_edge_can_have(seconds: Array, reason: str, tmp_path: Path) -> None:
    with pytest.raises(NirFileError, match=reason):
        read_nir(chain(tmp_path, (8,), nir.Delay(seconds), nir.Affine(W1, BIAS), lif()), DT_S)


def test_delays_in_a_circle_and_in_ever_more_branches(tmp_path: Path) -> None:
    late = {name: nir.Delay(np.full(8, DT_S)) for name in ("d1", "d2")}
    nodes = {"input": nir.Input(np.array([8])), **late, "lif": lif(8), "output": nir.Output(np.array([8]))}
    circle = [("input", "d1"), ("d1", "d2"), ("d2", "d1"), ("d2", "lif"), ("lif", "output")]
    with pytest.raises(NirFileError, match="delays form a circle"):
        read_nir(save(tmp_path, nodes, circle), DT_S)
    nodes |= {f"{side}{k}": nir.Delay(np.full(8, 0.0)) for side in "ab" for k in range(30)}
    edges = [("input", "a0"), ("input", "b0"), ("a29", "lif"), ("b29", "lif"), ("lif", "output")]
    edges += [(f"{left}{k}", f"{right}{k + 1}") for left in "ab" for right in "ab" for k in range(29)]
    with pytest.raises(NirFileError, match="too large to read"):
        read_nir(save(tmp_path, nodes, edges), DT_S)


@pytest.mark.parametrize("change", [{"v_leak": 0.1}, {"v_reset": -0.2}])
def test_other_potentials_are_refused_by_name(change: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(NirFileError, match=f"node u1: {next(iter(change))} is not 0"):
        read_nir(chain(tmp_path, (8,), nir.Affine(W1, BIAS), lif(**change)), DT_S)


def test_images_as_frameworks_write_them(tmp_path: Path) -> None:
    """Rectangular kernel, groups, one number for both axes, strings for padding, Flatten from axis 0."""
    weight = RNG.normal(0, 0.6, (4, 1, 3, 5)).astype(np.float32)
    units = [
        nir.Conv2d((8, 8), weight, np.array([1, 2]), np.array([1, 0]), 1, 2, np.zeros(4, np.float32)),
        nir.IF(np.array([1 / DT_S]), np.array([1.0])),
        nir.AvgPool2d(2, 2, 0),
        nir.Conv2d((8, 8), RNG.normal(0, 1, (3, 4, 2, 3)).astype(np.float32), 1, "same", 1, 1, np.zeros(3, np.float32)),
        nir.IF(np.array([1 / DT_S]), np.array([0.5])),
        nir.Flatten({"input": np.array([3, 4, 1])}, 0, -1),
        nir.Linear(RNG.normal(0, 1, (6, 12)).astype(np.float32)),
        lif(),
    ]
    graph = read_nir(chain(tmp_path, (2, 8, 8), *units), DT_S)
    conv, pool, same = graph.nodes["u0"], graph.nodes["u2"], graph.nodes["u3"]
    assert isinstance(conv, Conv) and conv.geometry.groups == 2 and conv.shape == (4, 8, 2)
    assert isinstance(pool, Pool) and pool.kernel == (2, 2)
    assert isinstance(same, Conv) and same.shape == (3, 4, 1)
    assert output(graph)[1].any()


@pytest.mark.parametrize(
    ("kernel", "dilation"), [((2, 3), (1, 1)), ((2, 2), (3, 1)), ((4, 3), (1, 2)), ((1, 1), (1, 1))]
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_padding_same_is_torchs(kernel: tuple[int, int], dilation: tuple[int, int], tmp_path: Path) -> None:
    weight = RNG.integers(-8, 9, (3, 2, *kernel)).astype(np.float32)
    unit = nir.Conv2d((8, 8), weight, 1, "same", np.array(dilation), 1, np.zeros(3, np.float32))
    graph = read_nir(chain(tmp_path, (2, 7, 7), unit, nir.Threshold(np.array([0.5]))), DT_S)
    x = inputs_for(graph)["input"]
    with torch.no_grad():
        batch = torch.from_numpy(x.reshape(-1, 2, 7, 7)).float()
        expected = torch.nn.functional.conv2d(batch, torch.from_numpy(weight), padding="same", dilation=dilation) > 0.5
    assert_spikes(run_float(graph, {"input": x}).outputs["output"].reshape(expected.shape), expected.numpy())


def test_norses_batch_axis_is_dropped(tmp_path: Path) -> None:
    graph = read_nir(chain(tmp_path, (1, 8), nir.Affine(W1, BIAS), lif()), DT_S)
    assert graph.nodes["input"].shape == (8,)


def test_residual_branches_are_summed(tmp_path: Path) -> None:
    """What snnTorch's own exporter loses."""
    nodes = {"input": nir.Input(np.array([8])), "fc1": nir.Linear(W1), "a": lif(), "fc2": nir.Linear(W2), "b": lif()}
    nodes |= {"output": nir.Output(np.array([6]))}
    edges = [("input", "fc1"), ("fc1", "a"), ("a", "fc2"), ("fc2", "b"), ("a", "b"), ("b", "output")]
    x, spikes = output(read_nir(save(tmp_path, nodes, edges), DT_S))
    first = euler(lambda t, s: x[t] @ W1.T, 0.5, 1, 1, x)
    assert_spikes(spikes, euler(lambda t, s: first[t] @ W2.T + first[t], 0.5, 1, 1, x))


def test_what_is_read_can_be_written_and_read_again(tmp_path: Path) -> None:
    graph = read_nir(save(tmp_path, *recurrent(lif(tau=4 * DT_S, r=1, threshold=0.25), nested=True)), DT_S)
    write_nir(graph, tmp_path / "ours.nir")
    again = read_nir(tmp_path / "ours.nir")
    assert_spikes(output(again)[1], output(graph)[1])


@pytest.mark.parametrize(
    ("units", "reason"),
    [
        ([nir.Affine(W1, BIAS), nir.LIF(*(np.ones((2, 3)),) * 4)], "v_leak is not 0"),
        ([nir.Linear(np.zeros((2, 6, 8), np.float32)), lif()], r"a weight of shape \(2, 6, 8\)"),
        ([nir.Linear(W2), lif()], r"sends 8 values, allowed is 6"),
        ([nir.Affine(W1, BIAS), nir.LI(np.ones(6), np.ones(6), np.zeros(6))], "no spiking neuron"),
        ([nir.Flatten({"input": np.array([8])}, 0, 5), lif(8)], "damaged NIR node"),
    ],
)
def test_refusals(units: list[Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=reason) as caught:
        read_nir(chain(tmp_path, (8,), *units), DT_S)
    assert "\n" not in str(caught.value)


def test_a_subgraph_with_its_own_clock_is_refused(tmp_path: Path) -> None:
    nodes, edges = recurrent(lif(), nested=True)
    nodes["rnn"].metadata["dt"] = 1e-3
    with pytest.raises(NirFileError, match="node rnn: a subgraph with a time step of its own"):
        read_nir(save(tmp_path, nodes, edges), DT_S)
