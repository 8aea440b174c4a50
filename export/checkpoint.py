"""Weights on disk: safetensors, with the configuration that they belong to; pickles only as bare tensors."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from hardware_profiles.artifact import atomic_file

from .errors import ExportError

MAX_BYTES = 8 << 30


def save_checkpoint(path: Path, state: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> None:
    """Write weights and their configuration as one safetensors file, atomically; equal content is equal bytes."""
    # a single entry: safetensors writes several in an order of its own, and equal weights shall be equal bytes
    metadata = {"config": json.dumps(dict(config), sort_keys=True)}
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    with atomic_file(path) as work:
        safetensors.torch.save_file(tensors, str(work), metadata=metadata)


def load_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read weights and configuration; nothing in the file is executed.

    Args:
        path: `.safetensors`, or a file of `torch.save(model.state_dict())` (read with `weights_only=True`).

    Returns:
        (state dict, configuration; empty if the file carries none).

    Raises:
        ExportError: missing, too large, foreign or damaged file, or values that are not finite.
    """
    if not path.is_file():
        raise ExportError(f"checkpoint {path}: no such file; train first, or check the name")
    if path.stat().st_size > MAX_BYTES:
        raise ExportError(f"checkpoint {path}: {path.stat().st_size} bytes, allowed are {MAX_BYTES}")
    state, config = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for name, tensor in state.items():
        _check_tensor(path, name, tensor)
    return state, config


def _check_tensor(path: Path, name: object, tensor: object) -> None:
    """Admit only tensors that lie in memory as they are, finite and under a name."""
    if not isinstance(name, str):
        raise ExportError(
            f"checkpoint {path}: a key is {type(name).__name__}, allowed is text; save model.state_dict()"
        )
    if not isinstance(tensor, torch.Tensor):
        raise ExportError(
            f"checkpoint {path}: {name!r:.80} is {type(tensor).__name__}, allowed are tensors; save model.state_dict()"
        )
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ExportError(
            f"checkpoint {path}: {name!r:.80} of shape {list(tensor.shape)} is sparse, quantized or repeats its "
            "values, allowed are plain tensors; save them with .contiguous()"
        )
    if tensor.is_complex():
        raise ExportError(f"checkpoint {path}: {name!r:.80} holds complex numbers, allowed are real ones")
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise ExportError(f"checkpoint {path}: {name!r:.80} holds NaN or infinite values; train again")


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            state = {name: file.get_tensor(name) for name in names}
        config = json.loads(metadata.get("config", "{}"))
    except (safetensors.SafetensorError, OSError, ValueError, RuntimeError, RecursionError, MemoryError) as error:
        raise ExportError(
            f"checkpoint {path}: not a readable safetensors file ({_first_line(error)}); save it again"
        ) from error
    if not isinstance(config, dict):
        raise ExportError(f"checkpoint {path}: its config is {type(config).__name__}, allowed is a table")
    return state, config


def _read_torch(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on pickle protocols that it then refuses
            state = torch.load(str(path), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ExportError(
            f"checkpoint {path}: not a file of plain tensors (other objects could run code when they are read); save "
            "model.state_dict() with torch.save or safetensors"
        ) from error
    except Exception as error:  # a hostile pickle makes torch's restricted reader raise almost anything
        raise ExportError(
            f"checkpoint {path}: not a file of plain tensors ({_first_line(error)}); save "
            "model.state_dict() with torch.save or safetensors"
        ) from error
    if not isinstance(state, dict):
        raise ExportError(f"checkpoint {path}: holds {type(state).__name__}, allowed is a state dict of tensors")
    return state, {}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
