"""Runs end: whichever Process fails, whatever is killed, whenever Ctrl-C comes, and again and again."""

import os
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from export.graph import Edge, Graph
from export.nodes import (
    LI,
    LIF,
    Conv,
    Convolution,
    DynamicThresholdLIF,
    Input,
    Linear,
    Output,
    Product,
    Reshape,
    Scale,
)
from hardware_profiles.interrupts import no_interrupt_lost
from lava_runtime.compat import load_lava
from lava_runtime.errors import LavaRuntimeError
from lava_runtime.fused.run import run_fused
from lava_runtime.layerwise import run_processes
from lava_runtime.session import Session

from .children import children, segments
from .random_nodes import random_controller
from .test_session import NUM_STEPS, created, network, run

__all__ = ["created"]
pytestmark = pytest.mark.lava
NUM_INTERRUPTS = 30 if os.environ.get("AXONPORT_FULL") else 4
NUM_SESSIONS = 20
AT = 4
PROCESSES = {
    "lava.proc.conv.models.PyConvModelFloat": {"conv"},
    "lava.proc.lif.models.PyLifResetModelFloat": {"hard"},
    "lava.proc.dense.models.PyDenseModelFloat": {"w", "back", "drive", "dynamic.count"},
    "lava.proc.sparse.models.PySparseModelFloat": {"scale"},
    "lava_runtime.processes.snntorch_neuron.models.PySnnTorchNeuronModelFloat": {"soft", "end"},
    "lava_runtime.processes.delay_line.models.PyDelayLineModelFloat": None,
    "lava_runtime.processes.leaky_integrator.models.PyLeakyIntegratorModel": {"li"},
    "lava_runtime.processes.product.models.PySignalProductModelFloat": {"product"},
    "lava_runtime.processes.dynamic_threshold_lif.models.PyDynamicThresholdLIFModelFloat": {"dynamic"},
    "lava_runtime.processes.threshold_controller.models.PyThresholdControllerModel": {"dynamic.threshold"},
    "lava_runtime.processes.memory_source.models.PyMemorySourceModel": {"source"},
    "lava_runtime.processes.memory_sink.models.PyMemorySinkModel": {"sink"},
}
"""ProcessModel to the Processes of `every_kind` that it runs; None: those whose names hold an @."""


def every_kind():
    """A chain of all Processes that a float graph can become, stock and ours."""
    rng = np.random.default_rng(0)
    size, ones = 4, np.ones(4, np.float32)
    conv = Conv(
        weight=np.ones((1, 1, 2, 2), np.float32),
        geometry=Convolution(input_shape=(1, 3, 3), stride=(1, 1), padding=(0, 0), dilation=(1, 1)),
    )
    square = Linear(weight=np.eye(size, dtype=np.float32) * 2)
    plane = np.ones((1, 2, 2), np.float32)
    nodes = {
        "x": Input(shape=(1, 3, 3)),
        "conv": conv,
        "hard": LIF(beta=plane / 2, threshold=plane, reset="zero", reset_delay=False),
        "flat": Reshape(input_shape=(1, 2, 2), shape=(4,)),
        "w": square,
        "soft": LIF(beta=ones / 2, threshold=ones, reset="subtract"),
        "back": square,
        "scale": Scale(weight=np.float32(2), shape=(size,)),
        "li": LI(beta=ones / 2),
        "product": Product(shape=(size,)),
        "end": LIF(beta=ones / 2, threshold=ones, reset="subtract"),
        "drive": square,
        "dynamic": DynamicThresholdLIF(beta=ones / 2, controller=random_controller(rng, size, 0)),
        "y": Output(shape=(size,)),
    }
    names = ["x", "conv", "hard", "flat", "w", "soft", "scale", "li"]
    edges = [Edge(*pair) for pair in pairwise(names)]
    edges += [Edge("soft", "back", delay=1), Edge("back", "soft", "recurrent")]
    edges += [Edge("li", "product", "a"), Edge("soft", "product", "b"), Edge("product", "end")]
    edges += [Edge("soft", "drive"), Edge("drive", "dynamic"), Edge("soft", "dynamic", "population")]
    edges += [Edge("end", "y")]
    return Graph(nodes=nodes, edges=tuple(edges), dialect="float", dt_s=1e-3)


def break_in_step(monkeypatch, model, at):
    """Let a ProcessModel raise in time step `at`; models are told by their dotted names."""
    module, _, name = model.rpartition(".")
    kind = getattr(__import__(module, fromlist=[name]), name)
    run_spk = kind.run_spk

    def breaking(self):
        if self.time_step == at:
            raise ArithmeticError("broken on purpose")
        run_spk(self)

    monkeypatch.setattr(kind, "run_spk", breaking)


@pytest.mark.parametrize("model", PROCESSES)
def test_whichever_process_raises_is_named_with_the_step_that_it_was_in(model, monkeypatch):
    load_lava()
    from lava_runtime.processes import convolution

    monkeypatch.setattr(convolution, "SPARSE_SYNAPSES", 0)
    break_in_step(monkeypatch, model, AT)
    inputs = {"x": np.ones((6, 1, 1, 3, 3), dtype=np.uint8)}
    with pytest.raises(LavaRuntimeError) as caught:
        run_processes(every_kind(), inputs, number_format="floating_pt", timeout_s=30)
    message = str(caught.value)
    assert f": raised ArithmeticError: broken on purpose in time step {AT} of " in message
    name, names = message.split("'")[1], PROCESSES[model]
    assert "@" in name if names is None else name in names


def test_the_fused_process_is_named_with_its_step(monkeypatch):
    load_lava()
    monkeypatch.setattr("lava_runtime.fused.plan.BLOCK_BYTES", 1)  # one step of the model …
    monkeypatch.setattr("lava_runtime.fused.plan.BLOCKS_PER_STEP", 1)  # … in one of Lava's
    break_in_step(monkeypatch, "lava_runtime.processes.fused_data_set.models.PyFusedDataSetModel", AT)
    inputs = {"x": np.ones((6, 1, 1, 3, 3), dtype=np.uint8)}
    with pytest.raises(LavaRuntimeError, match=f"'fused graph': raised ArithmeticError: .* in time step {AT} of 6;"):
        run_fused(every_kind(), inputs, number_format="floating_pt", timeout_s=30)


def test_an_exception_after_which_lava_ends_all_others_is_still_the_one_that_is_told(monkeypatch):
    """Lava's service hears of the error first and ends the others; here the words come half a second later."""
    load_lava()
    from lava_runtime.backend import actors

    tell = actors._one_line

    def telling_late(error):
        time.sleep(0.5)
        return tell(error)

    monkeypatch.setattr(actors, "_one_line", telling_late)
    break_in_step(monkeypatch, "lava_runtime.processes.memory_sink.models.PyMemorySinkModel", NUM_STEPS)
    with pytest.raises(LavaRuntimeError, match=f"'sink': raised ArithmeticError: .* in time step {NUM_STEPS} of"):
        run()


class KillingSession(Session):
    """Kills one OS process of the run: a Process by its name, or Lava's memory manager."""

    def __init__(self, victim, when):
        super().__init__(timeout_s=30)
        self._victim, self._when = victim, when

    def _build(self, runtime):
        if self._when == "built":
            super()._build(runtime)
            self._kill(runtime.infrastructure)
            return
        build_processes = runtime._build_processes

        def killing():
            build_processes()
            self._kill(runtime.infrastructure)

        channels = runtime._build_channels

        def killing_first():
            self._kill(runtime.infrastructure)
            channels()

        if self._victim == "manager":
            runtime._build_channels = killing_first
        else:
            runtime._build_processes = killing
        super()._build(runtime)

    def _kill(self, infrastructure):
        if self._victim == "manager":
            process = infrastructure.smm._manager._process
        else:
            (process,) = (actor.process for actor in infrastructure.actors if actor.name == self._victim)
        os.kill(process.pid, signal.SIGKILL)
        process.join()


def run_killing(victim, when):
    session = KillingSession(victim, when)
    sink, models, store = network(session)
    session.run(sink, NUM_STEPS, number_format="fixed_pt", models=models)
    return store


@pytest.mark.parametrize(
    ("victim", "when"), [("runtime service", "built"), ("well", "built"), ("source", "while building")]
)
def test_a_killed_process_is_named(victim, when):
    with pytest.raises(LavaRuntimeError, match=f"'{victim}': was killed by SIGKILL .* before the first time step"):
        run_killing(victim, when)


def test_without_lavas_memory_manager_a_run_cannot_start():
    with pytest.raises(LavaRuntimeError, match="its processes cannot be started"):
        run_killing("manager", "while building")


def test_a_run_that_has_started_needs_no_memory_manager(created):
    """It only tracks what is to be removed in the end; the parent knows that too."""
    store = run_killing("manager", "built")
    assert np.array_equal(store[:, 0], np.arange(NUM_STEPS))
    assert created and not [name for name in created if (Path("/dev/shm") / name).exists()]


@pytest.mark.parametrize("seed", range(NUM_INTERRUPTS))
def test_ctrl_c_at_any_moment_leaves_nothing(seed):
    began = time.monotonic()
    run()
    delay = np.random.default_rng(seed).uniform(0, 1.2 * (time.monotonic() - began))
    session = Session()
    sink, models, _ = network(session)
    press = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    press.start()
    with no_interrupt_lost(), pytest.raises(KeyboardInterrupt):
        session.run(sink, NUM_STEPS, number_format="fixed_pt", models=models)
        press.join()
        time.sleep(1)
    press.join()
    assert children() == set()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_stop_the_ending(monkeypatch):
    load_lava()
    from lava_runtime.backend.actors import Actors

    stop = Actors.stop

    def pressed_again(self):
        os.kill(os.getpid(), signal.SIGINT)
        stop(self)

    monkeypatch.setattr(Actors, "stop", pressed_again)
    press = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    press.start()
    with pytest.raises(KeyboardInterrupt):
        run("sleep")
    press.join()


class PressingSession(Session):
    """Presses Ctrl-C when all processes are started."""

    def _build(self, runtime):
        super()._build(runtime)
        os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_that_was_switched_off_stays_off():
    session = PressingSession()
    sink, models, store = network(session)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        session.run(sink, NUM_STEPS, number_format="fixed_pt", models=models)
    finally:
        signal.signal(signal.SIGINT, before)
    assert store[-1, 0] == NUM_STEPS - 1


def test_a_programs_own_answer_to_ctrl_c_is_given_and_the_run_goes_on():
    answers = []
    session = PressingSession()
    sink, models, store = network(session)
    before = signal.signal(signal.SIGINT, lambda number, frame: answers.append(number))
    try:
        session.run(sink, NUM_STEPS, number_format="fixed_pt", models=models)
    finally:
        signal.signal(signal.SIGINT, before)
    assert answers == [signal.SIGINT] and store[-1, 0] == NUM_STEPS - 1


def held():
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), segments()


def test_one_session_after_another_holds_no_more_than_the_first():
    run()
    first = held()
    for number in range(NUM_SESSIONS):
        if number % 4 == 3:
            with pytest.raises(LavaRuntimeError):
                run("raise")
        else:
            run()
        assert held() == first
