"""Ports that are known only when the Process is made, and ports of different layouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lava.magma.core.model.py.type import LavaPyType


def with_ports(model: type, ports: Mapping[str, LavaPyType]) -> type:
    """Return a subclass of a ProcessModel that declares `ports`; select it by instance, not by tag."""
    return type(model.__name__, (model,), dict(ports))


def connect(outlet: Any, entrance: Any) -> None:
    """Connect two ports of one size; ours are flat in C order, Lava's `Conv` has (height, width, channels)."""
    if len(outlet.shape) > 1:
        outlet = outlet.transpose((2, 0, 1)).flatten()
    if len(entrance.shape) > 1:
        height, width, channels = entrance.shape
        outlet = outlet.reshape((channels, height, width)).transpose((1, 2, 0))
    outlet.connect(entrance)
