"""Slower stages: windows over time and held states, in the interpreters and on Lava with one Process per node."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given

from export.errors import InputDataError
from export.graph import Edge, Graph
from export.interpreters.float_interpreter import run_float
from export.interpreters.integer_interpreter import run_integer
from export.nodes import (
    LIF,
    NEURONS,
    Input,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerWindowSum,
    Linear,
    Norm,
    Output,
    WindowSum,
)
from export.passes.balance_latency import balance_latency
from export.verify import ALLOWED
from hardware_profiles.arithmetic import ThresholdController
from lava_runtime.compat import load_lava
from lava_runtime.counts import count_events, required_capabilities
from lava_runtime.fused.run import run_fused
from lava_runtime.layerwise import run_processes
from lava_runtime.probes import every_probe
from lava_runtime.routing import is_stock
from lava_runtime.saturations import count_saturations
from lava_runtime.shared_memory import shared_array

from ..export.test_integer_interpreter import assert_equals_plain_integers
from .comparing import Liveliness, assert_equal_traces
from .random_graphs import (
    FEEDS,
    FMT,
    NEURON_KINDS,
    Case,
    dyadic_graph,
    integer_graph,
    loud_graph,
    random_inputs,
    staged_cases_of,
)
from .test_parity import assert_executes, examples, float64

MOVING = Case(
    layers=(
        ("recurrent", "lif subtract"),
        ("window 2", "lif zero"),
        ("recurrent", "dynamic with context"),
        ("window 2", "cuba clear"),
        ("linear", "dynamic"),
        ("linear", "moving"),
    ),
    num_steps=16,
    batch=2,
    seed=8,
)
"""Three stages, 4 > 2 > 1, with thresholds that move in both slow ones."""


def every_staged_case():
    """Each kind of feed before each kind of neuron, once, in a stage of three layers that ticks every second step."""
    for index, feed in enumerate(FEEDS):
        for shift, kind in enumerate(NEURON_KINDS):
            layers = (("linear", "stock"), ("window 2", "lif subtract"), (feed, kind))
            yield Case(layers=layers, num_steps=8, batch=2, seed=89 * index + shift)


class StageLiveliness(Liveliness):
    """Counts apart what slow stages did."""

    def __init__(self):
        super().__init__()
        self.num_slow_spikes = self.num_slow_silent = 0

    def see_stages(self, graph, trace):
        self.see(trace)
        for name, layer in trace.items():
            period = graph.period[name]
            between = np.delete(layer.s, np.s_[period - 1 :: period], axis=0)
            assert not between.any(), f"{name} spikes between its ticks"
            if period > 1:
                self.num_slow_spikes += int(layer.s.sum())
                self.num_slow_silent += int((layer.s[period - 1 :: period] == 0).sum())

    def assert_lively(self, *, saturating=False):
        super().assert_lively(saturating=saturating)
        assert self.num_slow_spikes > 200 and self.num_slow_silent > 200


@pytest.mark.parametrize(("make", "dialect"), [(integer_graph, "integer"), (dyadic_graph, "float")])
def test_slow_stages_hold_every_node(make, dialect):
    graphs = [make(case) for case in every_staged_case()]
    slow = {type(node) for graph in graphs for name, node in graph.nodes.items() if graph.period[name] == 2}
    assert slow == set(ALLOWED[dialect]) - {Norm, Input}
    delays = {edge.delay for graph in graphs for edge in graph.edges if graph.period[edge.source] == 2}
    assert delays == {0, 2, 4, 6}


def test_the_integer_interpreter_equals_plain_integers_in_every_stage():
    lively = StageLiveliness()

    def see(case):
        graph = loud_graph(case) if case.seed % 3 == 0 else integer_graph(case)
        inputs = random_inputs(graph, case)
        trace = run_integer(graph, inputs)
        assert_equals_plain_integers(graph, inputs, trace)
        lively.see_stages(graph, trace)

    examples(80)(given(staged_cases_of(max_layers=4, max_windows=2))(example(MOVING)(see)))()
    for case in every_staged_case():
        see(case)
    lively.assert_lively(saturating=True)


@pytest.mark.lava
def test_processes_equal_the_integer_interpreter_in_every_stage():
    lively = StageLiveliness()

    @examples(50)
    @example(MOVING)
    @given(staged_cases_of(max_layers=3, max_windows=2))
    def check(case):
        graph = loud_graph(case) if case.seed % 3 == 0 else integer_graph(case)
        inputs = random_inputs(graph, case)
        expected = run_integer(graph, inputs)
        actual = run_processes(graph, inputs, number_format="fixed_pt")
        assert_equal_traces(actual, expected)
        assert count_events(graph, inputs, actual) == count_events(graph, inputs, expected)
        lively.see_stages(graph, expected)

    check()
    for case in list(every_staged_case())[::19]:
        check.hypothesis.inner_test(case)
    lively.assert_lively()


@pytest.mark.lava
def test_processes_equal_the_float_interpreter_in_every_stage_on_dyadic_numbers():
    lively = StageLiveliness()

    @examples(40)
    @example(MOVING)
    @given(staged_cases_of(max_layers=3, max_windows=2))
    def check(case):
        graph = dyadic_graph(case)
        inputs = random_inputs(graph, case)
        expected = run_float(graph, inputs, dtype=torch.float64).trace
        assert_equal_traces(run_processes(graph, inputs, number_format="floating_pt"), expected)
        lively.see_stages(graph, expected)

    check()
    lively.assert_lively()


def test_lava_timing_changes_nothing():
    """With one-step synapses and waits, each node in the steps of its own sample."""
    for case in (MOVING, *list(every_staged_case())[::7]):
        graph = integer_graph(case)
        inputs = random_inputs(graph, case)
        assert_equal_traces(run_integer(balance_latency(graph), inputs), run_integer(graph, inputs))


# by hand


def one_neuron(dv, vth):
    return IntegerLIF(
        dv=np.array([dv]), vth=np.array([vth]), bias_mant=np.array([0]), bias_exp=0, reset="subtract", reset_delay=False
    )


def chain_of(*nodes, **changed):
    names = [f"n{place}" for place in range(len(nodes))]
    edges = tuple(Edge(a, b) for a, b in pairwise(names))
    return Graph(
        **{
            "nodes": dict(zip(names, nodes, strict=True)),
            "edges": edges,
            "dialect": "integer",
            "dt_s": 1e-3,
            "fmt": FMT,
        }
        | changed
    )


def hand_graph(weights=(48, 80), exponent=0, dv=2048):
    """Spikes, a window, a synapse of 3, a neuron that keeps half of its membrane from tick to tick."""
    return chain_of(
        Input(shape=(1,)),
        IntegerWindowSum(weight_uint8=np.array(weights, dtype=np.uint8), shape=(1,)),
        IntegerLinear(weight_int8=np.array([[3]]), weight_exp=exponent),
        one_neuron(dv, 500),
        Output(shape=(1,)),
    )


def column(*values):
    return np.array(values).reshape(-1, 1, 1)


def test_a_window_and_a_held_membrane_by_hand():
    graph = hand_graph()
    layer = run_integer(graph, {"n0": column(1, 0, 1, 1, 0, 1, 1, 1)})["n3"]
    # sums 48, 128, 80, 128 on the steps 1, 3, 5, 7; membranes in units of 2^-6: 144; 72 + 384 = 456;
    # 228 + 240 = 468; 234 + 384 = 618, which fires and leaves 118
    assert layer.v[:, 0, 0].tolist() == [64 * v for v in (0, 144, 144, 456, 456, 468, 468, 118)]
    assert layer.s[:, 0, 0].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]


def test_a_negative_exponent_rounds_the_sum_down():
    graph = hand_graph(exponent=-7, dv=0)
    negative = graph.with_nodes({"n2": IntegerLinear(weight_int8=np.array([[-3]]), weight_exp=-7)})
    x = {"n0": column(1, 0, 0, 1, 1, 1, 0, 0)}
    # 3 · 48, 80, 128, 0 over 128: 1, 1, 3, 0 and with the other sign −2, −2, −3, 0
    assert run_integer(graph, x)["n3"].v[1::2, 0, 0].tolist() == [64, 128, 320, 320]
    assert run_integer(negative, x)["n3"].v[1::2, 0, 0].tolist() == [-128, -256, -448, -448]


def test_two_stages_equal_a_loop_in_plain_python():
    """No line of it knows of graphs: 8 fast steps, windows of two, windows of two again, LIF in each stage."""
    rng = np.random.default_rng(6)
    steps, sizes, windows = 32, (6, 5, 4, 3), ([40, 88], [70, 58])
    weights = [rng.integers(-40, 90, (out, into)) for into, out in pairwise(sizes)]
    exponents, thresholds = [2, -5, -5], [300, 260, 200]
    nodes = [Input(shape=(sizes[0],))]
    for stage, weight in enumerate(weights):
        if stage:
            share = np.array(windows[stage - 1], dtype=np.uint8)
            nodes.append(IntegerWindowSum(weight_uint8=share, shape=(sizes[stage],)))
        nodes.append(IntegerLinear(weight_int8=weight, weight_exp=exponents[stage]))
        n = sizes[stage + 1]
        nodes.append(
            IntegerLIF(
                dv=np.full(n, 700), vth=np.full(n, thresholds[stage]), bias_mant=np.full(n, 30), bias_exp=2,
                reset="zero", reset_delay=False,
            )
        )  # fmt: skip
    graph = chain_of(*nodes, Output(shape=(sizes[-1],)))
    x = (rng.random((steps, 1, sizes[0])) < 0.4).astype(np.uint8)
    trace = run_integer(graph, {"n0": x})

    series = x[:, 0].tolist()
    layers = [name for name in graph.nodes if isinstance(graph.nodes[name], NEURONS)]
    for stage, name in enumerate(layers):
        if stage:
            first, second = windows[stage - 1]
            series = [
                [first * a + second * b for a, b in zip(*pair, strict=True)]
                for pair in zip(series[::2], series[1::2], strict=True)
            ]
        v, spikes = [0] * sizes[stage + 1], []
        for row in series:
            fired = []
            for n, w in enumerate(weights[stage].tolist()):
                total = sum(a * b for a, b in zip(w, row, strict=True))
                total = total * 2 ** exponents[stage] if exponents[stage] >= 0 else total // 2 ** -exponents[stage]
                leaked = abs(v[n]) * (4096 - 700) // 4096 * (1 if v[n] > 0 else -1)
                v[n] = leaked + 64 * total + 30 * 4
                fired.append(int(v[n] > 64 * thresholds[stage]))
                v[n] = 0 if fired[-1] else v[n]
            spikes.append(fired)
        period = 2**stage
        assert trace[name].s[period - 1 :: period, 0].tolist() == spikes
        assert 0.1 < np.mean(spikes) < 0.9
        series = spikes


def test_holding_matters():
    """The same chain whose membranes leak in every step, as stock LIF's do, fires at other times."""
    graph = hand_graph(dv=1024)
    x = {"n0": (np.random.default_rng(3).random((200, 4, 1)) < 0.5).astype(np.uint8)}
    held = run_integer(graph, x)["n3"].s
    per_window = 48 * x["n0"][0::2].astype(int) + 80 * x["n0"][1::2]
    v, ungated = np.zeros((4, 1), dtype=int), []
    for t in range(200):
        v = v * (4096 - 1024) // 4096 + (64 * 3 * per_window[t // 2] if t % 2 else 0)
        ungated.append(v > 64 * 500)
        v = v - ungated[-1] * 64 * 500
    assert held.any() and not held[1::2].all() and np.array(ungated).any()
    assert not np.array_equal(held, np.array(ungated))


def controlled_graph():
    """A slow layer whose threshold follows the spikes of a slow layer before it, and what the host says."""
    controller = ThresholdController(
        population=1, num_groups=1, weight_count=1 << 22, weight_deviation=0, weight_context=(1 << 14,), bias=0,
        theta_0=400, amplitude=300, fraction_bits=8,
    )  # fmt: skip
    graph = hand_graph()
    nodes = {
        **{name: node for name, node in graph.nodes.items() if name != "n4"},
        "c": Input(shape=(1,), kind="graded"),
        "w": IntegerLinear(weight_int8=np.array([[90]]), weight_exp=0),
        "d": IntegerDynamicThresholdLIF(
            dv=np.array([0]), bias_mant=np.array([100]), bias_exp=6, theta_shift=0, controller=controller
        ),
    }
    edges = (
        *graph.edges[:-1],
        Edge("n3", "w"),
        Edge("w", "d"),
        Edge("n3", "d", "population"),
        Edge("c", "d", "context"),
    )
    return replace(graph, nodes=nodes, edges=edges)


@pytest.mark.lava
def test_thresholds_are_computed_on_ticks_and_held_between():
    graph = controlled_graph()
    rng = np.random.default_rng(5)
    inputs = {"n0": (rng.random((24, 3, 1)) < 0.7).astype(np.uint8), "c": rng.integers(-700, 700, (24, 3, 1))}
    expected = run_integer(graph, inputs)
    theta = expected["d"].theta
    assert not theta[0].any() and np.array_equal(theta[1:-1:2], theta[2::2]) and len(np.unique(theta)) > 10
    assert expected["d"].s.any() and not expected["d"].s[1::2].all()
    between = {**inputs, "c": np.where(np.arange(24).reshape(-1, 1, 1) % 2, inputs["c"], 0)}
    assert_equal_traces(run_integer(graph, between), expected)  # context is read on ticks
    assert_equal_traces(run_processes(graph, inputs, number_format="fixed_pt"), expected)
    layers = {layer.name: layer for layer in count_events(graph, inputs, expected)}
    assert layers["d.threshold"].controller_updates == 12 * 3
    slow_context = int(np.count_nonzero(inputs["c"][1::2]))
    assert layers["d.threshold"].graded_messages == slow_context + int(expected["n3"].s.sum())
    assert layers["c"].graded_messages == int(np.count_nonzero(inputs["c"]))


def test_counts_by_hand():
    graph = hand_graph(weights=(0, 80))
    x = {"n0": column(1, 0, 1, 1, 0, 1, 0, 0)}
    layers = {layer.name: layer for layer in count_events(graph, x, run_integer(graph, x))}
    # four messages reach the window, two of them on ticks with a weight; it sends two sums into a synapse
    assert layers["n3"].synops == 2 + 2 and layers["n3"].dense_synops == 4 + 2
    assert layers["n3"].graded_messages == 2 and layers["n3"].updates == 4
    # one weight of the window is not zero; the synapse has one
    assert layers["n3"].num_synapses == 1 + 1 and layers["n3"].fan_in == 1 + 1
    assert required_capabilities(graph) == ("binary_spikes", "graded_spikes", "held_state", "subtract_reset")


@pytest.mark.lava
def test_neurons_of_slow_stages_are_ours():
    load_lava()
    from lava.proc.lif.process import LIFReset

    from lava_runtime.processes.network import build_network
    from lava_runtime.processes.snntorch_neuron.process import SnnTorchNeuron

    neuron = replace(one_neuron(100, 200), reset="zero")
    fast, slow = hand_graph(weights=(1,)), hand_graph()
    kinds = []
    for graph in (fast, slow):
        timed = balance_latency(graph.with_nodes({"n3": neuron}))
        processes = build_network(timed, {"n0": column(1, 1)}, shared_array((1,), np.int64)).processes
        kinds.append(type(processes["n3"]))
        assert not is_stock(timed)
    assert kinds == [LIFReset, SnnTorchNeuron]


@pytest.mark.lava
def test_the_executor_equals_the_integer_interpreter_in_every_stage():
    """In blocks of any length, so that windows and what is held reach over their ends."""
    lively = StageLiveliness()

    def see(case):
        graph = loud_graph(case) if case.seed % 3 == 0 else integer_graph(case)
        lively.see_stages(graph, assert_executes(graph, case, run_integer))

    examples(150)(given(staged_cases_of(max_layers=4, max_windows=2))(example(MOVING)(see)))()
    for case in every_staged_case():
        see(case)
    lively.assert_lively(saturating=True)


def test_the_executor_equals_the_float_interpreter_in_every_stage_on_dyadic_numbers():
    lively = StageLiveliness()

    def see(case):
        graph = dyadic_graph(case)
        lively.see_stages(graph, assert_executes(graph, case, float64))

    examples(80)(given(staged_cases_of(max_layers=4, max_windows=2))(example(MOVING)(see)))()
    lively.assert_lively()


@pytest.mark.lava
def test_fused_stages_on_lava():
    graph = integer_graph(MOVING)
    inputs = random_inputs(graph, MOVING)
    run = run_fused(graph, inputs, number_format="fixed_pt", batch_size=1, probes=every_probe(graph))
    assert_equal_traces(run.trace, run_integer(graph, inputs))
    assert run.layers == count_events(graph, inputs, run.trace)


@pytest.mark.parametrize("run", [run_integer, lambda graph, x: run_processes(graph, x, number_format="fixed_pt")])
def test_a_sample_ends_with_a_tick_of_every_stage(run):
    with pytest.raises(InputDataError, match="have T = 3 steps, allowed are multiples of 2"):
        run(hand_graph(), {"n0": column(1, 1, 1)})


def test_slow_inputs_come_on_ticks():
    graph = hand_graph(weights=(1,)).with_nodes({"n0": Input(shape=(1,), period=2)})
    assert graph.period["n3"] == 2
    trace = run_integer(graph, {"n0": column(0, 1, 0, 1)})
    assert trace["n3"].v[:, 0, 0].tolist() == [0, 192, 192, 96 + 192]
    with pytest.raises(
        InputDataError, match="input n0: holds values between its ticks, allowed are values in every 2th"
    ):
        run_integer(graph, {"n0": column(1, 1, 0, 1)})


@pytest.mark.lava
def test_windows_over_windows_with_a_late_second_source():
    """Windows of 2, then of 3, with no neuron between; what is sent two steps late meets the next window."""
    graph = hand_graph(weights=(1, 2))
    wide = IntegerWindowSum(weight_uint8=np.array([1, 3, 5], dtype=np.uint8), shape=(1,))
    edges = [Edge("n0", "n1"), Edge("n1", "wide"), Edge("n1", "wide", delay=2), Edge("wide", "n2"), *graph.edges[2:]]
    graph = replace(graph, nodes={**graph.nodes, "wide": wide}, edges=tuple(edges))
    assert graph.period["n3"] == graph.longest_period == 6 and graph.period["n1"] == 2
    x = {"n0": column(1, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1, 0)}
    trace = run_integer(graph, x)
    # sums of two: 1, 3, 2, 3, 0, 1; with those before: 1, 4, 5, 5, 3, 1; of three: 1 + 12 + 25, 5 + 9 + 5
    assert trace["n3"].v[[5, 11], 0, 0].tolist() == [64 * 3 * 38, 32 * 3 * 38 + 64 * 3 * 19]
    assert_equal_traces(run_processes(graph, x, number_format="fixed_pt"), trace)


@pytest.mark.lava
@pytest.mark.parametrize("feed", ["integrator", "residual", "late"])
def test_what_lies_between_slow_neurons_holds_too(feed):
    """Integrators that leak from tick to tick, and chains of synapses that add their bias on ticks."""
    layers = (("linear", "lif subtract"), ("window 2", "lif subtract"), (feed, "lif none"))
    for make, run_expected, number_format in (
        (integer_graph, run_integer, "fixed_pt"),
        (dyadic_graph, lambda graph, x: run_float(graph, x, dtype=torch.float64).trace, "floating_pt"),
    ):
        case = Case(layers=layers, num_steps=10, batch=2, seed=3)
        graph = make(case)
        inputs = random_inputs(graph, case)
        expected = run_expected(graph, inputs)
        assert expected["l2"].v[1::2].any() and len(np.unique(expected["l2"].v)) > 4
        assert_equal_traces(run_processes(graph, inputs, number_format=number_format), expected)


@pytest.mark.lava
def test_currents_between_windows_bring_their_bias_on_ticks():
    one = np.ones(1, dtype=np.float32)
    share = np.array([0.25, 0.75], dtype=np.float32)
    nodes = {
        "x": Input(shape=(1,)),
        "p": WindowSum(weight=share, shape=(1,)),
        "w": Linear(weight=one.reshape(1, 1), bias=one / 8),
        "q": WindowSum(weight=share, shape=(1,)),
        "l": LIF(beta=one / 2, threshold=one, reset="none"),
    }
    graph = Graph(nodes=nodes, edges=tuple(map(Edge, nodes, list(nodes)[1:])), dialect="float", dt_s=1e-3)
    x = {"x": column(1, 0, 0, 1, 1, 1, 1, 1)}
    trace = run_float(graph, x, dtype=torch.float64).trace
    # sums 1/4, 3/4, 1, 1 and 1/8 each; of these 3/32 + 21/32, and 9/8
    assert trace["l"].v[:, 0, 0].tolist() == [0, 0, 0, 0.75, 0.75, 0.75, 0.75, 1.5]
    assert trace["l"].s.any()
    assert_equal_traces(run_processes(graph, x, number_format="floating_pt"), trace)


def test_clips_of_slow_membranes_are_counted_on_ticks():
    neuron = replace(one_neuron(0, FMT.threshold_max), reset="none", bias_mant=np.array([4000]), bias_exp=7)
    graph = hand_graph(exponent=8).with_nodes({"n3": neuron})
    x = {"n0": column(*[1] * 12)}
    told = run_integer(graph, x)
    # the second of six ticks is clipped, and all after it
    assert told["n3"].saturations == 5 and told["n3"].v.max() == FMT.state_max
    untold = {"n3": replace(told["n3"], saturations=0)}
    assert count_saturations(graph, x, untold)["n3"].saturations == 5
