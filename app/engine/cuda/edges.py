"""Ops along edges, prepared for a device: op, device -> run(graph, *inputs)."""

from __future__ import annotations

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
)
from ..ops.step import largest_of, residual_of, zero_of
from .device import Device
from .kernels import attention, sums
from .launch import DTYPES, by_entry, by_row, limits
from .products import Product
from .values import quantized, rounded


class Edges:
    """The edges that an op sees, on a device."""

    def __init__(self, op: BoundOp, graph: Graph, device: Device) -> None:
        adjacency = op.adjacency(graph)
        self.indptr, self.sources = (device.of(op.of_edges(name), graph) for name in ("indptr", "sources"))
        self.number, self.rows = adjacency.num_edges, adjacency.indptr.size - 1
        self.mean_degree = self.number / max(self.rows, 1)
        self._adjacency = adjacency

    def accumulator(self, largest: int) -> np.dtype:
        """Returns the dtype that holds sums over the edges into a row, of numbers up to `largest`."""
        return accumulator_of_sums(self._adjacency.largest_degree, largest)


def summed(op: BoundOp, graph: Graph, x: Tensor, device: Device) -> Tensor:
    """Returns the sums of r over the edges into each row [N or G, W], int32 or int64."""
    edges = Edges(op, graph, device)
    acc, dtype = DTYPES[edges.accumulator(largest_of(op.grid(0)))]
    out = device.empty(edges.rows, x.shape[1], dtype=dtype)
    about = x, edges.indptr, edges.sources, x, out, x.shape[1], zero_of(op.grid(0)), 0.0, 0, 0.0, 0.0
    by_row(sums.sum_rows, out, *about, mean_degree=edges.mean_degree, ACC=acc, CODED=False)
    return out


def sum_(op: BoundOp, device: Device) -> RunOp:
    """Prepares sum, and the pool that is none of maxima: codes -> codes of the sums over the edges into each row."""
    return _sum(op, device, "input")


def _sum(op: BoundOp, device: Device, of: str) -> RunOp:
    grid = op.grid(0 if of == "input" else "message_grid")
    multiplier, factors = float(epilogue_constants(op)[0]), row_factors(op)

    def run(graph: Graph, x: Tensor) -> Tensor:
        edges, width = Edges(op, graph, device), x.shape[1]
        out = device.empty(edges.rows, width)
        sources = edges.sources if of == "input" else torch.arange(len(x), device=device.place)
        about = x, edges.indptr, sources, device.of(factors, graph), out, width, zero_of(grid), multiplier
        dtype = DTYPES[edges.accumulator(largest_of(grid))][0]
        shape = {"mean_degree": edges.mean_degree, "ACC": dtype, "CODED": True}
        by_row(sums.sum_rows, out, *about, *limits(op.grid("output")), **shape)
        return out

    return run


def neighbour_max(op: BoundOp, device: Device) -> RunOp:
    """Prepares neighbour_max: codes [N, F] -> the largest over the edges into each row."""

    def run(graph: Graph, x: Tensor) -> Tensor:
        edges = Edges(op, graph, device)
        out = device.empty(edges.rows, x.shape[1])
        about = x, edges.indptr, edges.sources, out, x.shape[1], zero_of(op.grid("output"))
        by_row(sums.max_rows, out, *about, mean_degree=edges.mean_degree)
        return out

    return run


def pool(op: BoundOp, device: Device) -> RunOp:
    """Prepares pool: codes [N, F] -> codes of their sums, or means, over the nodes of each graph, or the largest."""
    return (neighbour_max if "reduce" in op.attributes else sum_)(op, device)


def edge_numbers_coded(op: BoundOp, device: Device) -> RunOp:
    """Prepares edge_norm and edge_weight: codes [E, 1] of the normalized adjacency, or of the weights of edges."""
    numbers = edge_numbers(op)
    return lambda graph: quantized(device.of(numbers, graph)[:, None], op.grid("output"), device)[0]


def weighted_sum(op: BoundOp, device: Device) -> RunOp:
    """Prepares weighted_sum: edge weights [E, H] and codes [N, H * C] -> codes of the summed messages."""
    messages, tabled = op.grid("message_grid"), op.inputs[0].grid is not None
    zeros = zero_of(op.grid(1)), zero_of(op.grid(0)) if tabled else 0
    about_messages = zeros[1], float(message_multiplier(op)), *limits(messages)[1:]
    multiplier = float(epilogue_constants(op)[0])

    def run(graph: Graph, weights: Tensor, x: Tensor) -> Tensor:
        edges, out = Edges(op, graph, device), torch.empty_like(x)
        about = x, weights, edges.indptr, edges.sources, out, x.shape[1], weights.shape[1], zeros[0]
        dtype = DTYPES[edges.accumulator(largest_of(messages))][0]
        shape = {"mean_degree": edges.mean_degree, "ACC": dtype, "TABLED": tabled}
        by_row(sums.weighted_sum, out, *about, *about_messages, multiplier, *limits(op.grid("output")), **shape)
        return out

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
    return _sum(op, device, "messages")


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
        about = heads, channels, 2 * zero_of(op.grid(0)), slope, multiplier, *limits(op.grid("output"))
        operands = left, right, vectors, sources, targets, out, out.numel()
        by_entry(attention.dynamic_logits, out.numel(), *operands, *about, block=64, ACC=acc, CHANNELS=32)
        return out

    return run


def edge_softmax(op: BoundOp, device: Device) -> RunOp:
    """Prepares edge_softmax: codes [E, H] -> float32 coefficients that sum to one over the edges into a node."""
    values = leaky_values(op)
    exponentials = device.put(np.exp(np.minimum(values - values[:, None], 0)))  # as on the CPU; no device's own exp

    def run(graph: Graph, logits: Tensor) -> Tensor:
        edges, out = Edges(op, graph, device), device.empty(*logits.shape, dtype=torch.float32)
        rows, heads = edges.rows, logits.shape[1]
        about = logits, exponentials, edges.indptr, out, rows, heads, len(values)
        by_entry(attention.softmax, rows * heads, *about, block=128)
        return out

    return run
