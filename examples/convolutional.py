"""A convolutional network in plain snnTorch, on Lava: `python -m examples.convolutional`."""

import numpy as np
import snntorch as snn
import torch
from torch import nn

from export.nodes import Input
from export.pipeline import lower
from export.reader import read_network
from export.trace import Array
from hardware_profiles.profile import integer_format
from lava_runtime.fused.run import run_fused


def make_network() -> nn.Module:
    """Make a small classifier of event frames."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, padding_mode="circular"), nn.BatchNorm2d(8), snn.Leaky(0.9, init_hidden=True),
        nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), snn.Leaky(0.8, reset_mechanism="zero", init_hidden=True),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, 10), snn.Leaky(0.9, threshold=0.5, init_hidden=True),
    )  # fmt: skip


def main() -> dict[str, Array]:
    """Carry it and return its spike counts on Lava, `[samples, classes]`."""
    events = (np.random.default_rng(0).random((25, 4, 2, 16, 16)) < 0.3).astype(np.uint8)  # [T, B, channel, y, x]
    graph = read_network(make_network().eval(), inputs={"input": Input(shape=(2, 16, 16))})
    on_chip = lower(graph, integer_format("loihi2"))  # 8-bit weights, ranges proven
    return run_fused(on_chip, {"input": events}, number_format="fixed_pt").output_counts


if __name__ == "__main__":
    print(main())
