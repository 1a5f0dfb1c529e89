"""Float operations on a GPU, in float32 or float16, from which fused layers are built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.benchmarks.cuda.kernels import aggregate, join
from app.benchmarks.peers.float_ops import FloatOps
from app.engine.adjacency import Adjacency
from app.engine.cuda.device import device_of
from app.engine.cuda.gathers import LONG, Pieces
from app.engine.cuda.launch import by_row
from app.engine.kernels import floats as float_kernels

KINDS = {
    float_kernels.edge_sum: "edge_sum",
    float_kernels.factored_sum: "factored_sum",
    float_kernels.own_sum: "own_sum",
}
"""What the kernels of the CPU are called on the GPU."""


class DeviceFloatOps(FloatOps):
    """As `FloatOps`, on a device of the engine; what layers give as constants is put there once.

    Args:
        name: of the device.
        dtype: of values and weights; sums are float32 in either.
    """

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        super().__init__()
        self._device, self._dtype = device_of(name), dtype
        self._pieces: dict[int, tuple[Adjacency, Pieces]] = {}
        self._constants: dict[tuple[int, tuple[int, ...], torch.dtype], tuple[object, Tensor]] = {}

    def _there(self, constant: Tensor | np.ndarray, dtype: torch.dtype | None = None) -> Tensor:
        """Returns a constant on the device; it is kept, so that its memory means nothing else later."""
        array = constant.numpy() if isinstance(constant, Tensor) else constant
        wanted = dtype or self._dtype
        key = array.__array_interface__["data"][0], array.shape, wanted
        if key not in self._constants:
            self._constants[key] = array, self._device.put(array).to(wanted)
        return self._constants[key][1]

    def multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        """The product of x [N, K] and weight [K, M]."""
        return torch.mm(x, self._there(weight))

    def linear_sum(self, terms: Sequence[tuple[Tensor, Tensor]], bias: Tensor, *, relu: bool) -> Tensor:
        """The sum of x [N, K] times weight [K, M] over all (x, weight), plus bias [M], followed by a ReLU if `relu`."""
        out = self._there(bias)
        for x, weight in terms:
            out = torch.addmm(out, x, self._there(weight))
        return out.relu_() if relu else out

    def aggregate(
        self,
        kernel: Callable[..., None],
        x: Tensor,
        factors: Any,
        edges: Adjacency,
        *,
        bias: np.ndarray,
        relu: bool,
    ) -> Tensor:
        """Sums x [N, W] over the edges into each node: [N, W]."""
        out, given = (
            torch.empty_like(x),
            factors if isinstance(factors, Tensor) else self._there(factors, torch.float32),
        )
        starts, sources = self._there(edges.indptr, torch.int64), self._there(edges.sources, torch.int32)
        pieces = self._pieces_of(edges) if edges.largest_degree > LONG else None
        rows = slots = starts  # which are not read
        parts, ends_with = out, (self._there(bias, torch.float32), out)
        if pieces is not None:
            starts, rows, slots = pieces[:3]
            parts = torch.empty(len(rows) - len(x) + len(pieces.long), x.shape[1], device=x.device)
        about = parts, x.shape[1], given.shape[1], 0.0 if relu else float("-inf")
        number, kind = len(starts) - 1, {"KIND": KINDS[kernel]}
        operands, mean_degree = (x, given, starts, rows, slots, sources), edges.num_edges / max(len(x), 1)
        split = pieces is not None
        by_row(
            aggregate, out, *operands, *ends_with, *about, pieces=number, mean_degree=mean_degree, SPLIT=split, **kind
        )
        if pieces is not None:
            joined, mean_degree = (x, given, pieces.ends, pieces.long), len(parts) / len(pieces.long)
            by_row(join, out, *joined, *ends_with, *about, pieces=len(pieces.long), mean_degree=mean_degree, **kind)
        return out

    def _pieces_of(self, edges: Adjacency) -> Pieces:
        """Returns the pieces of long rows; they are kept, as the engine keeps them."""
        key = edges.indptr.__array_interface__["data"][0]
        if key not in self._pieces:
            self._pieces[key] = edges, Pieces.of(edges, self._device)
        return self._pieces[key][1]

    def attention(self, scores: Tensor, slope: float, edges: Adjacency) -> Tensor:
        """Coefficients [E, H], float32, of scores [N, 2 * H]: a softmax of six launches of torch."""
        sources, targets = (self._there(ends, torch.int64) for ends in (edges.sources, edges.targets))
        sizes, heads = self._there(edges.degrees, torch.int64), scores.shape[1] // 2
        logits = torch.nn.functional.leaky_relu(scores[sources, :heads] + scores[targets, heads:], slope).float()
        # unsafe: checking the lengths would wait for the device
        largest = torch.segment_reduce(logits, "max", lengths=sizes, axis=0, unsafe=True)
        powers = torch.exp(logits - largest[targets])
        totals = torch.segment_reduce(powers, "sum", lengths=sizes, axis=0, unsafe=True, initial=0.0)
        return powers / totals[targets]
