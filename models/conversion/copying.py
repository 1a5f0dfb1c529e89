"""Copies the network that is converted, which is left alone."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch_geometric.nn import MessagePassing

from models.architectures.network import Network
from models.conversion.errors import UnsupportedModel

DTYPES = (torch.float32, torch.float64)
"""Of floats that sites round."""

INSIDE = ("_orig_mod", "module")
"""Where torch.compile, DataParallel and the like hold the network that they wrap."""


def copied(network: nn.Module) -> nn.Module:
    """Returns a copy of a network whose layers share no weights, without the graphs that layers of PyG remember.

    Raises:
        UnsupportedModel: if two layers do, if weights have another dtype than `DTYPES`, if it cannot be copied, wraps a
            network or is none, or has a `train` of its own.
    """
    check_is_network(network)
    owners: dict[int, str] = {}
    for path, module in network.named_modules():
        if type(module).train is not nn.Module.train:
            raise UnsupportedModel(
                f"{path or type(network).__name__}: has a train of its own, which nobody would call; leave it out, and "
                "call eval() of the layers that stay in evaluation after each train()"
            )
        for name, parameter in module.named_parameters(recurse=False):
            own = f"{path}.{name}".removeprefix(".")
            if (other := owners.setdefault(id(parameter), own)) != own:
                raise UnsupportedModel(f"{own}: is the same parameter as {other}; give each layer weights of its own")
            if parameter.is_floating_point() and parameter.dtype not in DTYPES:
                raise UnsupportedModel(
                    f"{own}: is {parameter.dtype}; make the network float32 by .float(), and train in mixed precision"
                )
    try:
        copy = deepcopy(network)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise UnsupportedModel(f"{type(network).__name__}: cannot be copied ({reason})") from error
    for layer in (module for module in copy.modules() if isinstance(module, MessagePassing)):
        for name in [name for name in vars(layer) if name.startswith("_cached_")]:
            setattr(layer, name, None)
    return copy


def check_is_network(network: Any) -> None:
    """Checks that something is a network as people write it.

    Raises:
        UnsupportedModel: for all else, for what is prepared or scripted, and for what wraps a network.
    """
    kind = type(network).__name__
    if isinstance(network, type):
        raise UnsupportedModel(f"{network.__name__}: is a class; make a network of it")
    if not isinstance(network, nn.Module) or isinstance(network, (Network, torch.jit.ScriptModule)):
        raise UnsupportedModel(f"{kind}: expected a torch.nn.Module that is not prepared or scripted yet")
    inside = next((name for name in INSIDE if [*dict(network.named_children())] == [name]), None)
    if inside is not None and type(network).__module__.startswith("torch."):
        raise UnsupportedModel(f"{kind}: wraps a network; give the one inside, its {inside}")
