"""Checks PyG graphs as they come from files or users' classes; an error is one sentence that names graph and part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

import torch
from torch import Tensor
from torch_geometric.data import Data

from datamodules.errors import DataError

MASKS = ("train_mask", "val_mask", "test_mask")


PARTS = ("x", "edge_index", "y")
"""What a graph has that a network learns."""

UNLEARNED = PARTS[:2]
"""What a graph has that a trained network only predicts."""

UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
"""Types that torch holds and hardly computes with."""

EDGES_AT_ONCE = 2**16
"""Of which the ones back are looked for."""

AT_ONCE = 2**22
"""Numbers that are checked at once."""


def check_parts(name: str, place: str, graph: object, needed: Sequence[str] = PARTS) -> Data:
    """Returns a graph whose features and edges are known to have the right kinds and shapes; none is `UNSIGNED`.

    Args:
        name: of the data set.
        place: what to call the graph in a message: `graph 3`, `the graph`.
        graph: with `x` [N, F] and `edge_index` [2, E] of whole numbers; `y` is not looked into.
        needed: what it has to have; only features and edges, where a trained network predicts it.

    Raises:
        DataError: naming the part that is missing or of another kind.
    """
    if not isinstance(graph, Data):
        raise DataError(f"{name}: {place} is a {type(graph).__name__}, expected a torch_geometric.data.Data")
    for part in needed:
        if graph.get(part) is not None:
            continue
        if part == "edge_index" and graph.get("adj_t") is not None:
            raise DataError(
                f"{name}: {place} has `adj_t` instead of `edge_index`: leave out the transform ToSparseTensor"
            )
        raise DataError(f"{name}: {place} has no `{part}`: add it, for example by a transform")
    _check_features(name, place, graph.x)
    edges = graph.edge_index
    if not isinstance(edges, Tensor) or edges.layout != torch.strided or edges.dim() != 2 or edges.size(0) != 2:
        raise DataError(f"{name}: {place}: `edge_index` is {described(edges)}, expected a tensor of shape [2, E]")
    if edges.is_floating_point() or edges.is_complex() or edges.dtype == torch.bool:
        raise DataError(f"{name}: {place}: `edge_index` is {described(edges)}, expected whole numbers: use `.long()`")
    given = graph.to_dict().get("num_nodes")  # what the user said, not what PyG makes of the rest
    number = given.numel() == 1 if isinstance(given, Tensor) else isinstance(given, int)
    if number and int(given) != len(graph.x):
        raise DataError(f"{name}: {place}: `num_nodes` is {given}, but `x` has {len(graph.x)} rows: give each node one")
    return _signed(name, place, graph)


def _signed(name: str, place: str, graph: Data) -> Data:
    found = {part: graph[part].long() for part in UNLEARNED if graph[part].dtype in UNSIGNED}
    for part, numbers in found.items():
        if (numbers < 0).any():  # they wrapped around
            raise DataError(f"{name}: {place}: `{part}` holds whole numbers of 2**63 or more: expected smaller ones")
    return copy(graph).update(found) if found else graph


def _check_features(name: str, place: str, x: object) -> None:
    if not isinstance(x, Tensor) or x.dim() == 0 or x.is_complex() or x.is_quantized:
        raise DataError(f"{name}: {place}: `x` is {described(x)}, expected a tensor of numbers of shape [N, F]")
    if len(x) == 0:
        raise DataError(f"{name}: {place} has no nodes: leave it out")
    if x.numel() == 0:
        raise DataError(f"{name}: {place}: `x` has no columns: add features, for example by a transform")


def described(value: object) -> str:
    """Returns kind and shape of a value for a message."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    kind = str(value.dtype).removeprefix("torch.")
    return f"{'' if value.layout == torch.strided else 'sparse '}{kind} of shape {list(value.shape)}"


def first_not_finite(values: Tensor) -> tuple[int, str] | None:
    """Returns the row of the first NaN or infinity, and which of them it is; None if there is none.

    Rows [N, ...] are looked at block by block: they may be more than memory holds.
    """
    if not values.is_floating_point() or not values.numel():
        return None
    size = max(1, AT_ONCE * len(values) // values.numel())
    for first in range(0, len(values), size):
        rows = values[first : first + size].reshape(len(values[first : first + size]), -1)
        finite = torch.isfinite(rows)
        if not finite.all():
            row = int((~finite).any(1).int().argmax())
            return first + row, str(float(rows[row][~finite[row]][0]))
    return None


def check_finite_rows(name: str, x: Tensor, remedy: str) -> None:
    """Raises DataError, with the node and a remedy, if a feature in `x` [N, F], dense or sparse CSR, is not finite."""
    dense = x.layout == torch.strided
    if fault := first_not_finite(x if dense else x.values()):
        row, value = fault
        node = row if dense else int(torch.searchsorted(x.crow_indices(), row, right=True)) - 1
        raise DataError(f"{name}: node {node}: `x` is {value}: {remedy}")


def check_single_graph(name: str, graph: object, num_features: int, task: str, *, masks: bool = True) -> Data:
    """Returns the one graph of a data set of nodes, checked, with float32 features; see `FullBatchDataModule`.

    A single column of whole numbers, categories, stays as it is. `masks`: whether the graph has to be split.

    Raises:
        DataError: naming the part, and where there is one the node.
    """
    data = copy(check_parts(name, "the graph", graph))
    nodes = len(data.x)
    if data.x.layout not in (torch.strided, torch.sparse_csr) or data.x.dim() != 2:
        raise DataError(
            f"{name}: `x` is {described(data.x)}, expected shape [N, F]: dense, or sparse by `to_sparse_csr()`"
        )
    if data.x.size(1) != num_features and (data.x.is_floating_point() or data.x.size(1) > 1):
        raise DataError(f"{name}: nodes have {data.x.size(1)} features, expected {num_features}")
    measured = data.x.is_floating_point() or data.x.size(1) > 1 or data.x.dtype == torch.bool
    data.x = data.x.float() if measured else data.x.long()
    check_finite_rows(name, data.x, "correct it")
    outside = ((data.edge_index < 0) | (data.edge_index >= nodes)).any(0)
    if outside.any():
        edge = int(outside.int().argmax())
        source, target = data.edge_index[:, edge].tolist()
        raise DataError(f"{name}: edge {edge} leads from node {source} to {target}, but the nodes are 0..{nodes - 1}")
    _check_weights(name, data)
    check_targets(name, data, task)
    if masks:
        check_masks(name, data)
    return data


def used_targets(name: str, data: Data, task: str) -> Tensor:
    """Returns the labels or numbers to predict of a checked graph; 0 for nodes in no mask, which may have any.

    Shapes:
        result [N, C] float32; [N] for C = 1.

    Raises:
        DataError: see `checked_columns`; of nodes in a mask.
    """
    used = data.train_mask | data.val_mask | data.test_mask
    nodes = used.nonzero().flatten()
    check_exact(name, data.y.reshape(len(used), -1), "node {}".format, among=used)
    targets = data.y.float().reshape(len(used), -1)
    checked_columns(
        name, targets[used], task, lambda row: f"node {int(nodes[row])}", "correct it or leave it out of the masks"
    )
    return without_single_column(torch.where(used[:, None], targets, 0.0))


def check_exact(name: str, targets: Tensor, place: Callable[[int], str], among: Tensor | None = None) -> None:
    """Raises DataError for a whole number among targets [rows, C] that would be rounded in float32.

    Args:
        place: says what has the targets of a row, for messages.
        among: which rows count, [rows] bool; None: all.
    """
    if targets.is_floating_point() or targets.is_complex():
        return
    whole = targets.long()
    rounded = whole.float().long() != whole
    if among is not None:
        rounded &= among[:, None]
    if rounded.any():
        row, column = rounded.nonzero()[0].tolist()
        raise DataError(
            f"{name}: {place(row)}: `y` is {int(whole[row, column])}, which float32 does not hold: subtract or divide, "
            "or give floats if it may be rounded"
        )


def without_single_column(targets: Tensor) -> Tensor:
    """Returns targets [rows, C] as they are, or for C = 1 as [rows]."""
    return targets[:, 0] if targets.size(1) == 1 else targets


def checked_columns(  # noqa: PLR0917 - what a message is made of
    name: str, targets: Tensor, task: str, place: Callable[[int], str], remedy: str
) -> Tensor:
    """Returns labels or numbers [rows, C] in float32, where NaN is one that is not known.

    Args:
        place: says what has the targets of a row, for messages.
        remedy: what to do about a target that is none.

    Raises:
        DataError: for labels other than 0 and 1, numbers that are infinite, and rows of which nothing is known.
    """
    of_labels, targets = task.endswith("multilabel"), targets.float()
    allowed = (targets == 0) | (targets == 1) if of_labels else targets.isfinite()
    wrong = ~allowed & (~targets.isnan() | targets.isnan().all(1, keepdim=True))
    if wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        value, alone = float(targets[row, column]), targets.size(1) == 1 or bool(targets[row].isnan().all())
        if of_labels and value == value:
            remedy = "expected 0 or 1, or NaN where a label is not known"
        where = "`y`" if alone else f"column {column} of `y`"
        raise DataError(f"{name}: {place(row)}: {where} is {value:g}: {remedy}")
    return targets


def loops_and_repeats(edges: Tensor) -> str:
    """Returns in a sentence how many self-loops and repeats are among sorted edges [2, E], and what they do."""
    source, target = edges
    loops = int((source == target).sum())
    repeats = int(((source[1:] == source[:-1]) & (target[1:] == target[:-1])).sum())
    counts = f"{loops} self-loops and {repeats} repeated edges"
    return f"{counts} are kept: each counts in degrees and in sums over neighbours" if loops + repeats else ""


def one_way(edges: Tensor, nodes: int) -> str:
    """Returns a sentence if of no edge [2, E] between two nodes there is the one back.

    Edges are sorted by (target, source). They are looked at block by block, and mostly the first has one of both ways.
    """
    source, target = edges[:, edges[0] != edges[1]]
    keys, back = target * nodes + source, source * nodes + target
    for wanted in back.split(EDGES_AT_ONCE):
        if bool((keys[torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)] == wanted).any()):
            return ""
    if not len(keys):
        return ""
    return "edges lead one way, and so do messages (torch_geometric.utils.to_undirected adds the way back)"


def _check_weights(name: str, data: Data) -> None:
    weights = data.get("edge_weight")
    if weights is None:
        return
    edges = data.edge_index.size(1)
    if not isinstance(weights, Tensor) or weights.is_complex() or weights.shape not in ((edges,), (edges, 1)):
        raise DataError(f"{name}: `edge_weight` is {described(weights)}, expected a number for each of {edges} edges")
    data.edge_weight = weights.flatten().float()
    if fault := first_not_finite(data.edge_weight):
        raise DataError(f"{name}: edge {fault[0]}: `edge_weight` is {fault[1]}: correct it or leave the edge out")


def check_targets(name: str, data: Data, task: str) -> None:
    """Raises DataError unless there is a target for each node; of labels and numbers there may be several."""
    y, nodes, one = data.y, len(data.x), task.endswith("classification")
    dense = isinstance(y, Tensor) and y.layout == torch.strided and not y.is_complex()
    rows = dense and y.dim() in (1, 2) and len(y) == nodes and y.numel() > 0
    if not rows or (one and y.numel() != nodes):
        kind = task.partition("_")[0]
        several = f"; {kind}_multilabel learns several labels, {kind}_regression several numbers" if rows else ""
        row = "one target" if one else "one target, or a row of them,"
        raise DataError(f"{name}: `y` is {described(y)}, expected {row} for each of the {nodes} nodes{several}")


def check_masks(name: str, data: Data) -> None:
    """Raises DataError unless there are three masks [N] bool, of different nodes, none empty."""
    nodes = len(data.x)
    seen = torch.zeros(nodes, dtype=torch.int64)
    for part in MASKS:
        mask = data.get(part)
        if mask is None:
            raise DataError(f"{name}: the graph has no `{part}`: add it, for example by RandomNodeSplit")
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != (nodes,):
            raise DataError(
                f"{name}: `{part}` is {described(mask)}, expected bool of shape [{nodes}]: choose one split"
            )
        if not mask.any():
            raise DataError(f"{name}: `{part}` selects no node")
        seen += mask
    if (seen > 1).any():
        raise DataError(f"{name}: node {int((seen > 1).int().argmax())} is in several of {', '.join(MASKS)}")
