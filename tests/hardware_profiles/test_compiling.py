import numpy as np
import pytest
from numba import njit

from hardware_profiles.compiling import compiled
from lava_runtime.fused.kernels.neurons import leaked
from lava_runtime.fused.kernels.synapses import weighed


def test_where_nothing_can_be_cached_a_loop_is_compiled_anyway():
    """As in a package folder that cannot be written, for a user without a home; here the source has no file."""
    scope = {}
    exec("def add(a, b):\n    return a + b\n", scope)
    with pytest.raises(RuntimeError, match="cannot cache"):
        njit(cache=True)(scope["add"])
    assert compiled(scope["add"])(2, 3) == 5


def test_an_implementation_is_chosen_by_type():
    leak, weigh = njit(lambda state, keep, bits: leaked(state, keep, bits)), njit(lambda x, w: weighed(x, w))
    assert leak(np.int32(-4097), np.int32(2048), 12) == -2048  # toward zero; the floor would be -2049
    assert leak(-3.0, 0.5, 0) == -1.5
    assert weigh(np.uint8(7), np.int8(-5)) == -5 and weigh(np.int32(7), np.int8(-5)) == -35


@pytest.mark.parametrize("state", [2**23 - 1, -(2**23 - 1), 4095, -4096, 1, 0])
@pytest.mark.parametrize("keep", [4096, 4095, 1, 0])
def test_the_leak_is_exact_in_32_bits(state, keep):
    leak = njit(lambda a, b: leaked(a, b, 12))
    expected = abs(state) * keep // 4096 * (1 if state > 0 else -1)
    assert leak(np.int32(state), np.int32(keep)) == leak(np.int64(state), np.int64(keep)) == expected
