from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess


class Faulty(AbstractProcess):
    """Passes messages on until `fault` strikes in time step `at`."""

    def __init__(self, *, fault, at=3, name="faulty"):
        super().__init__(fault=fault, at=at, name=name)
        self.a_in = InPort(shape=(2,))
        self.s_out = OutPort(shape=(2,))
