"""Ops that take row by row, prepared for a device: op, device -> run(graph, *inputs)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..features import NOT_FINITE, read_ids
from ..graph import Graph
from ..ops.backend import RunOp
from ..ops.bound import FUNCTIONS, BoundOp, add_multipliers, column_constants, row_factors
from ..ops.reference import OPS as DEFINITIONS
from ..ops.step import residual_of, stored_codes, zero_of
from .device import Device
from .edges import summed
from .kernels import rows as kernels
from .launch import by_entry, limits
from .products import Epilogue, Product
from .values import dequantized, quantized, rounded


def on_host(op: BoundOp, device: Device) -> RunOp:
    """Prepares an op of float32 values that the CPU computes, by its definition."""

    def run(graph: Graph, *inputs: Tensor) -> Tensor:
        return device.put(DEFINITIONS[op.op.kind](op, graph, *map(on_cpu, inputs)))

    return run


def all_finite(x: Tensor) -> bool:
    """Returns whether no entry is NaN or infinite."""
    return bool(x.isfinite().all())


def on_cpu(x: Tensor) -> np.ndarray:
    """Returns the entries."""
    entries: np.ndarray = x.cpu().numpy()
    return entries


def quantize(op: BoundOp, device: Device) -> RunOp:
    """Prepares quantize: float32 [N, F] -> codes. Of features that were put there before, the host waits once."""

    def run(graph: Graph, x: Tensor) -> Tensor:
        if not device.asked_once(x, all_finite):
            raise ValueError(NOT_FINITE)
        return quantized(x, op.grid("output"), device)

    return run


def embedding(op: BoundOp, device: Device) -> RunOp:
    """Prepares embedding: ids [N, 1] -> codes of their rows. The ids are checked on the CPU, which waits once."""
    table = device.put(stored_codes(op.tensors["table"], op.grid("output")))

    def ids(x: Tensor) -> Tensor:
        return device.put(read_ids(on_cpu(x), len(table)))

    return lambda graph, x: table[device.asked_once(x, ids)]


def lookup(op: BoundOp, device: Device) -> RunOp:
    """Prepares lookup: codes -> entries of the table."""
    table = device.put(stored_codes(op.tensors["table"], op.grid("output")))

    def run(graph: Graph, x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        by_entry(kernels.look_up, x.numel(), x, table, out, x.numel())
        return out

    return run


def linear(op: BoundOp, device: Device) -> RunOp:
    """Prepares linear: codes [N, K] times weight [M, K] -> codes or float32 [N, M]; or of sums over graphs."""
    if op.pools:
        return _linear_of_sums(op, device)
    epilogue, grid = _epilogue(op, device), op.output.grid
    product = Product(residual_of(op, "weight", "weight_grid"), op.grid(0), device)

    def run(graph: Graph, x: Tensor, *others: Tensor) -> Tensor:
        if grid is not None:
            return product.codes(x, epilogue(graph), grid)
        return sum(others, product.floats(x, epilogue(graph)))

    return run


def _linear_of_sums(op: BoundOp, device: Device) -> RunOp:
    """Sums over graphs are too large for int8: whole numbers in float64, of which none is rounded."""
    epilogue, grid = _epilogue(op, device), op.output.grid
    weight = device.put(residual_of(op, "weight", "weight_grid").T.astype(np.float64))

    def run(graph: Graph, x: Tensor, *others: Tensor) -> Tensor:
        multipliers, addends, factors = epilogue(graph)
        acc = (summed(op, graph, x, device).double() @ weight).float()
        multiplier = multipliers if factors is None else multipliers * factors[:, None]
        total = sum(others, acc * multiplier + addends)
        return total if grid is None else rounded(total, 1.0, grid)

    return run


def _epilogue(op: BoundOp, device: Device) -> Callable[[Graph], Epilogue]:
    multipliers, addends = map(device.put, column_constants(op))
    factors = row_factors(op) if "row_scale" in op.attributes else None
    return lambda graph: Epilogue(multipliers, addends, None if factors is None else device.of(factors, graph))


def requantize(op: BoundOp, device: Device) -> RunOp:
    """Prepares requantize: codes -> codes on another grid, or the mean of heads."""
    constants, heads = tuple(map(device.put, column_constants(op))), op.attributes.get("heads", 1)
    width = op.output.width

    def run(graph: Graph, x: Tensor) -> Tensor:
        out = device.empty(len(x), width)
        about = out.numel(), width, heads, zero_of(op.grid(0)), *limits(op.grid("output"))
        by_entry(kernels.requantize, out.numel(), x, *constants, out, *about)
        return out

    return run


def add(op: BoundOp, device: Device) -> RunOp:
    """Prepares add: two or more inputs -> codes of their weighted sum, added up in float32 from the first on."""
    terms = [(zero_of(op.grid(i)), float(factor)) for i, factor in enumerate(add_multipliers(op))]

    def two(graph: Graph, a: Tensor, b: Tensor) -> Tensor:
        out = torch.empty_like(a)
        by_entry(kernels.add, a.numel(), a, b, out, a.numel(), *terms[0], *terms[1], *limits(op.grid("output")))
        return out

    def many(graph: Graph, *inputs: Tensor) -> Tensor:
        total = torch.zeros(inputs[0].shape, device=device.place)
        for x, (zero, factor) in zip(inputs, terms, strict=True):
            total += (x.float() - zero) * factor
        return rounded(total, 1.0, op.grid("output"))

    return two if len(terms) == 2 else many


def concatenate(op: BoundOp, device: Device) -> RunOp:
    """Prepares concatenate: codes [N, F_i] of two or more inputs -> the same codes side by side."""
    return lambda graph, *inputs: torch.cat(inputs, 1)


def maximum(op: BoundOp, device: Device) -> RunOp:
    """Prepares maximum: two or more inputs -> their largest codes, which are the largest offsets on one grid."""

    def run(graph: Graph, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = torch.maximum(first, other)
        return first

    return run


def dequantize(op: BoundOp, device: Device) -> RunOp:
    """Prepares dequantize: codes -> float32; a function of rows is computed on the CPU, as its definition says."""
    function = FUNCTIONS.get(op.attributes.get("function", ""))

    def run(graph: Graph, x: Tensor) -> Tensor:
        values = dequantized(x, op.grid(0))
        return values if function is None else device.put(function(on_cpu(values)))

    return run
