"""A recurrent network with its loop over time inside forward, on Lava: `python -m examples.recurrent`."""

import numpy as np
import snntorch as snn
import torch
from torch import nn

from export.nodes import Input
from export.pipeline import lower
from export.reader import read_network
from export.trace import Array
from hardware_profiles.profile import integer_format
from lava_runtime.layerwise import run_processes


class Recurrent(nn.Module):
    """A hidden layer that listens to itself, and a synaptic read-out."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(20, 32), snn.RLeaky(beta=0.9, linear_features=32)
        self.fc2, self.lif2 = nn.Linear(32, 5), snn.Synaptic(alpha=0.8, beta=0.7, threshold=0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [T, B, 20]
        (spk1, mem1), (syn2, mem2), out = self.lif1.reset_mem(), self.lif2.reset_mem(), []
        for step in x:
            spk1, mem1 = self.lif1(2 * self.fc1(step), spk1, mem1)
            spk2, syn2, mem2 = self.lif2(self.fc2(spk1), syn2, mem2)
            out.append(spk2)
        return torch.stack(out)


def main() -> dict[str, Array]:
    """Carry it and return every layer's spikes on Lava, one Process per node, `[T, samples, neurons]`."""
    torch.manual_seed(0)
    spikes = (np.random.default_rng(0).random((25, 2, 20)) < 0.3).astype(np.uint8)
    on_chip = lower(read_network(Recurrent(), inputs={"x": Input(shape=(20,))}), integer_format("loihi2"))
    return {name: layer.s for name, layer in run_processes(on_chip, {"x": spikes}, number_format="fixed_pt").items()}


if __name__ == "__main__":
    print({name: int(spikes.sum()) for name, spikes in main().items()})
