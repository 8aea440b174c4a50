from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.errors import ExportError
from export.graph import Edge, Graph
from export.interpreters.integer_interpreter import run_integer
from export.nodes import (
    LIF,
    AlphaLIF,
    CubaLIF,
    DynamicThresholdLIF,
    Input,
    IntegerAlphaLIF,
    IntegerConv,
    IntegerCubaLIF,
    IntegerDynamicThresholdLIF,
    IntegerLIF,
    IntegerLinear,
    IntegerScale,
    IntegerThreshold,
    Linear,
    Node,
    Output,
    Threshold,
)
from export.passes.round_decays import round_decays
from export.passes.scale import Calibration, ScaleChoice
from export.pipeline import lower
from export.verify import verify
from hardware_profiles.arithmetic import ThresholdController
from hardware_profiles.errors import RangeError

from .graphs import FMT, conv, full, graph_of, lif, linear


def chain(weight: np.ndarray, bias: np.ndarray | None = None, threshold: float = 1.0, beta: float = 0.9) -> Graph:
    size = weight.shape[0]
    neuron = LIF(
        beta=np.full(size, beta, dtype=np.float32),
        threshold=np.full(size, threshold, dtype=np.float32),
        reset="zero",
        reset_delay=False,
    )
    linear = Linear(weight=weight.astype(np.float32), bias=None if bias is None else bias.astype(np.float32))
    return Graph(
        nodes={"x": Input(shape=(weight.shape[1],)), "fc": linear, "lif": neuron, "out": Output(shape=(size,))},
        edges=(Edge("x", "fc"), Edge("fc", "lif"), Edge("lif", "out")),
        dialect="float",
        dt_s=1e-3,
    )


def test_a_layer_by_hand() -> None:
    graph = lower(chain(np.array([[0.5, -0.25]]), np.array([0.125]), threshold=1.0, beta=0.875), FMT)
    linear, lif = graph.nodes["fc"], graph.nodes["lif"]
    assert isinstance(linear, IntegerLinear) and isinstance(lif, IntegerLIF)
    # max |w| = 0.5 fits 127 up to 2^7 (64; 2^8 would give 128), and the preferred scale is 2^11: exponent 4
    assert linear.weight_int8.tolist() == [[64, -32]] and linear.weight_exp == 4
    assert lif.vth.tolist() == [2048]
    # beta = 1 - 512/4096
    assert lif.dv.tolist() == [512]
    # 0.125 · 2^(11+6) = 16384 = 4096 << 2 would need mantissa 4096 > 4095, so exponent 3: 2048 << 3
    assert lif.bias_mant.tolist() == [2048] and lif.bias_exp == 3


@given(
    st.integers(1, 40),
    st.integers(1, 12),
    st.floats(1e-3, 30.0),
    st.floats(0.05, 20.0),
    st.floats(0.0, 1.0, width=32),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_integers_fit_and_restore_within_half_a_step(
    fan_in: int, size: int, magnitude: float, threshold: float, beta: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, magnitude, (size, fan_in))
    graph = chain(weight, rng.normal(0, magnitude / 10, size), threshold, beta)
    try:
        integer = lower(graph, FMT)
    except RangeError as error:
        assert "\n" not in str(error)
        return
    verify(integer, "integer")
    linear, lif = integer.nodes["fc"], integer.nodes["lif"]
    assert isinstance(linear, IntegerLinear) and isinstance(lif, IntegerLIF)
    scale = np.rint(np.log2(lif.vth[0] / threshold))
    if lif.vth[0] >= 64:  # below, the rounding of θ itself hides the scale
        restored = linear.weight_int8 * 2.0 ** (linear.weight_exp - scale)
        step = 2.0 ** (linear.weight_exp - scale)
        assert np.abs(restored - weight.astype(np.float32)).max() <= step / 2
    assert np.abs(1 - lif.dv / 4096 - beta).max() <= 1 / 4096


def test_what_fits_no_scale_is_refused() -> None:
    with pytest.raises(RangeError, match="node lif: no power-of-two scale fits weights up to 1000"):
        lower(chain(np.full((1, 100_000), 1000.0), threshold=1e-3), FMT)
    with pytest.raises(RangeError, match="node lif: bias up to"):
        lower(chain(np.ones((1, 1)), np.array([1e6])), FMT)


def test_round_decays_stays_float_and_is_idempotent() -> None:
    once = round_decays(chain(np.ones((3, 2)), beta=0.9), FMT)
    twice = round_decays(once, FMT)
    verify(once, "float")
    assert np.array_equal(once.nodes["lif"].beta, twice.nodes["lif"].beta)
    assert (once.nodes["lif"].beta != np.float32(0.9)).all()


def test_a_layer_that_drives_two_neuron_layers_gets_a_scale_in_each() -> None:
    graph = graph_of(
        {
            "x": Input(shape=(2,)),
            "fc": linear([[0.5, 0.25]]),
            "lif": lif((1,)),
            "high": lif((1,), threshold=100),
            "out": Output(shape=(1,)),
        },
        [("x", "fc"), ("fc", "lif"), ("fc", "high"), ("lif", "out")],
    )
    integer = lower(graph, FMT)
    first, second = integer.nodes["lif"], integer.nodes["high"]
    assert isinstance(first, IntegerLIF) and isinstance(second, IntegerLIF)
    assert first.vth is not None and first.vth.tolist() == [2048]
    # 100 · 2^10 = 102400 is the largest that fits 17 bits
    assert second.vth is not None and second.vth.tolist() == [102400]
    for name, exponent in (("lif", 4), ("high", 3)):
        synapse = integer.nodes[integer.sources(name)[0]]
        assert isinstance(synapse, IntegerLinear) and synapse.weight_exp == exponent
        assert synapse.weight_int8.tolist() == [[64, 32]]


def one_neuron(node: Node, *, recurrent: Any = None, threshold: Any = None, weight: Any = 0.5, bias: Any = None) -> Any:
    """A single neuron with all its ports."""
    nodes = {"x": Input(shape=(1,)), "fc": linear([[weight]], bias), "n": node, "out": Output(shape=(1,))}
    edges: list[Any] = [("x", "fc"), ("fc", "n"), ("n", "out")]
    if recurrent is not None:
        nodes["rec"] = recurrent
        edges += [("n", "rec", "input", 1), ("rec", "n", "recurrent")]
    if threshold is not None:
        nodes["th"] = threshold
        edges += [("x", "th"), ("th", "n", "threshold")]
    graph = graph_of(nodes, edges)
    verify(graph, "float")
    return graph


def test_all_synapses_of_a_neuron_share_its_scale() -> None:
    graph = one_neuron(lif((1,), reset="subtract", reset_delay=True), recurrent=linear([[-4]], [0.25]), bias=[0.125])
    integer = lower(graph, FMT)
    fc, rec, neuron = (integer.nodes[name] for name in ("fc", "rec", "n"))
    # E = 11: 0.5 is 64 << 4 = 1024, −4 is −64 << 7 = −8192; both biases are one: 0.375 · 2^17 = 49152 = 3072 << 4
    assert (fc.weight_int8.item(), fc.weight_exp) == (64, 4)
    assert (rec.weight_int8.item(), rec.weight_exp) == (-64, 7)
    assert (neuron.bias_mant.item(), neuron.bias_exp, neuron.vth.item()) == (3072, 4, 2048)
    # 65536 + 49152 = 114688, below 131072; half of it and that again fires; then R θ and the loop's 8192 << 6 go off
    trace = run_integer(integer, {"x": np.ones((3, 1, 1))})["n"]
    assert trace.v is not None and trace.v.ravel().tolist() == [114688, 172032, 86016 + 114688 - 524288 - 131072]
    assert trace.s.ravel().tolist() == [0, 1, 0]


def test_a_large_fan_in_of_all_synapses_together_lowers_the_scale() -> None:
    # each alone could reach 100 · 2^10 ≤ 131071, both together only at 2^9
    alone = lower(chain(np.full((1, 100), 1.0)), FMT).nodes["lif"]
    graph = graph_of(
        {
            "x": Input(shape=(100,)),
            "a": linear(np.ones((1, 100))),
            "b": linear(np.ones((1, 100))),
            "lif": lif((1,)),
            "out": Output(shape=(1,)),
        },
        [("x", "a"), ("x", "b"), ("a", "lif"), ("b", "lif"), ("lif", "out")],
    )
    together = lower(graph, FMT).nodes["lif"]
    assert isinstance(alone, IntegerLIF) and isinstance(together, IntegerLIF)
    assert alone.vth is not None and alone.vth.item() == 1 << 10
    assert together.vth is not None and together.vth.item() == 1 << 9


def test_a_large_bias_lowers_the_scale() -> None:
    # 6 · 2^(E+6) ≤ 4095 << 7 needs E ≤ 10
    neuron = lower(chain(np.ones((1, 1)), np.array([6.0])), FMT).nodes["lif"]
    assert isinstance(neuron, IntegerLIF) and neuron.vth is not None and neuron.vth.item() == 1 << 10
    assert neuron.bias_mant.item() << neuron.bias_exp == 6 << 16


def test_convolutions_share_kernel_and_bias() -> None:
    graph = graph_of(
        {
            "x": Input(shape=(1, 3, 3)),
            "conv": conv([[[[1, -0.5]]]], (1, 3, 3), [0.5], padding=(0, 1)),
            "lif": lif((1, 3, 4)),
            "out": Output(shape=(1, 3, 4)),
        },
        [("x", "conv"), ("conv", "lif"), ("lif", "out")],
    )
    integer = lower(graph, FMT)
    kernel, neuron = integer.nodes["conv"], integer.nodes["lif"]
    assert (
        isinstance(kernel, IntegerConv) and kernel.weight_int8.ravel().tolist() == [64, -32] and kernel.weight_exp == 5
    )
    # the bias is the same in every window, also where the kernel sees the padding
    assert isinstance(neuron, IntegerLIF) and (neuron.bias_mant << neuron.bias_exp == 1 << 16).all()
    assert neuron.bias_mant.shape == (1, 3, 4)


@pytest.mark.parametrize(("theta", "fires"), [(0.5, [0, 1, 1, 1]), (1.5, [0, 0, 0, 1]), (2.5, [0, 0, 0, 0])])
@pytest.mark.parametrize("num_idle", [0, 1000])
def test_coincidence_detectors_are_exact(theta: float, fires: list[int], num_idle: int) -> None:
    """AND is above 1.5, OR above 0.5; also beside so many synapses that the scale must be small."""
    weight = np.concatenate([np.ones((1, 2)), np.ones((1, num_idle))], axis=1)
    graph = graph_of(
        {
            "x": Input(shape=(2 + num_idle,)),
            "sum": linear(weight),
            "and": Threshold(threshold=full((1,), theta)),
            "out": Output(shape=(1,)),
        },
        [("x", "sum"), ("sum", "and"), ("and", "out")],
    )
    integer = lower(graph, FMT)
    x = np.zeros((4, 1, 2 + num_idle))
    x[:, 0, :2] = [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert run_integer(integer, {"x": x})["and"].s.ravel().tolist() == fires
    neuron = integer.nodes["and"]
    assert isinstance(neuron, IntegerThreshold) and neuron.vth.item() == theta * (2**11 if not num_idle else 2**7)


def test_thresholds_per_neuron_and_thresholds_that_arrive() -> None:
    node = LIF(beta=full((2,), 1), threshold=np.float32([0.5, 3]), reset="none")
    graph = graph_of(
        {"x": Input(shape=(1,)), "fc": linear([[1], [1]]), "n": node, "out": Output(shape=(2,))},
        [("x", "fc"), ("fc", "n"), ("n", "out")],
    )
    neuron = lower(graph, FMT).nodes["n"]
    assert isinstance(neuron, IntegerLIF) and neuron.vth is not None and neuron.vth.tolist() == [1024, 6144]
    moving = LIF(beta=full((1,), 1), threshold=None, reset="none")
    integer = lower(one_neuron(moving, threshold=linear([[3]])), FMT)
    neuron, th = integer.nodes["n"], integer.nodes["th"]
    assert isinstance(neuron, IntegerLIF) and neuron.vth is None and isinstance(th, IntegerLinear)
    assert th.weight_int8.item() << th.weight_exp == 3 << 11


def test_a_synaptic_current_keeps_its_range() -> None:
    def cuba(alpha: float) -> CubaLIF:
        return CubaLIF(alpha=full((1,), alpha), beta=full((1,), 0.5), threshold=full((1,), 1), reset="subtract")

    neuron = lower(one_neuron(cuba(0.75)), FMT).nodes["n"]
    # Lava adds one to du: 1 − 1024/4096
    assert isinstance(neuron, IntegerCubaLIF) and neuron.du.item() == 1023 and neuron.dv.item() == 2048
    assert neuron.vth is not None and neuron.vth.item() == 2048
    # u reaches 0.5·2^(E+6)·4096: within 2^23 for E ≤ 6
    slow = lower(one_neuron(cuba(1 - 1 / 4096)), FMT).nodes["n"]
    assert isinstance(slow, IntegerCubaLIF) and slow.du.item() == 0
    assert slow.vth is not None and slow.vth.item() == 32
    with pytest.raises(ExportError, match="node n: an alpha rounds to a synaptic current without decay"):
        lower(one_neuron(cuba(0.9999)), FMT)


def alpha_neuron(**changes: Any) -> AlphaLIF:
    settings: dict[str, Any] = {
        "alpha": full((1,), 0.75), "beta": full((1,), 0.5), "tau": full((1,), 2), "threshold": full((1,), 1),
        "reset": "clear", **changes,
    }  # fmt: skip
    return AlphaLIF(**settings)


def test_the_gain_of_two_traces_is_in_their_threshold() -> None:
    neuron = lower(one_neuron(alpha_neuron()), FMT).nodes["n"]
    assert isinstance(neuron, IntegerAlphaLIF) and neuron.vth is not None and neuron.vth.item() == 1024
    assert (neuron.du.item(), neuron.dv.item()) == (1024, 2048)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reset": "subtract"}, "node n: Alpha with reset 'subtract' rescales the reset by its own traces"),
        ({"reset_delay": False}, "node n: Alpha with reset_delay=False"),
        ({"threshold": None}, "node n: Alpha under a moving threshold"),
        ({"tau": full((1,), -2)}, "node n: tau spans -2..-2, allowed is positive"),
    ],
)
def test_what_two_traces_cannot_do_is_refused(changes: dict[str, Any], message: str) -> None:
    threshold = linear([[1]]) if "threshold" in changes else None
    with pytest.raises(ExportError, match=message):
        lower(one_neuron(alpha_neuron(**changes), threshold=threshold), FMT)


def test_a_dynamic_threshold_fixes_the_smallest_scale() -> None:
    controller = ThresholdController(
        population=1, num_groups=1, weight_count=1 << 20, weight_deviation=0, weight_context=(), bias=0, theta_0=4096,
        amplitude=100, fraction_bits=12,
    )  # fmt: skip
    node = DynamicThresholdLIF(beta=full((1,), 0.5), controller=controller)
    graph = graph_of(
        {"x": Input(shape=(1,)), "fc": linear([[0.5]]), "n": node, "out": Output(shape=(1,))},
        [("x", "fc"), ("fc", "n"), ("x", "n", "population"), ("n", "out")],
    )
    neuron = lower(graph, FMT).nodes["n"]
    assert isinstance(neuron, IntegerDynamicThresholdLIF) and neuron.theta_shift == 0


def test_bare_spikes_are_weighted_one_by_one() -> None:
    graph = graph_of(
        {"x": Input(shape=(3,)), "lif": lif((3,), threshold=0.75), "out": Output(shape=(3,))},
        [("x", "lif"), ("lif", "out")],
    )
    integer = lower(graph, FMT)
    synapse = integer.nodes[integer.sources("lif")[0]]
    assert (
        isinstance(synapse, IntegerScale)
        and (synapse.weight_int8.astype(int) << synapse.weight_exp).tolist() == [2048] * 3
    )


def test_a_given_scale_is_taken_and_extra_bits_clip_the_largest_weights() -> None:
    choices = {"lif": ScaleChoice(9, extra_bits=1)}
    graph = chain(np.array([[0.5, -0.25, 0.3]]))
    integer = lower(graph, FMT, Calibration(choices, 0, 0, 0))
    synapse, neuron = integer.nodes["fc"], integer.nodes["lif"]
    # 2^7 fits 0.5 as 64; one bit more is 128, clipped to 127; 0.3·256 = 76.8
    assert isinstance(synapse, IntegerLinear) and synapse.weight_int8.tolist() == [[127, -64, 77]]
    assert synapse.weight_exp == 1 and isinstance(neuron, IntegerLIF) and neuron.vth is not None
    assert neuron.vth.item() == 512
