"""Each in an interpreter of its own, because Lava is loaded once per process."""

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_LAVA = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "lava":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, Without())
"""
EXPECT_ERROR = """
from hardware_profiles.errors import AxonportError
from lava_runtime.compat import load_lava
try:
    load_lava()
except AxonportError as error:
    print(error)
"""


def run(code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_missing_lava_is_one_line_that_says_how_to_install_it():
    message = run(WITHOUT_LAVA + EXPECT_ERROR)
    assert message.startswith("Lava: is not installed") and "make setup" in message and message.count("\n") == 1


def test_what_needs_no_lava_imports_without_it():
    code = "import lava_runtime.layerwise, lava_runtime.fused.run, lava_runtime.counts; print('well')"
    assert run(WITHOUT_LAVA + code) == "well\n"


@pytest.mark.lava
def test_lava_loads_after_the_start_method_was_chosen():
    code = "import multiprocessing; multiprocessing.set_start_method('fork'); multiprocessing.RLock()\n"
    code += "from lava_runtime.compat import load_lava; load_lava(); load_lava()\n"
    code += "from lava.proc.lif.process import LIF; print(LIF(shape=(2,)).u.shape)"
    assert run(code) == "(2,)\n"


@pytest.mark.lava
def test_another_start_method_is_one_line():
    message = run("import multiprocessing; multiprocessing.set_start_method('spawn')\n" + EXPECT_ERROR)
    assert "start method is 'spawn', allowed is 'fork'" in message and message.count("\n") == 1


@pytest.mark.lava
def test_loading_leaves_python_as_it_was():
    code = "import dataclasses, multiprocessing\nbefore = dataclasses._get_field, multiprocessing.set_start_method\n"
    code += "from lava_runtime.compat import load_lava; load_lava()\n"
    code += "print(before == (dataclasses._get_field, multiprocessing.set_start_method))"
    assert run(code) == "True\n"


@pytest.mark.lava
def test_ports_reshape_with_every_numpy():
    code = "from lava_runtime.compat import load_lava; load_lava()\nimport numpy as np\n"
    code += "from lava.magma.core.process.ports.ports import ReshapePort\n"
    code += "port = ReshapePort((2, 3), (6,))\n"
    code += (
        "print(port.get_transform_func_fwd()(np.arange(6)).shape, port.get_transform_func_bwd()(np.ones((2, 3))).shape)"
    )
    assert run(code) == "(2, 3) (6,)\n"
