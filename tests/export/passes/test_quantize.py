from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.errors import ExportError
from export.graph import Edge, Graph
from export.nodes import LIF, Input, IntegerLIF, IntegerLinear, Linear, Output
from export.passes.quantize import quantize
from export.passes.round_decays import round_decays
from export.pipeline import lower
from export.verify import verify
from hardware_profiles.errors import RangeError
from hardware_profiles.profile import integer_format

FMT = integer_format()


def chain(weight: np.ndarray, bias: np.ndarray | None = None, threshold: float = 1.0, beta: float = 0.9) -> Graph:
    size = weight.shape[0]
    lif = LIF(
        beta=np.full(size, beta, dtype=np.float32), threshold=np.full(size, threshold, dtype=np.float32), reset="zero"
    )
    linear = Linear(weight=weight.astype(np.float32), bias=None if bias is None else bias.astype(np.float32))
    return Graph(
        nodes={"x": Input(size=weight.shape[1]), "fc": linear, "lif": lif, "out": Output(size=size)},
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


def test_a_shared_linear_layer_is_refused() -> None:
    graph = chain(np.ones((2, 2)))
    lif = graph.nodes["lif"]
    shared = Graph(
        nodes={**graph.nodes, "twin": lif},
        edges=(*graph.edges, Edge("fc", "twin")),
        dialect="float",
        dt_s=1e-3,
    )
    with pytest.raises(ExportError, match="node fc: drives several neuron layers"):
        quantize(shared, FMT)
