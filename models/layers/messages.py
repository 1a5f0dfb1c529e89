"""Weighted messages: coefficient times source row, quantized at a site, summed by target."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.engine.program.grid import Grid
from models.layers.graph import Graph
from models.quantization.fake_quantize import FakeQuantize, Site
from models.quantization.fused import kernels
from models.quantization.fused.parallel import in_parts
from models.quantization.fused.rounding import Rounded, Watch, as_mask, as_rows, has_kernels, kernel_numbers, total


def sum_messages(
    graph: Graph,
    coefficient: Tensor,
    h: Tensor,
    site: Site,
    protect: Tensor | None,
    factor: Tensor | None = None,
) -> Tensor:
    """Row i: the sum over edges e into i of factor_e * site(coefficient_e * h_source).

    `protect` is that of edges. In training, quantized messages are never stored: one pass forms, rounds and adds
    them block by block, and leaves a byte an entry for the backward pass.

    Shapes:
        coefficient, factor [E, H]; h [N, H*C]; protect [E] or None; result [N, H*C].
    """
    if isinstance(site, FakeQuantize) and site.single_pass and has_kernels(h):
        return _SumMessages.apply(coefficient, h, graph, site, protect, factor)
    messages = site(form_messages(graph, coefficient, h), protect)
    if factor is not None:
        messages = messages * factor[..., None]
    return graph.targets.sum(messages.flatten(1))


def form_messages(graph: Graph, coefficient: Tensor, h: Tensor) -> Tensor:
    """Coefficient times source row [E, H, C]."""
    edges, heads = coefficient.shape
    return coefficient[..., None] * graph.sources.gather(h).view(edges, heads, -1)


class _SumMessages(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        coefficient: Tensor,
        h: Tensor,
        graph: Graph,
        site: FakeQuantize,
        protect: Tensor | None,
        factor: Tensor | None,
    ) -> Tensor:
        ctx.graph, ctx.h, ctx.coefficient = graph, as_rows(h), as_rows(coefficient)
        ctx.factor = np.ones_like(ctx.coefficient) if factor is None else as_rows(factor)
        protected = as_mask(protect)

        def rounding(grid: Grid, watch: Watch | None) -> Rounded:
            numbers = kernel_numbers(grid, watch, ctx.h.shape[1] * len(ctx.factor))
            return _rounded_sum(graph, ctx.h, ctx.coefficient, ctx.factor, protected, numbers)

        rounded = site.settle(rounding, lambda: form_messages(graph, coefficient, h), protect)
        ctx.passed = rounded.passed if site.config.gradient == "gc" else np.ones_like(rounded.passed)
        return rounded.values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        graph: Graph = ctx.graph
        incoming, weight = as_rows(gradient), ctx.coefficient * ctx.factor
        sources, targets = graph.source.numpy(), graph.target.numpy()
        to_h = np.zeros_like(ctx.h)
        edges, first = graph.sources.pattern.cols.numpy(), graph.sources.pattern.rowptr.numpy()

        def add_gradients(a: int, b: int) -> None:
            of_rows = edges[first[a] : first[b]]
            kernels.message_gradients(incoming, weight, ctx.passed, of_rows, sources, targets, to_h)

        in_parts(add_gradients, len(to_h), ctx.passed.size)
        to_coefficient = None
        if ctx.needs_input_grad[0]:
            out = np.empty_like(weight)

            def dots(a: int, b: int) -> None:
                ends = sources[a:b], targets[a:b]
                kernels.coefficient_gradients(incoming, ctx.h, ctx.factor[a:b], ctx.passed[a:b], *ends, out[a:b])

            in_parts(dots, len(out), ctx.passed.size)
            to_coefficient = torch.from_numpy(out)
        return to_coefficient, torch.from_numpy(to_h), None, None, None, None


def _rounded_sum(
    graph: Graph,
    h: np.ndarray,
    coefficient: np.ndarray,
    factor: np.ndarray,
    protected: np.ndarray,
    numbers: tuple[Any, ...],
) -> Rounded:
    sources, targets, first = graph.source.numpy(), graph.target.numpy(), graph.adjacency.rowptr.numpy()
    out, passed = np.zeros_like(h), np.empty((len(sources), h.shape[1]), np.uint8)

    def part(a: int, b: int) -> tuple[int, ...]:
        edges = slice(first[a], first[b])
        arrays = h, coefficient[edges], factor[edges], sources[edges], targets[edges], protected[edges]
        return kernels.sum_messages(*arrays, *numbers, passed[edges], out)

    return Rounded(torch.from_numpy(out), passed, total(in_parts(part, len(h), passed.size)))
