"""Float operations on a GPU, in float32 or float16, from which fused layers are built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.benchmarks.cuda.kernels import aggregate
from app.benchmarks.peers.float_ops import FloatOps
from app.engine.adjacency import Adjacency
from app.engine.cuda.device import device_of
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
        indptr, sources = self._there(edges.indptr, torch.int64), self._there(edges.sources, torch.int32)
        about = x.shape[1], given.shape[1], 0.0 if relu else float("-inf")
        operands = x, given, indptr, sources, self._there(bias, torch.float32), out
        mean_degree = edges.num_edges / max(len(x), 1)
        by_row(aggregate, out, *operands, *about, pieces=len(x), mean_degree=mean_degree, KIND=KINDS[kernel])
        return out

    def attention(self, scores: Tensor, slope: float, edges: Adjacency) -> Tensor:
        """Coefficients [E, H], float32, of scores [N, 2 * H]: a softmax of six launches of torch."""
        sources, targets = (self._there(ends, torch.int64) for ends in (edges.sources, edges.targets))
        sizes, heads = self._there(edges.degrees, torch.int64), scores.shape[1] // 2
        logits = torch.nn.functional.leaky_relu(scores[sources, :heads] + scores[targets, heads:], slope).float()
        largest = torch.segment_reduce(logits, "max", lengths=sizes, axis=0)
        powers = torch.exp(logits - largest[targets])
        totals = torch.segment_reduce(powers, "sum", lengths=sizes, axis=0, initial=0.0)
        return powers / totals[targets]
