from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from export.checkpoint import load_checkpoint, save_checkpoint
from export.errors import ExportError


def test_round_trip(tmp_path: Path) -> None:
    state = {"a.weight": torch.randn(3, 4), "n": torch.tensor(2)}
    save_checkpoint(tmp_path / "c.safetensors", state, {"widths": [1, 2]})
    again, config = load_checkpoint(tmp_path / "c.safetensors")
    assert config == {"widths": [1, 2]} and set(again) == set(state)
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_state_dict_of_torch_save(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "c.pt")
    state, config = load_checkpoint(tmp_path / "c.pt")
    assert torch.equal(state["w"], torch.ones(2)) and config == {}


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, ("axonport_was_here", "w"))


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": Bomb()}, tmp_path / "c.pt")
    (tmp_path / "d.pt").write_bytes(pickle.dumps(Bomb()))
    for name in ("c.pt", "d.pt"):
        with pytest.raises(ExportError, match="not a file of plain tensors") as caught:
            load_checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "axonport_was_here").exists()


def test_bad_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no such file"):
        load_checkpoint(tmp_path / "none.pt")
    (tmp_path / "a.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ExportError, match="not a readable safetensors file"):
        load_checkpoint(tmp_path / "a.safetensors")
    save_checkpoint(tmp_path / "n.safetensors", {"w": torch.tensor([1.0, float("nan")])}, {})
    with pytest.raises(ExportError, match="'w' holds NaN"):
        load_checkpoint(tmp_path / "n.safetensors")
    torch.save([1, 2], tmp_path / "l.pt")
    with pytest.raises(ExportError, match="holds list, allowed is a state dict"):
        load_checkpoint(tmp_path / "l.pt")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "c.safetensors", {"w": torch.ones(1)}, {"x": object()})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (torch.ones(1).expand(1 << 20, 1 << 20), "repeats its values"),
        (torch.eye(3).to_sparse(), "sparse"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_not_plain_memory(tensor: torch.Tensor, reason: str, tmp_path: Path) -> None:
    """A terabyte of one stored number, for example."""
    torch.save({"w": tensor}, tmp_path / "odd.pt")
    with pytest.raises(ExportError, match=reason):
        load_checkpoint(tmp_path / "odd.pt")


def test_keys_that_are_not_text(tmp_path: Path) -> None:
    torch.save({3: torch.ones(2)}, tmp_path / "keys.pt")
    with pytest.raises(ExportError, match="a key is int, allowed is text"):
        load_checkpoint(tmp_path / "keys.pt")
