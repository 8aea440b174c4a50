"""Stem and stage as export reads them, step by step, give the spikes that training computes over whole sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from export.interpreters.float_interpreter import run_float
from export.nodes import DynamicThresholdLIF, Input, Output
from export.reader import trace_network
from training.model.neurons import reset
from training.model.spikeformer import Stage
from training.model.stem import Stem

from .clips import assert_some_spike, config, dyadic, spikes

T, B = 8, 3


class FirstStage(nn.Module):
    """A visual stem and the stage behind it."""

    def __init__(self, attention: str) -> None:
        super().__init__()
        shape = config(attention=attention)
        self.stem = Stem((2, 8, 8), shape)
        self.stage = Stage(self.stem.tokens, 1, shape, entry=self.stem.hidden)

    def forward(self, events: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Take one step `[B, N]`, or all of them `[T, B, N]`."""
        current, hidden = self.stem(events, context)
        fired: torch.Tensor = self.stage(current, hidden, context)
        return fired


@pytest.mark.parametrize("attention", ["sdsa", "spikformer", "none"])
def test_what_export_reads_spikes_as_training_does(attention: str) -> None:
    torch.manual_seed(0)
    network = FirstStage(attention).eval()
    dyadic(network)
    events = spikes((T, B, 128), 0.2)
    context = torch.randint(-300, 300, (T, B, 4), generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        expected = network(events, context)
    reset(network)
    inputs = {"events": Input(shape=(128,), kind="spike"), "context": Input(shape=(4,), kind="graded")}
    graph = trace_network(network, inputs=inputs).graph
    assert len(graph.of_type(DynamicThresholdLIF)) == (4 if attention == "none" else 8)
    sent = {"events": events.numpy().astype(np.uint8), "context": context.numpy().astype(np.int16)}
    ((output,),) = (graph.sources(name) for name in graph.of_type(Output))
    trace = run_float(graph, sent).trace
    assert np.array_equal(trace[output].s.reshape(T, B, -1), expected.numpy().astype(np.uint8))
    assert_some_spike(expected)
