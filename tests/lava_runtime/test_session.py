import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lava_runtime.compat import load_lava
from lava_runtime.errors import KilledError, LavaRuntimeError
from lava_runtime.session import Session
from lava_runtime.shared_memory import shared_array

from .children import children, group, segments
from .faulty.process import Faulty

pytestmark = pytest.mark.lava
NUM_STEPS = 8


def network(session, fault=None, at=3):
    """Source -> faulty -> well -> sink; the store holds what arrived."""
    from lava_runtime.processes.memory_sink.models import sink_model
    from lava_runtime.processes.memory_sink.process import MemorySink, Record
    from lava_runtime.processes.memory_source.models import source_model
    from lava_runtime.processes.memory_source.process import MemorySource, Stream

    def frame(step):
        return np.array([step, 1])

    source = MemorySource(streams={"out": Stream(shape=(2,), dtype=np.int8, frame=frame)}, name="source")
    faulty, well = Faulty(fault=fault, at=at), Faulty(fault=None, name="well")
    store = shared_array((NUM_STEPS, 2), np.int8)
    sink = MemorySink(
        records={"in": Record(what="message", store=store, lag=0)}, steps_done=session.steps_done, name="sink"
    )
    source.out.connect(faulty.a_in)
    faulty.s_out.connect(well.a_in)
    well.s_out.connect(getattr(sink, "in"))
    return sink, {source: source_model(source), sink: sink_model(sink)}, store


@pytest.fixture(autouse=True)
def created(monkeypatch):
    """Names of the shared memory that Lava's channels took; in the end nothing of the run may be left."""
    from lava.magma.runtime.message_infrastructure.shared_memory_manager import SharedMemoryManager

    names = []
    create = SharedMemoryManager.create_shared_memory

    def noting(self, size):
        handle = create(self, size)
        names.append(handle.name)
        return handle

    monkeypatch.setattr(SharedMemoryManager, "create_shared_memory", noting)
    assert children() == set()
    yield names
    assert children() == set()
    assert not [name for name in names if (Path("/dev/shm") / name).exists()]
    assert not [thread for thread in threading.enumerate() if thread.name.endswith(".send") and thread.is_alive()]


def run(fault=None, at=3, timeout_s=60.0):
    session = Session(timeout_s=timeout_s)
    sink, models, store = network(session, fault, at)
    session.run(sink, NUM_STEPS, number_format="fixed_pt", models=models)
    return session, store


def test_a_run_that_succeeds_gives_all_steps_and_leaves_nothing(created):
    session, store = run()
    assert len(created) > 10
    assert session.steps_done[0] == NUM_STEPS
    assert np.array_equal(store, [[step, 1] for step in range(NUM_STEPS)])


@pytest.mark.parametrize(
    ("fault", "at", "phrase"),
    [
        ("raise", 3, "'faulty': raised ZeroDivisionError: no way in time step 3 of 8"),
        ("raise", "init", "'faulty': raised ZeroDivisionError: no way before the first time step"),
        ("unpicklable", 3, "'faulty': raised Unpicklable: odd in time step 3 of 8"),
        ("unprintable", 3, "'faulty': raised Unprintable: without a message in time step 3 of 8"),
        ("memory", 3, "'faulty': raised MemoryError: no 9 GiB left in time step 3 of 8"),
        ("memory", "init", "'faulty': raised MemoryError: no 9 GiB left before the first time step"),
        ("leave politely", 3, "'faulty': raised SystemExit: 0 in time step 3 of 8"),
        ("close", 3, "'faulty': raised AttributeError: 'NoneType' object has no attribute 'release' in time step 3"),
        ("exit", 3, "'faulty': exited with code 7 in time step 3 of 8"),
        ("exit", "init", "'faulty': exited with code 7 before the first time step"),
        ("leave", 3, "'faulty': exited with code 0 in time step 3 of 8"),
        ("kill", 3, "'faulty': was killed by SIGKILL (often for want of memory) in time step 3 of 8"),
        ("kill", "init", "'faulty': was killed by SIGKILL (often for want of memory) before the first time step"),
        ("segfault", 3, "'faulty': was killed by SIGSEGV in time step 3 of 8"),
        ("unusual signal", 3, f"'faulty': was killed by signal {signal.SIGRTMIN + 5} in time step 3 of 8"),
    ],
)
def test_a_fault_becomes_one_line_that_names_the_process(fault, at, phrase):
    with pytest.raises(LavaRuntimeError) as caught:
        run(fault, at)
    assert phrase in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, KilledError) == ("was killed by" in phrase)


@pytest.mark.parametrize(
    ("at", "phrase"), [(3, "time step 3 of 8, not finished by 'faulty', 'sink', 'well'"), ("init", "building faulty")]
)
def test_a_standstill_times_out(at, phrase):
    with pytest.raises(LavaRuntimeError, match=phrase):
        run("sleep", at, timeout_s=1.0)


def test_ctrl_c_ends_everything_and_stays_a_keyboard_interrupt():
    stall = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    stall.start()
    with pytest.raises(KeyboardInterrupt):
        run("sleep")
    stall.join()


def test_a_new_run_works_after_failures():
    with pytest.raises(LavaRuntimeError):
        run("raise")
    _, store = run()
    assert store[-1, 0] == NUM_STEPS - 1


def test_a_run_works_beside_threads_of_torch_and_outside_the_main_thread():
    torch = pytest.importorskip("torch")
    num_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert float((torch.ones(300, 300) @ torch.ones(300, 300)).sum()) == 300**3
        stores = []
        thread = threading.Thread(target=lambda: stores.append(run()[1]))
        thread.start()
        thread.join()
        assert stores[0][-1, 0] == NUM_STEPS - 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(num_threads)


CHILD = """
from tests.lava_runtime.test_session import network
from lava_runtime.session import Session
session = Session()
sink, models, _ = network(session, "sleep")
print("ready", flush=True)
session.run(sink, 8, number_format="fixed_pt", models=models)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_its_parent(number):
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], cwd=root, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
            while len(group(child.pid)) < 6:  # four Processes, their service, Lava's memory manager
                time.sleep(0.05)
            files = segments(child.pid)
            # Ctrl-C in a terminal reaches the whole group, kill -9 only the parent
            (os.killpg if number == signal.SIGINT else os.kill)(child.pid, number)
            _, errors = child.communicate(timeout=60)
        finally:
            child.kill()
    while group(child.pid) or any(Path(file).exists() for file in files):
        time.sleep(0.05)
    assert files
    assert child.returncode == -number
    assert errors.count(b"Traceback") == (1 if number == signal.SIGINT else 0)


def test_the_tag_finds_our_models_as_it_finds_lavas():
    load_lava()
    from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs
    from lava.magma.core.run_configs import Loihi2SimCfg

    from export.nodes import IntegerThreshold, Product
    from lava_runtime.processes.delay_line.process import DelayLine
    from lava_runtime.processes.dynamic_threshold_lif.process import DynamicThresholdLIF
    from lava_runtime.processes.product.process import SignalProduct
    from lava_runtime.processes.snntorch_neuron.process import SnnTorchNeuron

    node = IntegerThreshold(vth=np.ones(2, dtype=int), bias_mant=np.zeros(2, dtype=int), bias_exp=0)
    for process in (
        DynamicThresholdLIF(shape=(2,), dv=0),
        SnnTorchNeuron(node=node),
        DelayLine(shape=(2,)),
        SignalProduct(node=Product(shape=(2,))),
    ):
        models = ProcGroupDiGraphs._find_proc_models(process)
        for number_format, ending in (("fixed_pt", "Fixed"), ("floating_pt", "Float")):
            assert Loihi2SimCfg(select_tag=number_format).select(process, models).__name__.endswith(ending)
