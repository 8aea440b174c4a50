"""A residual network whose thresholds follow its activity, on Lava: `python -m examples.residual_dynamic_threshold`."""

import numpy as np
import torch
from torch import nn

from export.pipeline import lower
from export.reader import read_network
from export.trace import Array
from hardware_profiles.profile import integer_format
from lava_runtime.fused.run import run_fused
from lava_runtime.probes import every_probe
from training.dynamic_threshold import DynamicThresholdLIF, ThresholdBlock


class Residual(nn.Module):
    """Two layers; the second adds what the first sent. θ rises with the spikes that drive a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(32, 24), DynamicThresholdLIF(0.9, ThresholdBlock(32), init_hidden=True)
        self.fc2, self.lif2 = nn.Linear(24, 24), DynamicThresholdLIF(0.9, ThresholdBlock(24), init_hidden=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, 32]
        a = self.lif1(4 * self.fc1(x), population=x)
        spikes: torch.Tensor = self.lif2(2 * self.fc2(a) + a, population=a)
        return spikes


def main() -> dict[str, Array | None]:
    """Carry it and return the thresholds on Lava, `[T, samples]` per layer."""
    torch.manual_seed(0)
    rate = 0.15 + 0.3 * np.random.default_rng(1).random((25, 4, 1))
    spikes = (np.random.default_rng(0).random((25, 4, 32)) < rate).astype(np.uint8)
    on_chip = lower(read_network(Residual()), integer_format("loihi2"))
    trace = run_fused(on_chip, {"x": spikes}, number_format="fixed_pt", probes=every_probe(on_chip)).trace or {}
    return {name: layer.theta for name, layer in trace.items()}


if __name__ == "__main__":
    print(main())
