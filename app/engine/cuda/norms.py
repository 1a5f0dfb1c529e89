"""The op normalize, prepared for a device: op, device -> run(graph, codes)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import triton
from torch import Tensor

from ..adjacency import Adjacency
from ..graph import Graph
from ..ops.backend import RunOp
from ..ops.bound import BoundOp
from ..ops.norms import columns_of, groups_of
from ..ops.step import zero_of
from .device import Device
from .gathers import Pieces
from .kernels import norms as kernels
from .launch import BLOCK, EXACT, WIDEST, by_entry, by_row, limits


def normalize(op: BoundOp, device: Device) -> RunOp:
    """Prepares normalize: codes [n, W] -> codes of normalised rows, in float64.

    Rows that stand alone take one launch, others five: two for each of the statistics of their groups.
    """
    return (_normalize_rows if op.attributes["over"] == "row" else _normalize_groups)(op, device)


class _Constants(NamedTuple):
    """What kernels take beside codes.

    Attributes:
        shares, weight, bias: of every column [W], float64.
        eps: [1] float64.
        read: zero and scale of the codes that are read.
        written: scale, zero, lowest and highest of those that are written.
    """

    shares: Tensor
    weight: Tensor
    bias: Tensor
    eps: Tensor
    read: tuple[int, float]
    written: tuple[float, int, float, float]

    @classmethod
    def of(cls, op: BoundOp, device: Device) -> _Constants:
        grid, out = op.grid(0), op.grid("output")
        shares, weight, bias = map(device.put, columns_of(op).values())
        read, written = (zero_of(grid), float(np.float32(grid.scale))), (float(np.float32(out.scale)), *limits(out))
        return cls(shares, weight, bias, device.put(np.array([op.attributes["eps"]])), read, written)


def _normalize_rows(op: BoundOp, device: Device) -> RunOp:
    about, width = _Constants.of(op, device), op.output.width
    shape = {"LENGTH": op.attributes.get("length", False), "COLUMNS": triton.next_power_of_2(width)}
    shape["ROWS"] = max(1, BLOCK // shape["COLUMNS"])

    def run(graph: Graph, x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        operands = x, about.shares, about.weight, about.bias, out, len(x), width, *about.read, about.eps
        kernels.normalize[(max(1, triton.cdiv(len(x), shape["ROWS"])),)](*operands, *about.written, **shape, **EXACT)
        return out

    return run


class _Groups(NamedTuple):
    """Groups of rows on a device: those of piece p are nodes[starts[p]:starts[p + 1]], all of group groups[p].

    Group g has sizes[g] rows, in pieces ends[g] to ends[g + 1]; of_rows: the group of every row.
    """

    starts: Tensor
    groups: Tensor
    nodes: Tensor
    ends: Tensor
    sizes: Tensor
    of_rows: Tensor

    @classmethod
    def of(cls, op: BoundOp, graph: Graph, rows: int, device: Device) -> _Groups:
        indptr, nodes, of_rows = groups_of(op, graph, rows)
        adjacency = Adjacency(indptr, nodes)
        pieces = Pieces.of(adjacency, device)
        ends = np.searchsorted(pieces.rows.cpu().numpy(), np.arange(indptr.size))
        arrays = nodes, ends, adjacency.degrees, of_rows
        return cls(pieces.starts, pieces.rows, *map(device.put, arrays))


def _normalize_groups(op: BoundOp, device: Device) -> RunOp:
    about, width, over = _Constants.of(op, device), op.output.width, op.attributes["over"]
    per_column, beside = op.attributes.get("per_column", False), op.attributes.get("eps_beside", False)
    columns, tile = width if per_column else 1, min(max(triton.next_power_of_2(width), 2), WIDEST)

    def statistics(groups: _Groups, x: Tensor, centres: Tensor | None = None, factor: str = "") -> Tensor:
        """Returns the means of groups [G, columns], or the factors that distances from them make."""
        parts, out = (
            device.empty(len(each), count, dtype=torch.float64)
            for each, count in ((groups.groups, width), (groups.sizes, columns))
        )
        given = about.eps if centres is None else centres  # eps: which is not read
        of_rows = x, *groups[:3], about.shares, given, parts, width, columns, *about.read
        mean_degree = len(x) / max(len(parts), 1)
        by_row(
            kernels.add_pieces,
            parts,
            *of_rows,
            pieces=len(parts),
            mean_degree=mean_degree,
            POWER=1 if centres is None else 2,
        )
        of_pieces = parts, groups.ends, groups.sizes, about.eps, out, width, columns
        grid = len(out), triton.cdiv(columns, tile)
        shape = {"PER_COLUMN": per_column, "PIECES": 4, "COLUMNS": tile}
        kernels.mean_of_pieces[grid](*of_pieces, FACTOR=factor, **shape, **EXACT)
        return out

    def run(graph: Graph, x: Tensor) -> Tensor:
        groups = device.kept(graph, ("groups", over, len(x)), lambda: _Groups.of(op, graph, len(x), device))
        centres = statistics(groups, x)
        one_group = over == "all" or not graph.is_batch
        factors = statistics(groups, x, centres, "beside" if beside and one_group else "within")
        out = torch.empty_like(x)
        operands = x, groups.of_rows, about.shares, centres, factors, about.weight, about.bias, out
        sizes = out.numel(), width, columns
        by_entry(kernels.normalize_groups, out.numel(), *operands, *sizes, *about.read, *about.written)
        return out

    return run
