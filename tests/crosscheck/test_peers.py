"""Files of ours in other frameworks, and theirs here, spike by spike; `make crosscheck` installs them and runs this.

Weights are dyadic, so that no sum rounds and every framework has to find the same spikes, whatever its order of
additions; 100 steps, 8 samples.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.graph import Graph
from export.interpreters.float_interpreter import run_float
from export.nir_file import read_nir, write_nir
from export.nodes import LIF, Input, Output, Pool
from export.trace import Array

from ..export.nir_graphs import Net, inputs_for

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = {
    "spikingjelly": ".venv-crosscheck",
    "norse": ".venv-crosscheck",
    "sinabs": ".venv-crosscheck",
    "snntorch": ".venv-crosscheck",
    "spyx": ".venv-crosscheck-spyx",
}
STEPS, BATCH, DT_S = 100, 8, 1e-4

pytestmark = pytest.mark.skipif(
    "AXONPORT_CROSSCHECK" not in os.environ, reason="other frameworks need environments of their own: make crosscheck"
)


def peer(framework: str, *arguments: str | Path) -> None:
    python = ROOT / ENVIRONMENTS[framework] / "bin" / "python"
    command = [python, Path(__file__).with_name("peers.py"), *arguments]
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]


def in_peer(framework: str, model: Path, x: Array) -> Array:
    np.savez(model.with_name("inputs.npz"), x=x)
    peer(framework, "run", framework, model, model.with_name("inputs.npz"), model.with_name("outputs.npz"))
    spikes: Array = np.load(model.with_name("outputs.npz"))["s"]
    return spikes


def finished(net: Net, last: str) -> Graph:
    net.add("output", Output(shape=net.shape(last)), last)
    return Graph(nodes=net.nodes, edges=tuple(net.edges), dialect="float", dt_s=DT_S)


def uniform(net: Net, name: str, source: str, *, cuba: bool = False, reset: str = "zero") -> str:
    """One decay and threshold per layer: SpikingJelly and Norse take no others.

    The threshold is no sum of the weights, since NIR fires above it and SpikingJelly and Spyx also at it.
    """
    full = {key: np.full(net.shape(source), value, np.float32) for key, value in (("beta", 0.5), ("threshold", 1.1))}
    if cuba:
        return net.cuba(name, source, alpha=np.full(net.shape(source), 0.25, np.float32), **full)
    return net.lif(name, source, reset, **full)


def mlp(reset: str = "zero", *, cuba: bool = False) -> Graph:
    net = Net(7, bits=4)
    net.add("input", Input(shape=(64,)))
    uniform(net, "lif1", net.linear("fc1", "input", 128), cuba=cuba, reset=reset)
    last = net.linear("fc2", "lif1", 10, bias=reset == "zero")
    return finished(net, uniform(net, "lif2", last, cuba=cuba, reset=reset))


def conv(reset: str = "zero") -> Graph:
    net = Net(8, bits=4)
    net.add("input", Input(shape=(2, 10, 10)))
    uniform(net, "lif1", net.conv("conv1", "input", 8, (3, 3), padding=(1, 1)), reset=reset)
    last = net.conv("conv2", "lif1", 8, (3, 3), stride=(2, 2), bias=reset == "zero")
    return finished(net, uniform(net, "lif2", last, reset=reset))


def pooled(*, average: bool = True) -> Graph:
    net = Net(9, bits=4)
    net.add("input", Input(shape=(2, 10, 10)))
    uniform(net, "lif1", net.conv("conv1", "input", 8, (3, 3), padding=(1, 1)))
    kind = "average" if average else "sum"
    node = Pool(input_shape=(8, 10, 10), kernel=(2, 2), stride=(2, 2), padding=(0, 0), kind=kind)  # type: ignore[arg-type]
    net.add("pool", node, "lif1")
    uniform(net, "lif2", net.conv("conv2", "pool", 8, (2, 3), groups=2))
    flat = net.reshape("flat", "lif2", int(np.prod(net.shape("lif2"))))
    return finished(net, uniform(net, "lif3", net.linear("fc", flat, 10)))


def assert_equal_spikes(ours: Array, theirs: Array, what: str) -> None:
    different, total = int((ours != theirs.reshape(ours.shape)).sum()), ours.size
    print(f"\n{what}: {different} of {total} spikes differ, {int(ours.sum())} occur")
    assert different == 0 and 0.001 < ours.mean() < 0.9


OURS = {
    "mlp": mlp,
    "cuba": lambda: mlp(cuba=True),
    "conv": conv,
    "average pool": pooled,
    "sum pool": lambda: pooled(average=False),
}


@pytest.mark.parametrize(
    ("framework", "case"),
    [
        ("spikingjelly", "mlp"),
        ("spikingjelly", "cuba"),
        ("spikingjelly", "conv"),
        ("spikingjelly", "average pool"),
        ("norse", "mlp"),
        ("norse", "cuba"),
        ("norse", "conv"),
        ("norse", "sum pool"),
    ],
)
def test_they_read_our_hard_reset_networks(framework: str, case: str, tmp_path: Path) -> None:
    graph = OURS[case]()
    write_nir(graph, tmp_path / "model.nir", standard_only=True)
    x = inputs_for(graph, STEPS, BATCH)["input"]
    ours = run_float(graph, {"input": x}).outputs["output"]
    assert_equal_spikes(ours, in_peer(framework, tmp_path / "model.nir", x), f"{framework} reads our {case}")


@pytest.mark.parametrize("case", ["mlp", "conv"])
def test_spyx_has_snntorchs_default_reset(case: str, tmp_path: Path) -> None:
    """Spyx reads every nir.LIF as snnTorch's delayed subtraction, and sends each layer's spikes one step late.

    So the file for it says hard reset where our graph has subtract. The second layer has no bias: in Spyx it would
    already charge the membranes in the step in which the first layer's spikes are still on their way.
    """
    graph = {"mlp": mlp, "conv": conv}[case]("subtract")
    for_spyx = graph.with_nodes(
        {name: replace(node, reset="zero", reset_delay=False) for name, node in graph.of_type(LIF).items()}
    )
    write_nir(for_spyx, tmp_path / "model.nir")
    x = inputs_for(graph, STEPS, BATCH)["input"]
    ours, late = run_float(graph, {"input": x}).outputs["output"], len(graph.of_type(LIF))
    theirs = in_peer("spyx", tmp_path / "model.nir", x)
    assert not theirs[:late].any()
    assert_equal_spikes(ours[:-late], theirs[late:], f"spyx, {late} steps later, on our subtract {case}")
    hard = run_float(for_spyx, {"input": x}).outputs["output"]
    assert (hard != ours).any()


@pytest.mark.parametrize(
    ("framework", "case", "dt_s"),
    [
        ("spikingjelly", "mlp", 1e-4),
        ("spikingjelly", "cuba", 1e-4),
        ("spikingjelly", "conv", 1e-4),
        ("norse", "mlp", 1e-6),  # Norse 1.1.0 writes tau · dt, with dt = 1 ms
        ("sinabs", "mlp", 1.0),
        ("snntorch", "mlp", 1e-4),
    ],
)
def test_we_read_theirs(framework: str, case: str, dt_s: float, tmp_path: Path) -> None:
    peer(framework, "write", framework, case, tmp_path)
    graph = read_nir(tmp_path / "model.nir", dt_s=dt_s)
    (name,) = graph.inputs()
    (ours,) = run_float(graph, {name: np.load(tmp_path / "inputs.npz")["x"]}).outputs.values()
    assert_equal_spikes(ours, np.load(tmp_path / "outputs.npz")["s"], f"we read {framework}'s {case}")
