"""Runs on a chip: refused by name where they cannot be, and configured as Lava's extension expects it."""

import importlib
import sys

import numpy as np
import pytest

from lava_runtime.compat import load_lava
from lava_runtime.errors import LavaRuntimeError
from lava_runtime.layerwise import run_processes
from lava_runtime.shared_memory import shared_array
from lava_runtime.target import check_selected, check_target, run_configuration

from .test_endings import every_kind
from .test_layerwise import stock_chain
from .test_structures import recurrent_graph, stock_convolutional_graph

pytestmark = pytest.mark.lava
X = {"x": np.ones((3, 1, 8), dtype=np.uint8)}


@pytest.fixture
def extension(tmp_path, monkeypatch):
    """A folder on the path that looks like Intel's extension: the module by which Lava itself finds it."""
    module = tmp_path / "lava" / "utils" / "loihi2_profiler.py"
    module.parent.mkdir(parents=True)
    module.touch()
    load_lava()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield
    sys.modules.pop("lava.utils.loihi2_profiler", None)


def test_a_chip_that_cannot_be_reached_says_what_is_missing():
    graph = stock_chain(np.random.default_rng(0), (8, 6))
    with pytest.raises(LavaRuntimeError) as caught:
        run_processes(graph, X, number_format="fixed_pt", target="hardware")
    assert str(caught.value).startswith("Lava's extension for Loihi: is not installed, on hardware it is needed; ")
    assert "INRC" in str(caught.value) and "lava-loihi" in str(caught.value) and "\n" not in str(caught.value)


def test_what_no_chip_runs_is_refused(extension):
    with pytest.raises(LavaRuntimeError, match="number format: is 'floating_pt', on hardware only 'fixed_pt'"):
        run_processes(every_kind(), X, number_format="floating_pt", target="hardware")
    with pytest.raises(LavaRuntimeError, match="granularity: is 'fused', on hardware only 'processes'"):
        check_target("hardware", "fused", "fixed_pt")
    with pytest.raises(LavaRuntimeError, match="target: is 'moon', allowed are simulation, hardware"):
        run_processes(every_kind(), X, number_format="floating_pt", target="moon")
    check_target("hardware", "processes", "fixed_pt")


def test_nodes_and_edges_that_stock_lava_does_not_express_are_named(extension):
    with pytest.raises(LavaRuntimeError, match="graph: l0 → back would be Processes of this package"):
        run_processes(recurrent_graph(1), X, number_format="fixed_pt", target="hardware")
    graph = stock_chain(np.random.default_rng(0), (8, 6, 4))
    soft = graph.nodes["l1"].__class__(**{**vars(graph.nodes["l1"]), "reset": "subtract"})
    with pytest.raises(LavaRuntimeError, match="graph: l1 would be Processes of this package"):
        run_processes(graph.with_nodes({"l1": soft}), X, number_format="fixed_pt", target="hardware")


def test_lava_gets_its_own_configuration_for_chips(extension, monkeypatch):
    """Up to the compiler all is as on a machine with a chip; what comes after it is Intel's."""
    from lava.magma.core.run_configs import Loihi2HwCfg

    from lava_runtime.backend import runtime

    class Compiled(Exception):
        pass

    given = []

    class Compiler:
        def compile(self, process, configuration):
            given.append((process, configuration))
            raise Compiled

    monkeypatch.setattr(runtime, "Compiler", Compiler)
    graph = stock_chain(np.random.default_rng(0), (8, 6))
    with pytest.raises(Compiled):
        run_processes(graph, X, number_format="fixed_pt", target="hardware")
    ((process, configuration),) = given
    assert type(configuration) is Loihi2HwCfg and configuration.select_tag is None
    on_host = {process.name: model.__name__ for process, model in configuration.exception_proc_model_map.items()}
    assert on_host == {"source": "PyMemorySourceModel", "sink": "PyMemorySinkModel"}
    assert set(process.proc_params["records"]) == {"l0@s"}  # membranes stay on the chip


def test_in_simulation_the_number_format_selects():
    load_lava()
    from lava.magma.core.run_configs import Loihi2SimCfg

    configuration = run_configuration("simulation", "fixed_pt", {})
    assert type(configuration) is Loihi2SimCfg and configuration.select_tag == "fixed_pt"


def test_on_a_chip_every_convolution_keeps_its_kernel_and_its_exponent():
    load_lava()
    from export.passes.balance_latency import balance_latency
    from lava_runtime.processes.network import build_network

    graph = stock_convolutional_graph(np.random.default_rng(11))
    inputs = {"x": np.zeros((2, 1, 2, 6, 6), dtype=np.uint8)}
    steps_done = shared_array((1,), np.int64)
    chip = build_network(balance_latency(graph), inputs, steps_done, "hardware").processes
    assert {type(chip[name]).__name__ for name in ("conv", "pool")} == {"Conv"}
    node = graph.nodes["conv"]
    assert node.weight_exp > 0 and chip["conv"].weight_exp.init == node.weight_exp
    kernel = np.asarray(chip["conv"].weight.init)
    assert np.array_equal(kernel, node.weight_int8[:, :, ::-1, ::-1].transpose(0, 2, 3, 1))


def test_a_process_that_would_be_simulated_beside_the_chip_is_named():
    """Lava takes a model in Python, without a word, where the extension has none for neuro cores."""
    load_lava()
    from lava.proc.dense.models import PyDenseModelBitAcc
    from lava.proc.dense.process import Dense

    simulated, host, chip = (Dense(weights=np.eye(2), name=name) for name in ("w", "source", "l"))
    for process in (simulated, host):
        process._model_class = PyDenseModelBitAcc
    chip._model_class = object
    check_selected({host: 0, chip: 0}, {host: PyDenseModelBitAcc})
    with pytest.raises(LavaRuntimeError, match="Lava processes w: the extension has no model for neuro cores"):
        check_selected({simulated: 0, host: 0, chip: 0}, {host: PyDenseModelBitAcc})
