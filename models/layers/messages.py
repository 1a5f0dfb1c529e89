"""Weighted messages: coefficient times source row, quantized at a site, summed by target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.engine.program.grid import Grid
from models.layers.graph import Graph
from models.quantization.fake_quantize import FakeQuantize, Site
from models.quantization.fused import census, kernels
from models.quantization.fused.census import TrackedRange
from models.quantization.fused.parallel import run_on_row_ranges
from models.quantization.fused.rounding import Rounded, as_mask, as_rows, has_kernels, kernel_arguments


def sum_messages(
    graph: Graph,
    coefficient: Tensor,
    h: Tensor,
    site: Site,
    *,
    protect: Tensor | None = None,
    factor: Tensor | None = None,
) -> Tensor:
    """Row i: the sum over edges e into i of factor_e * site(coefficient_e * h_source).

    In training, quantized messages are never stored: one pass forms, rounds and adds them block by block, and keeps a
    byte per entry for the backward pass.

    Args:
        protect: the edges whose messages stay in FP32.
        factor: multiplies messages behind the site; None: 1.

    Shapes:
        coefficient, factor [E, H]; h [N, H*C]; protect [E] or None; result [N, H*C].
    """
    if isinstance(site, FakeQuantize) and site.only_rounds and has_kernels(h):
        messages = Messages(graph, coefficient, h, protect=protect, factor=factor)
        return _sum_rounded_messages(coefficient, h, messages, site)
    formed = site(form_messages(graph, coefficient, h), protect)
    if factor is not None:
        formed = formed * factor[..., None]
    return graph.targets.sum(formed.flatten(1))


def softmax_of_edges(logits: Tensor, graph: Graph) -> Tensor:
    """Returns the softmax of the logits of edges [E, H] over the edges into each node.

    As PyG's `softmax`, bit for bit on a CPU; but sums and gradients are added in the order of the edges on a GPU too,
    where a scatter adds in an order that differs from run to run.
    """
    target, values = graph.target, logits.detach()
    places = target[:, None].expand_as(values)
    largest = values.new_full((graph.num_nodes, values.shape[1]), -torch.inf).scatter_reduce(0, places, values, "amax")
    weights = (logits - largest.index_select(0, target)).exp()
    return weights / graph.targets.gather(graph.targets.sum(weights) + 1e-16)


def form_messages(graph: Graph, coefficient: Tensor, h: Tensor) -> Tensor:
    """Returns coefficient times source row [E, H, C]."""
    edges, heads = coefficient.shape
    return coefficient[..., None] * graph.sources.gather(h).view(edges, heads, h.shape[1] // heads)


class Messages:
    """The messages of all edges, rounded and summed by target without being stored: a `Roundable`, without gradient.

    Shapes:
        as in `sum_messages`.
    """

    def __init__(
        self, graph: Graph, coefficient: Tensor, h: Tensor, *, protect: Tensor | None, factor: Tensor | None
    ) -> None:
        self.graph, self.protect = graph, protect
        self.h, self.coefficient = as_rows(h), as_rows(coefficient)
        self.factor = np.ones_like(self.coefficient) if factor is None else as_rows(factor)
        self.sources, self.targets = graph.source.numpy(), graph.target.numpy()

    def tensor(self) -> Tensor:
        """Forms the messages [E, H, C]."""
        return form_messages(self.graph, torch.from_numpy(self.coefficient), torch.from_numpy(self.h))

    def round_onto(self, grid: Grid, count_against: TrackedRange | None = None) -> Rounded:
        """Rounds the messages, and returns as `values` their sums by target [N, H*C]."""
        edges, width = len(self.sources), self.h.shape[1]
        sums, passed = np.zeros_like(self.h), np.empty((edges, width), np.uint8)
        arguments = kernel_arguments(grid, count_against, edges * width)
        first, protected = self.graph.adjacency.rowptr.numpy(), as_mask(self.protect)

        def sum_messages_into(a: int, b: int) -> tuple[int, ...]:
            here = slice(first[a], first[b])
            weights = self.coefficient[here], self.factor[here]
            ends = self.sources[here], self.targets[here]
            counts: tuple[int, ...] = kernels.sum_messages(
                self.h, *weights, *ends, protected[here], *arguments, passed[here], sums
            )
            return counts

        counts = census.merge(run_on_row_ranges(sum_messages_into, len(sums), passed.size))
        return Rounded(torch.from_numpy(sums), passed, counts)

    def gradient_to_h(self, incoming: np.ndarray, passed: np.ndarray) -> np.ndarray:
        """Returns the gradient to h [N, H*C] from that to the sums; `passed` [E, H*C] marks what lets it through."""
        pattern, weight, gradient = self.graph.sources.pattern, self.coefficient * self.factor, np.zeros_like(self.h)
        edges, first = pattern.cols.numpy(), pattern.rowptr.numpy()

        def add_gradients(a: int, b: int) -> None:
            out_of_rows = edges[first[a] : first[b]]
            kernels.message_gradients(incoming, weight, passed, out_of_rows, self.sources, self.targets, gradient)

        run_on_row_ranges(add_gradients, len(gradient), passed.size)
        return gradient

    def gradient_to_coefficient(self, incoming: np.ndarray, passed: np.ndarray) -> np.ndarray:
        """Returns the gradient to the coefficients [E, H], from the same."""
        gradient = np.empty_like(self.coefficient)

        def take_dots(a: int, b: int) -> None:
            ends = self.sources[a:b], self.targets[a:b]
            kernels.coefficient_gradients(incoming, self.h, self.factor[a:b], passed[a:b], *ends, gradient[a:b])

        run_on_row_ranges(take_dots, len(gradient), passed.size)
        return gradient


class _SumRoundedMessages(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd takes no names
        ctx: Any, coefficient: Tensor, h: Tensor, messages: Messages, site: FakeQuantize
    ) -> Tensor:
        rounded = site.observe_and_round(messages)
        ctx.messages = messages
        ctx.passed = rounded.passed if site.config.gradient == "gc" else np.ones_like(rounded.passed)
        return rounded.values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        messages, incoming = ctx.messages, as_rows(gradient)
        to_h = torch.from_numpy(messages.gradient_to_h(incoming, ctx.passed))
        if not ctx.needs_input_grad[0]:
            return None, to_h, None, None
        return torch.from_numpy(messages.gradient_to_coefficient(incoming, ctx.passed)), to_h, None, None


_sum_rounded_messages: Callable[[Tensor, Tensor, Messages, FakeQuantize], Tensor] = _SumRoundedMessages.apply
