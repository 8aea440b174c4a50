"""Runs in the environments of other frameworks, where Axonport is not installed; files go in and out.

    python peers.py run FRAMEWORK model.nir inputs.npz outputs.npz     output spikes of a file that Axonport wrote
    python peers.py write FRAMEWORK CASE folder                        a file of theirs, inputs, and their spikes

`inputs.npz` holds `x` [T, B, ...], `outputs.npz` holds `s` [T, B, ...] and, for Spyx, `states`.
"""

import sys
from pathlib import Path

import nir
import numpy as np

STEPS, BATCH = 100, 8


def main() -> None:
    verb, framework = sys.argv[1:3]
    if verb == "run":
        model, inputs, outputs = map(Path, sys.argv[3:6])
        spikes = RUN[framework](nir.read(str(model)), np.load(inputs)["x"].astype(np.float32))
        np.savez(outputs, s=spikes)
    else:
        case, folder = sys.argv[3], Path(sys.argv[4])
        graph, x, spikes = WRITE[framework](case)
        nir.write(str(folder / "model.nir"), graph)
        np.savez(folder / "inputs.npz", x=x.astype(np.uint8))
        np.savez(folder / "outputs.npz", s=spikes)


def run_spikingjelly(graph, x):
    import torch
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    dt = float(graph.metadata["dt"])
    return _run_torch(import_from_nir(graph, dt=dt, dtype=torch.float32), x)


def run_norse(graph, x):
    """Norse ignores r of a LIF, and lets its Flatten take the batch along: both are put right here."""
    import norse.torch

    dt = float(graph.metadata["dt"])
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Flatten):
            node.start_dim = 1
        if isinstance(node, nir.LIF):
            gain = np.unique(np.float32(node.r))
            assert gain.size == 1
            for source, target in graph.edges:
                if target == name:
                    graph.nodes[source].weight = graph.nodes[source].weight * gain[0]
                    graph.nodes[source].bias = graph.nodes[source].bias * gain[0]
            node.r = np.ones_like(node.r)
    return _run_torch(norse.torch.from_nir(graph, dt=dt), x)


def _run_torch(model, x):
    import torch

    state, spikes = None, []
    with torch.no_grad():
        for step in x:
            out, state = model(torch.from_numpy(step), state)
            spikes.append(out.numpy())
    return np.stack(spikes)


def run_spyx(graph, x):
    import jax.numpy as jnp
    import spyx.nir

    if x.ndim == 5:
        x = x.transpose(0, 1, 3, 4, 2)  # Spyx keeps channels last
    _, spikes = spyx.nir.from_nir(graph, jnp.asarray(x), dt=float(graph.metadata["dt"]))
    spikes = np.asarray(spikes)
    return spikes.transpose(0, 1, 4, 2, 3) if spikes.ndim == 5 else spikes


def write_spikingjelly(case):
    import torch
    from spikingjelly.activation_based import layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    torch.manual_seed(0)

    def lif():
        return neuron.LIFNode(tau=4.0, decay_input=False, v_threshold=1.0, v_reset=0.0)

    modules = {
        "mlp": [layer.Linear(32, 40), lif(), layer.Linear(40, 10), neuron.IFNode(v_threshold=1.0, v_reset=0.0)],
        "cuba": [
            layer.Linear(32, 40),
            neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75, v_threshold=1.0, v_reset=0.0),
            layer.Linear(40, 10),
            neuron.LIFNode(tau=2.0, decay_input=True, v_threshold=0.5, v_reset=0.0),
        ],
        "conv": [
            layer.Conv2d(2, 6, 3, padding=1),
            lif(),
            layer.AvgPool2d(2),
            layer.Conv2d(6, 8, 3, stride=2),
            lif(),
            layer.Flatten(),
            layer.Linear(8 * 2 * 2, 10),
            lif(),
        ],
    }[case]
    return _write_torch(torch.nn.Sequential(*modules), (2, 10, 10) if case == "conv" else (32,), export_to_nir, False)


def write_norse(case):
    import norse.torch as norse
    import torch

    torch.manual_seed(0)
    cells = {
        "mlp": [
            torch.nn.Linear(32, 40),
            norse.LIFBoxCell(
                norse.LIFBoxParameters(
                    tau_mem_inv=torch.full((40,), 200.0), v_th=torch.full((40,), 0.2), v_leak=torch.zeros(40)
                )
            ),
            torch.nn.Linear(40, 10),
            norse.LIFBoxCell(
                norse.LIFBoxParameters(
                    tau_mem_inv=torch.full((10,), 100.0), v_th=torch.full((10,), 0.1), v_leak=torch.zeros(10)
                )
            ),
        ],
    }[case]
    model = norse.SequentialState(*cells)
    from norse.torch.utils.export_nir import to_nir

    return _write_torch(model, (32,), to_nir, True)


def write_snntorch(case):
    """snnTorch's own exporter: it takes only full-shape parameters, and knows hard resets."""
    import snntorch
    import torch
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(0)

    def leaky(size):
        options = {"beta": torch.full((size,), 0.75), "threshold": torch.full((size,), 1.0)}
        return snntorch.Leaky(**options, reset_mechanism="zero", init_hidden=True)

    model = torch.nn.Sequential(torch.nn.Linear(32, 40), leaky(40), torch.nn.Linear(40, 10), leaky(10))
    for parameter in model.parameters():
        parameter.data *= 2
    x = _spikes((32,))
    graph = export_to_nir(model, torch.from_numpy(x[0]).float(), ignore_dims=[0])
    for module in model[1], model[3]:
        module.reset_mem()
    with torch.no_grad():
        return graph, x, np.stack([model(torch.from_numpy(step).float()).numpy() for step in x])


def write_sinabs(case):
    """Integrate and fire, hard reset, at most one spike per step; r = 1 means one unit per step."""
    import sinabs.layers as sl
    import sinabs.nir
    import torch
    from sinabs.activation import MembraneReset, SingleSpike

    torch.manual_seed(0)

    def iaf():
        return sl.IAFSqueeze(batch_size=BATCH, spike_fn=SingleSpike, reset_fn=MembraneReset(), min_v_mem=None)

    model = torch.nn.Sequential(torch.nn.Linear(32, 40), iaf(), torch.nn.Linear(40, 10), iaf())
    x = _spikes((32,))
    with torch.no_grad():
        flat = torch.from_numpy(x).float().transpose(0, 1).reshape(BATCH * STEPS, 32)
        spikes = model(flat).reshape(BATCH, STEPS, 10).transpose(0, 1).numpy()
        graph = sinabs.nir.to_nir(model, flat[:BATCH])
    return graph, x, spikes


def _spikes(shape):
    return (np.random.default_rng(0).random((STEPS, BATCH, *shape)) < 0.4).astype(np.uint8)


def _write_torch(model, shape, export, explicit_state):
    import torch

    x = _spikes(shape)
    for parameter in model.parameters():
        parameter.data *= 2
    if explicit_state:
        graph = export(model, torch.from_numpy(x[0, :1]).float())
        return graph, x, _run_torch(model, x.astype(np.float32))
    graph = export(model, torch.from_numpy(x[0, :1]).float())
    from spikingjelly.activation_based import functional

    functional.reset_net(model)
    with torch.no_grad():
        spikes = np.stack([model(torch.from_numpy(step).float()).numpy() for step in x])
    return graph, x, spikes


RUN = {"spikingjelly": run_spikingjelly, "norse": run_norse, "spyx": run_spyx}
WRITE = {"snntorch": write_snntorch, "spikingjelly": write_spikingjelly, "norse": write_norse, "sinabs": write_sinabs}

if __name__ == "__main__":
    main()
