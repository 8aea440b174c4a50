"""The neuron's behaviour in floating and fixed point."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from export.interpreters.integer_neurons import fire, initial_state
from export.nodes import LIF, AlphaLIF, CubaLIF, Threshold
from lava_runtime.processes.snntorch_neuron.process import SnnTorchNeuron


class _SnnTorchNeuronModel(PyLoihiProcessModel):
    """What both number formats share: the order of a step, and the reset between samples."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._node = proc_params["node"]
        self._state = self.at_rest()

    def run_spk(self) -> None:
        """Receive; on a tick take it, show the membrane, send; between ticks hold and be silent."""
        clock = self.proc_params["clock"]
        if clock.starts(self.time_step):
            self._state = self.at_rest()
        a_in = self.a_in.recv()
        threshold = self.th_in.recv() if "threshold" in self._node.ports else None
        spikes = np.zeros(self._node.size)
        if clock.ticks(self.time_step):
            spikes, self._state = self.advance(a_in, threshold)
        if self._state:
            self.v[:] = self._state[0].ravel()
        self.s_out.send(spikes.ravel().astype(self.s_out._d_type))


@implements(proc=SnnTorchNeuron, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySnnTorchNeuronModelFloat(_SnnTorchNeuronModel):
    """Double precision, as Lava's own float models; what is kept is (U, synaptic traces …), [n] each."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    th_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    v: Any = LavaPyType(np.ndarray, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        arrays = {name: getattr(self._node, name, None) for name in ("beta", "alpha", "tau", "threshold")}
        self._flat = {name: array.astype(float).ravel() for name, array in arrays.items() if array is not None}

    def at_rest(self) -> Any:
        """Return silence."""
        num_arrays = {Threshold: 0, LIF: 1, CubaLIF: 2, AlphaLIF: 3}[type(self._node)]
        return tuple(np.zeros(self._node.size) for _ in range(num_arrays))

    def advance(self, a_in: Any, threshold: Any) -> Any:
        """Return (spikes, state)."""
        node, x = self._node, a_in + self.proc_params["bias"]
        theta = self._flat["threshold"] if threshold is None else threshold
        if isinstance(node, Threshold):
            return x > theta, ()
        owed = (self._state[0] > theta).astype(float)
        u, traces = self._alpha(x, theta, owed) if isinstance(node, AlphaLIF) else self._lif(x, theta, owed)
        spikes = (u > theta).astype(float)
        if node.inhibition:
            spikes *= np.arange(len(u)) == np.argmax(u - theta)
        if not node.reset_delay and node.reset != "none":
            u = u - (spikes - owed) * (theta if node.reset == "subtract" else u)
        return spikes, (u, *traces)

    def _lif(self, x: Any, theta: Any, owed: Any) -> Any:
        """Return the new membrane and the traces before it, with or without a synaptic current."""
        u, *traces = self._state
        traces = [self._flat["alpha"] * current + x for current in traces]
        kept = u * (1 - owed) if self._node.reset == "zero" else u
        u = self._flat["beta"] * kept + (traces[0] if traces else x)
        if self._node.reset == "subtract":
            u = u - owed * theta
        return u * (1 - owed) if self._node.reset == "clear" else u, traces

    def _alpha(self, x: Any, theta: Any, owed: Any) -> Any:
        """Return the new membrane and the two traces whose difference it is."""
        _, excitation, inhibition = self._state
        e, i = self._flat["alpha"] * excitation + x, self._flat["beta"] * inhibition - x
        u = self._flat["tau"] * (e + i)
        if self._node.reset == "subtract":
            return u + inhibition * owed, [e - theta * owed, i - i * owed]
        if self._node.reset == "clear":
            return u * (1 - owed), [e * (1 - owed), i * (1 - owed)]
        return u, [e, i]


@implements(proc=SnnTorchNeuron, protocol=LoihiProtocol)
@requires(CPU)
@tag("bit_accurate_loihi", "fixed_pt")
class PySnnTorchNeuronModelFixed(_SnnTorchNeuronModel):
    """Loihi's integers, by the functions that the specification calls too."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    th_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=1)
    v: Any = LavaPyType(np.ndarray, np.int32, precision=24)

    def at_rest(self) -> Any:
        """Return silence."""
        return initial_state(self._node, 1)

    def advance(self, a_in: Any, threshold: Any) -> Any:
        """Return (spikes, state)."""
        shape = (1, *self._node.shape)
        vth = self._node.vth if threshold is None else threshold.astype(np.int64).reshape(shape)
        total = a_in.astype(np.int64).reshape(shape)
        spikes, state, _ = fire(self._node, self._state, total, vth, self.proc_params["fmt"])
        return spikes, state
