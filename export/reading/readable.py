"""Networks that cannot be run for reading, told before anything runs."""

from __future__ import annotations

import torch
from torch import nn

from ..errors import UnsupportedModuleError


def check_readable(network: nn.Module) -> None:
    """Refuse wrappers, scripts and other types than float32, with what to hand over instead.

    Raises:
        UnsupportedModuleError: the network is one of these.
    """
    name = type(network).__name__
    if isinstance(network, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        raise UnsupportedModuleError(
            f"network: is wrapped in {name}, allowed is the network itself; pass network.module"
        )
    if hasattr(network, "_orig_mod"):
        raise UnsupportedModuleError(
            "network: is compiled by torch.compile; pass the network itself, network._orig_mod"
        )
    scripted = [key for key, module in network.named_modules() if isinstance(module, torch.jit.ScriptModule)]
    if scripted:
        raise UnsupportedModuleError(
            f"module {scripted[0] or 'network'}: is compiled by torch.jit, whose forward cannot be followed; pass the "
            "network as it was before"
        )
    for key, parameter in network.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            kind = str(parameter.dtype).removeprefix("torch.")
            raise UnsupportedModuleError(f"parameter {key}: is {kind}, allowed is float32; call network.float() first")
