"""Ops along edges, prepared for a device: op, device -> run(graph, *inputs)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..graph import Graph
from ..kernels.common import accumulator_of_products, accumulator_of_sums
from ..ops.backend import RunOp
from ..ops.bound import (
    BoundOp,
    GraphArray,
    edge_numbers,
    epilogue_constants,
    leaky_values,
    message_multiplier,
    row_factors,
    sum_constants,
)
from ..ops.step import largest_of, residual_of, zero_of
from ..program.grid import Grid
from .device import Device
from .gathers import Gather, Written, packed
from .kernels import attention, sums
from .launch import DTYPES, by_entry, limits
from .products import Product
from .values import quantized, rounded


def summed(op: BoundOp, graph: Graph, x: Tensor, device: Device) -> Tensor:
    """Returns the sums of r over the edges into each row [N or G, W], int32 or int64."""
    grid, ones = op.grid(0), device.of(row_factors(op), graph)
    written = Written("acc", ones)
    about = ones, zero_of(grid), *written.epilogue
    return Gather(op, graph, grid, device).run(sums.sum_rows, x, written, *about, RESULT="acc")


def sum_(op: BoundOp, device: Device) -> RunOp:
    """Prepares sum, and the pool that is none of maxima: codes -> codes of the sums over the edges into each row."""
    return _sum(op, op.grid(0), device)


def _sum(op: BoundOp, grid: Grid, device: Device, *, of_edges: bool = False) -> RunOp:
    """Of codes on `grid`: of the sources of edges, or of the edges themselves."""
    write = _codes(op, device)

    def run(graph: Graph, x: Tensor) -> Tensor:
        written, gather = write(graph), Gather(op, graph, grid, device)
        if of_edges:
            gather.sources = torch.arange(len(x), device=device.place)
        about = written.factors, zero_of(grid), *written.epilogue
        return gather.run(sums.sum_rows, x, written, *about, RESULT=written.result)

    return run


def _codes(op: BoundOp, device: Device) -> Callable[[Graph], Written]:
    """Returns how the codes of sums are written, on every graph."""
    multiplier, of_columns = sum_constants(op)
    factors, grid = row_factors(op), limits(op.grid("output"))
    if of_columns is None:
        return lambda graph: Written("codes", device.of(factors, graph), (float(multiplier), 0.0, *grid))
    columns = device.put(of_columns[0]), device.put(of_columns[1])
    return lambda graph: Written("codes of columns", device.of(factors, graph), (*columns, *grid))


def neighbour_max(op: BoundOp, device: Device) -> RunOp:
    """Prepares neighbour_max: codes [N, F] -> the largest over the edges into each row."""
    factors, empty = row_factors(op), zero_of(op.grid("output"))

    def run(graph: Graph, x: Tensor) -> Tensor:
        written = Written("largest", device.of(factors, graph))
        return Gather(op, graph, op.grid(0), device).run(sums.max_rows, x, written, empty)

    return run


def pool(op: BoundOp, device: Device) -> RunOp:
    """Prepares pool: codes [N, F] -> codes of their sums, or means, over the nodes of each graph, or the largest."""
    return (neighbour_max if "reduce" in op.attributes else sum_)(op, device)


def edge_numbers_coded(op: BoundOp, device: Device) -> RunOp:
    """Prepares edge_norm and edge_weight: codes [E, 1] of the normalized adjacency, or of the weights of edges."""
    numbers = edge_numbers(op)
    return lambda graph: quantized(device.of(numbers, graph)[:, None], op.grid("output"), device)


def weighted_sum(op: BoundOp, device: Device) -> RunOp:
    """Prepares weighted_sum: edge weights [E, H] and codes [N, H * C] -> codes of the summed messages."""
    messages, tabled = op.grid("message_grid"), op.inputs[0].grid is not None
    zeros = zero_of(op.grid(1)), zero_of(op.grid(0)) if tabled else 0
    write = _codes(op, device)
    about_messages = *zeros, float(message_multiplier(op)), *limits(messages)[1:]

    def run(graph: Graph, weights: Tensor, x: Tensor) -> Tensor:
        written = write(graph)
        about = written.factors, weights, weights.shape[1], *about_messages, *written.epilogue
        gather = Gather(op, graph, op.grid(1), device, added=messages)
        shape = {"RESULT": written.result, "TABLED": tabled, "ALONE": weights.shape[1] == 1}
        return gather.run(sums.weighted_sum, x, written, *about, **shape)

    return run


def messages(op: BoundOp, device: Device) -> RunOp:
    """Prepares the messages of a weighted_sum: edge weights [E, H] and codes [N, H * C] -> message codes [E, H * C]."""
    k, of_weights = float(message_multiplier(op)), op.inputs[0].grid

    def run(graph: Graph, weights: Tensor, x: Tensor) -> Tensor:
        w = weights if of_weights is None else weights.float() - zero_of(op.grid(0))
        factors = (w * k).repeat_interleave(x.shape[1] // weights.shape[1], 1)
        rows = x[device.of(op.of_edges("sources"), graph)].float() - zero_of(op.grid(1))
        return rounded(rows * factors, 1.0, op.grid("message_grid"))

    return run


def add_up(op: BoundOp, device: Device) -> RunOp:
    """Prepares the sum of given message codes [E, H * C] -> codes [N, H * C], in place of a weighted_sum."""
    return _sum(op, op.grid("message_grid"), device, of_edges=True)


def _ends(op: BoundOp) -> tuple[GraphArray, GraphArray]:
    return op.of_edges("sources"), op.of_edges("targets")


def attention_logits(op: BoundOp, device: Device) -> RunOp:
    """Prepares attention_logits: codes [N, H * C] -> codes of a logit for every edge and head [E, H]."""
    heads, multiplier, ends = op.output.width, float(epilogue_constants(op)[0]), _ends(op)
    vectors = [residual_of(op, role, "attention_grid") for role in ("source", "target")]
    spread = np.zeros((2, heads, heads, vectors[0].shape[1]), np.int16)  # each head's vector, where its columns are
    for role, vector in enumerate(vectors):
        spread[role, np.arange(heads), np.arange(heads)] = vector
    both = accumulator_of_products(np.concatenate(vectors, 1), zero_of(op.grid(0)), largest_of(op.grid(0)))
    product = Product(spread.reshape(2 * heads, -1), op.grid(0), device)

    def run(graph: Graph, x: Tensor) -> Tensor:
        sources, targets = (device.of(end, graph) for end in ends)
        out = device.empty(len(sources), heads)
        scores = product.accumulators(x).to(DTYPES[both][1])
        about = scores, sources, targets, out, out.numel(), heads, multiplier, *limits(op.grid("output"))
        by_entry(attention.attention_logits, out.numel(), *about)
        return out

    return run


def dynamic_attention_logits(op: BoundOp, device: Device) -> RunOp:
    """Prepares dynamic_attention_logits: two times codes [N, H * C] -> codes of a logit for every edge and head."""
    heads, multiplier, ends = op.output.width, float(epilogue_constants(op)[0]), _ends(op)
    residual = residual_of(op, "attention", "attention_grid")
    channels, largest = residual.shape[1], 2 * largest_of(op.grid(0))
    acc = DTYPES[accumulator_of_sums(int(np.abs(residual.astype(np.int64)).sum(1).max()), largest)][0]
    vectors, slope = device.put(residual), float(np.float32(op.attributes["negative_slope"]))

    def run(graph: Graph, left: Tensor, right: Tensor) -> Tensor:
        sources, targets = (device.of(end, graph) for end in ends)
        out = device.empty(len(sources), heads)
        (left, _), (right, is_packed) = (packed(x, op.grid(0), len(out), device, parts=heads) for x in (left, right))
        about = heads, channels, 2 * zero_of(op.grid(0)), slope, multiplier, *limits(op.grid("output"))
        operands = left, right, vectors, sources, targets, out, out.numel()
        shape = {"ACC": acc, "PACKED": is_packed, "CHANNELS": 32}
        by_entry(attention.dynamic_logits, out.numel(), *operands, *about, block=64, **shape)
        return out

    return run


def edge_softmax(op: BoundOp, device: Device) -> RunOp:
    """Prepares edge_softmax: codes [E, H] -> float32 coefficients that sum to one over the edges into a node."""
    values, ends = leaky_values(op), [op.of_edges(name) for name in ("indptr", "targets")]
    exponentials = device.put(np.exp(np.minimum(values - values[:, None], 0)))  # as on the CPU; no device's own exp

    def run(graph: Graph, logits: Tensor) -> Tensor:
        indptr, targets = (device.of(end, graph) for end in ends)
        out = device.empty(*logits.shape, dtype=torch.float32)
        rows, heads = len(indptr) - 1, logits.shape[1]
        largest, totals = device.empty(rows, heads), device.empty(rows, heads, dtype=torch.float32)
        about = indptr, largest, totals, rows, heads, len(values)
        by_entry(attention.softmax, rows * heads, logits, exponentials, *about, block=128)
        of_edges = targets, largest, totals, out, out.numel(), heads, len(values)
        by_entry(attention.shares, out.numel(), logits, exponentials, *of_edges)
        return out

    return run
