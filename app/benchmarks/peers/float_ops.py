"""Float32 operations on the engine's threads, vectors and reused memory, from which fused layers are built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.engine.adjacency import Adjacency
from app.engine.kernels import floats as float_kernels
from app.engine.workers import Workers

ROWS = 1024
"""Rows of a matrix product whose bias and ReLU follow at once, while they are in the cache; fewer are not divided."""


class FloatOps:
    """Matrix products by torch, sums over edges by the engine's kernels, on `threads` threads of the engine.

    Results lie in buffers that are used again once nothing refers to them.
    """

    def __init__(self, threads: int = 1) -> None:
        self.workers = Workers(threads)

    def empty(self, rows: int, width: int) -> Tensor:
        """A float32 tensor [rows, width] of unknown content."""
        return torch.from_numpy(self.workers.buffers.empty((rows, width), np.float32))

    def multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        """The product of x [N, K] and weight [K, M]."""
        out = self.empty(len(x), weight.shape[1])
        most = max(-(-len(out) // self.workers.threads), ROWS)
        self._divide(lambda rows: torch.mm(x[rows], weight, out=out[rows]), len(out), most)
        return out

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool) -> Tensor:
        """x [N, K] times weight [K, M] plus bias [M], followed by a ReLU if `relu`."""
        return self.linear_sum([(x, weight)], bias, relu=relu)

    def linear_sum(self, terms: Sequence[tuple[Tensor, Tensor]], bias: Tensor, *, relu: bool) -> Tensor:
        """The sum of x [N, K] times weight [K, M] over all (x, weight), plus bias [M], followed by a ReLU if `relu`."""
        out = self.empty(len(terms[0][0]), len(bias))

        def part(rows: slice) -> None:
            result = out[rows]
            for number, (x, weight) in enumerate(terms):
                torch.addmm(result if number else bias, x[rows], weight, out=result)
            if relu:
                result.relu_()

        self._divide(part, len(out), ROWS)
        return out

    def _divide(self, part: Callable[[slice], object], rows: int, most: int) -> None:
        """Calls `part` for all rows, or for ranges of at most so many on the engine's threads, each with one of torch.

        Threads of torch's own meet at the end of every operation: where one of them waits for a core, the others wait
        longer than a product of a block takes. Torch is left with one thread.
        """

        def alone(first: int, last: int) -> None:
            if torch.get_num_threads() > 1:  # in the thread that asks
                torch.set_num_threads(1)
            part(slice(first, last))

        if rows <= most:
            alone(0, rows)
        else:
            self.workers.run(torch.inference_mode()(alone), rows, most=most)  # which holds for a thread, too

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
        """Sums x [N, W] over the edges into each node by a kernel of `app/engine/kernels/floats.py`: [N, W].

        The kernel multiplies the factors in, adds bias [W] and applies the ReLU (if `relu`) in registers.
        """
        out = self.empty(*x.shape)
        lowest = np.float32(0.0 if relu else -np.inf)
        arguments = x.numpy(), factors, edges.indptr, edges.sources, bias, lowest, out.numpy()
        self.workers.run(lambda first, last: kernel(*arguments, first, last), len(x), edges.work)
        return out

    def attention(self, scores: Tensor, slope: float, edges: Adjacency) -> np.ndarray | Tensor:
        """Coefficients [E, H] of scores of source and target [N, 2 * H]; they sum to one over the edges into a node."""
        read, heads = scores.numpy(), scores.shape[1] // 2
        values = self.empty(edges.num_edges, heads).numpy()

        def part(first: int, last: int) -> None:
            float_kernels.attention_logits(read, np.float32(slope), edges.indptr, edges.sources, values, first, last)
            normalise(values, edges.indptr, first, last)

        self.workers.run(part, len(read), edges.work)
        return values


def normalise(values: np.ndarray, indptr: np.ndarray, first: int, last: int) -> None:
    """Divides, in place, the exponentials of values [E, H] by their sum at each of the target rows first..last-1."""
    logits = values[indptr[first] : indptr[last]]
    np.exp(logits, out=logits)
    float_kernels.divide_by_sum(values, indptr, first, last)


def check_width(width: int) -> None:
    """Refuses rows too short for the smallest vector.

    Raises:
        ValueError: if `width` (of a head) is below what the kernels can sum.
    """
    if width < float_kernels.NARROWEST:
        raise ValueError(f"FusedNetwork: expected at least {float_kernels.NARROWEST} features, got {width}")
