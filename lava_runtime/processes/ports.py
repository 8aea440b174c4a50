"""ProcessModels whose ports are known only when the Process is made."""

from __future__ import annotations

from collections.abc import Mapping

from lava.magma.core.model.py.type import LavaPyType


def with_ports(model: type, ports: Mapping[str, LavaPyType]) -> type:
    """Return a subclass of a ProcessModel that declares `ports`; select it by instance, not by tag."""
    return type(model.__name__, (model,), dict(ports))
