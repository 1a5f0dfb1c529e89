"""Compares a converted network with its original on a small graph: a trace follows one branch of a forward."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from models.conversion.errors import UnsupportedModel

OF_DATA = ("edge_index", "batch", "num_graphs", "edge_weight", "edge_attr")
"""What a network may read of a `data`, beside x."""

SIZES = [7, 5, 1]
"""Nodes of three graphs, the last without an edge."""

CLOSE = 1e-3
"""Part of the largest output by which float32 may differ in another order of sums."""


def check_computes_the_same(
    original: nn.Module, converted: Callable[..., Tensor], inputs: Iterable[Mapping[str, Any]]
) -> None:
    """Compares on the first of the inputs that the original takes, in evaluation; one that takes none is not compared.

    A trace has neither data nor types: `isinstance(x, Tensor)` is False in it, and nothing that is tried fails.

    Args:
        original: in evaluation; a copy of it is called.
        converted: computes in FP32 what it was converted to.
        inputs: arguments of the original's forward, by name.

    Raises:
        UnsupportedModel: if they differ.
    """
    for given in inputs:
        fresh = deepcopy(original)  # it may remember the graph that it was given before
        try:
            expected, again = fresh(**given), fresh(**given)
        except Exception:  # whatever it is: it takes other inputs
            continue
        if not isinstance(expected, Tensor) or not is_close(again, expected):  # it draws something
            return
        found = converted(**given)
        if not is_close(found, expected):
            raise UnsupportedModel(
                f"{type(original).__name__}: computes something else on a graph than its forward says without one: it"
                " may ask for the type of a tensor, or catch an error; decide by a setting of the module instead"
            )
        return


def is_close(one: Tensor, other: Tensor) -> bool:
    """Whether two outputs are equal but for the rounding of float32."""
    if one.shape != other.shape:
        return False
    size = float(other[other.isfinite()].abs().max()) if other.isfinite().any() else 0.0
    return torch.allclose(one.float(), other.float(), rtol=CLOSE, atol=CLOSE * size, equal_nan=True)


def small_graphs(features: int, like: Tensor) -> Iterator[Data]:
    """Yields batches of three graphs whose nodes have features, or one category each, and edges weights and attributes.

    Args:
        like: has the device and the dtype of their numbers.

    Shapes: x [N, F], or [N, 1] or [N] int64; edge_weight [E], edge_attr [E] or [E, 1], in (0, 1).
    """
    draw = torch.Generator().manual_seed(0)
    nodes = sum(SIZES)
    xs = torch.randn(nodes, features, generator=draw), torch.randint(features, (nodes, 1), generator=draw)
    for x, columns in product((*xs, xs[1].flatten()), ((), (1,))):
        graphs = []
        for size, rows in zip(SIZES, torch.split(x, SIZES), strict=True):
            edges = torch.randint(size, (2, 4 * (size - 1)), generator=draw)
            weights = 0.1 + 0.9 * torch.rand(edges.shape[1], generator=draw)
            graphs.append(Data(rows, edges, edge_attr=weights.reshape(-1, *columns), edge_weight=weights))
        batch = Batch.from_data_list(graphs).to(like.device)
        yield batch.apply(lambda value: value.to(like.dtype) if value.is_floating_point() else value)


def arguments_from(arguments: Mapping[str, str], batch: Any) -> dict[str, Any]:
    """Returns arguments of a forward, by what each is, from a batch."""
    of_batch = {"data": batch, **{role: getattr(batch, role, None) for role in ("x", *OF_DATA)}}
    return {name: of_batch[role] for name, role in arguments.items()}
