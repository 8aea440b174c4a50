from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_profiles.report.layer_order import LayerOrder

GRAPH = ("frames", "sound", "visual.lif.0", "audio.lif.0", "visual.lif.1", "audio.lif.1")


@dataclass(frozen=True)
class Entry:
    name: str


def ordered(*names: str, graph: tuple[str, ...] = GRAPH) -> list[str]:
    return [entry.name for entry in LayerOrder(graph)([Entry(name) for name in names])]


def test_streams_stay_together_and_run_from_input_to_output() -> None:
    assert ordered("audio.lif.1", "visual.lif.1", "audio.lif.0", "visual.lif.0", "sound") == [
        "sound",
        "visual.lif.0",
        "visual.lif.1",
        "audio.lif.0",
        "audio.lif.1",
    ]


def test_names_outside_the_graph_follow_their_numbers() -> None:
    names = ("audio.linear.0", "visual.linear.10", "visual.linear.2", "visual.lif.0")
    assert ordered(*names) == ["visual.lif.0", "visual.linear.2", "visual.linear.10", "audio.linear.0"]


def test_unknown_streams_leave_the_order_as_it_is() -> None:
    assert ordered("2", "audio.lif.0", "visual.lif.0") == ["2", "audio.lif.0", "visual.lif.0"]
    assert ordered("b", "a", graph=()) == ["b", "a"]


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.permutations(GRAPH))
def test_the_order_does_not_depend_on_what_was_given(names: list[str]) -> None:
    assert ordered(*names) == ordered(*GRAPH)
