"""Networks by their name, `package.module:Name`, as the command line gives them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from models.conversion.errors import place_of_traceback
from models.conversion.prepared import PreparedNetwork, warn_of_remarks
from models.imports import import_by_name
from models.quantization.qconfig import QuantScheme
from models.tasks.sources import hash_of

INPUT_WIDTHS = (
    *("in_channels", "in_features", "num_features", "num_node_features", "in_dim", "input_dim"),
    *("n_features", "nfeat", "in_feats", "in_size", "input_size"),
)
OUTPUT_WIDTHS = (
    *("out_channels", "out_features", "num_classes", "out_dim", "output_dim"),
    *("n_classes", "nclass", "out_feats", "out_size", "output_size"),
)
"""Names under which a network takes the number of features, and that of classes or targets."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "features": INPUT_WIDTHS,
    "logits": OUTPUT_WIDTHS,
    "width": ("width", "hidden", "hidden_channels"),
}


def load(name: str) -> Callable[..., nn.Module]:
    """Returns the class or function called `package.module:Name`, looked for from the working directory too.

    Raises:
        ValueError: if there is none.
    """
    make: Callable[..., nn.Module] = _find(name)
    return make


def _find(name: str, *, several: bool = False) -> Any:
    module_name, colon, attribute = name.partition(":")
    if not colon or not attribute or module_name.endswith(".py") or "/" in module_name:
        raise ValueError(f"model.network: expected package.module:Name, no path of a file, got {name!r}")
    module = import_by_name(module_name, "model.network")
    found = getattr(module, attribute, None)
    if not callable(found) and not (several and isinstance(found, Mapping) and all(map(callable, found.values()))):
        there = [key for key, value in vars(module).items() if _is_network(value, module_name)]
        raise ValueError(
            f"model.network: {module_name} ({module.__file__}) has no {attribute}; "
            f"there are {', '.join(there) or 'no networks'}"
        )
    if isinstance(found, nn.Module):
        raise ValueError(f"model.network: {name} is a network already; name the class or function that makes it")
    return found


def load_all(name: str) -> dict[str, Callable[..., nn.Module]]:
    """Returns what `load` does, by that name; of a mapping from names to such classes and functions all of them.

    Raises:
        ValueError: if there is none.
    """
    found = _find(name, several=True)
    return {str(key): make for key, make in found.items()} if isinstance(found, Mapping) else {name: found}


def _is_network(value: Any, module: str) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module


def source_of(name: str) -> str:
    """Returns a hash of the files that define a network: a run belongs to the code that it was begun with."""
    return hash_of(load(name), name.partition(":")[0])


def build(name: str, args: Mapping[str, Any], in_features: int, out_features: int) -> nn.Module:
    """Returns the network with its arguments; widths go to those called as in INPUT_WIDTHS and OUTPUT_WIDTHS.

    Raises:
        ValueError: for arguments that it does not take or needs.
    """
    return made(load(name), name, args, {"features": in_features, "logits": out_features})


def made(make: Callable[..., nn.Module], name: str, args: Mapping[str, Any], widths: Mapping[str, int]) -> nn.Module:
    """Returns the network that a class or function makes of arguments.

    Args:
        name: what it is called in messages.
        args: arguments by name.
        widths: of `features` and `logits`, which go to those called as in INPUT_WIDTHS and OUTPUT_WIDTHS, and of
            hidden layers (`width`).

    Raises:
        ValueError: for arguments that it does not take or needs.
    """
    given, parameters = dict(args), inspect.signature(make).parameters
    for kind, width in widths.items():
        for parameter in NAMES.get(kind, (kind,)):
            if parameter in parameters:
                given.setdefault(parameter, width)
    try:
        inspect.signature(make).bind(**given)
    except TypeError as error:
        raise ValueError(
            f"model.network_args: {name} takes ({', '.join(parameters)}): {error}; "
            f"widths of the data go to {INPUT_WIDTHS[0]} and {OUTPUT_WIDTHS[0]}, or other usual names"
        ) from error
    try:
        network = make(**given)
    except Exception as error:
        where = place_of_traceback(error.__traceback__)
        said = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise ValueError(f"model.network: {name} cannot be made; {where or 'it'} ends in {said}") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"model.network: {name} makes a {type(network).__name__}, no torch.nn.Module")
    return network


def maker(
    name: str, args: Mapping[str, Any] | None, *, edge_weight: bool | None
) -> Callable[[int, int, QuantScheme], PreparedNetwork]:
    """Returns what makes the prepared network of widths and a scheme, as the class of an architecture does."""

    def make(in_features: int, out_features: int, scheme: QuantScheme) -> PreparedNetwork:
        make_original = partial(build, name, args or {}, in_features, out_features)
        network = PreparedNetwork(make_original(), scheme, edge_weight=edge_weight)
        network.make_original = make_original
        warn_of_remarks(network)
        return network

    return make
