import ctypes
import faulthandler
import os
import signal
import sys
import time

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from tests.lava_runtime.faulty.process import Faulty


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("cannot be pickled")


class Unprintable(Exception):
    def __str__(self):
        raise ValueError


def strike(fault):
    if fault == "raise":
        raise ZeroDivisionError("no way\nsecond line")
    if fault == "unpicklable":
        raise Unpicklable("odd")
    if fault == "unprintable":
        raise Unprintable
    if fault == "memory":
        raise MemoryError("no 9 GiB left")
    if fault == "leave politely":
        sys.exit(0)
    if fault == "segfault":
        faulthandler.disable()  # pytest's, which prints a traceback
        ctypes.string_at(0)
    if fault == "unusual signal":
        os.kill(os.getpid(), signal.SIGRTMIN + 5)
    if fault == "exit":
        os._exit(7)
    if fault == "leave":
        os._exit(0)
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    while fault == "sleep":
        time.sleep(0.05)


@implements(proc=Faulty, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyFaultyModel(PyLoihiProcessModel):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int8)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int8)

    def __init__(self, proc_params):
        super().__init__(proc_params)
        if proc_params["at"] == "init":
            strike(proc_params["fault"])

    def run_spk(self):
        if self.time_step == self.proc_params["at"]:
            strike(self.proc_params["fault"])
            if self.proc_params["fault"] == "close":
                self.s_out.join()
        self.s_out.send(self.a_in.recv())
