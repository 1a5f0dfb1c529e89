"""The compiled backend: prepares the constants of ops once, then runs kernels on dense or sparse codes.

Codes are stored as kernels take them: as uint8 offsets from the smallest code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..chain.chain import Chain
from ..features import NOT_FINITE, Features, read_ids
from ..graph import Graph
from ..kernels import copies, dispatch, sparse
from ..kernels import plain as kernels
from ..kernels.common import accumulator_of_products, accumulator_of_sums
from ..kernels.dispatch import Codes
from ..kernels.sparse import SparseRows, densified, is_sparse_enough
from ..program.grid import quantize as codes_of
from ..program.model import Value
from ..workers import Workers
from . import edges as compiled_edges
from . import norms, preparation
from .accumulators import of_accumulators
from .backend import Backend
from .bound import FUNCTIONS, BoundOp, add_multipliers, column_constants, ratio, row_factors
from .packed_rows import unpacked
from .stages import FusedStage, fused
from .step import (
    FLAT_MADE,
    FLAT_OUT,
    FLAT_X,
    OUT,
    Call,
    Operand,
    Step,
    Temporary,
    X,
    largest_of,
    limits_of,
    map_values,
    residual_of,
    stored_codes,
    zero_of,
)


def quantize(op: BoundOp, workers: Workers) -> Step:
    """Prepares quantize: float32 [N, F] -> codes."""
    constants = np.float32(op.grid("output").scale), *limits_of(op.grid("output"))
    kernel, zero = dispatch.elementwise("quantize"), zero_of(op.grid("output"))

    def finite(x: np.ndarray, *others: Any) -> None:
        if not kernel(x, *others):
            refuse()

    def refuse(*arguments: Any) -> None:
        raise ValueError(NOT_FINITE)

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        return x.with_values(map_values(finite, x.values, *constants, workers=workers), zero)

    return Step((Call(kernel, (FLAT_X, *constants, FLAT_OUT), refuse),), sparse=on_stored)


def embedding(op: BoundOp, workers: Workers) -> Step:
    """Prepares embedding: ids [N, 1] -> codes of their rows."""
    table = stored_codes(op.tensors["table"], op.grid("output"))

    def refuse(ids: np.ndarray, *others: Any) -> None:
        read_ids(ids[:, None], len(table))

    return Step((Call(copies.take_rows, (FLAT_X, table, OUT), refuse),))


def lookup(op: BoundOp, workers: Workers) -> Step:
    """Prepares lookup: codes -> entries of the table; sparse rows stay sparse if it maps zero to zero."""
    table = stored_codes(op.tensors["table"], op.grid("output"))
    zero, (kernel, *constants) = zero_of(op.grid("output")), _lookup_kernel(op, table)

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        return x.with_values(map_values(kernel, x.values, *constants, workers=workers), zero)

    call = Call(kernel, (FLAT_X, *constants, FLAT_OUT))
    return Step((call,), sparse=on_stored if table[zero_of(op.grid(0))] == zero else None)


def _lookup_kernel(op: BoundOp, table: np.ndarray) -> tuple[Any, ...]:
    """Returns the kernel that computes table[codes], and its constants.

    If all entries are what a mere change of the grid gives, they are computed, which is faster than looking them up,
    except in tables of sixteen.
    """
    if table.size <= 16:
        return dispatch.elementwise("lookup"), np.resize(table, 16)
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))
    multiplier = ratio(op.grid(0).scale, over=op.grid("output").scale)
    steps = (np.arange(table.size) - x_zero).astype(np.float32) * multiplier
    computed = codes_of(steps, np.float32(1), limits[0], 0, largest_of(op.grid("output")))
    if not np.array_equal(computed, table):
        return kernels.lookup, table
    return dispatch.elementwise("rescale"), x_zero, multiplier, *limits


def linear(op: BoundOp, workers: Workers) -> Step:
    """Prepares linear: codes [N, K] times weight [M, K] -> codes [N, M]; see also `of_accumulators`."""
    if op.pools or op.output.grid is None:
        return of_accumulators(op)
    weight = residual_of(op, "weight", "weight_grid")
    by_input = np.ascontiguousarray(weight.T)
    epilogue, factors = column_constants(op), row_factors(op)
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))
    largest = largest_of(op.grid(0))
    few = op.output.domain == "graph"
    product = dispatch.linear(weight, x_zero, largest=largest, epilogue=epilogue, limits=limits, rows_few=few)
    accumulator = accumulator_of_products(weight, x_zero, largest)

    def on_stored(graph: Graph, x: SparseRows) -> Codes:
        operands = x.indptr, x.columns, x.values, x_zero, by_input
        codes: Codes = sparse.sparse_linear(accumulator, *operands, factors.of(graph), *epilogue, *limits)
        return codes

    call = Call(product.kernel, (X, *product.weight, factors, *product.epilogue, OUT))
    return Step((call,), sparse=on_stored)


def requantize(op: BoundOp, workers: Workers) -> Step:
    """Prepares requantize: codes -> codes on another grid, or the mean of heads; sparse rows may stay sparse."""
    multipliers, addend = column_constants(op)
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))
    heads = op.attributes.get("heads", 1)
    accumulator = accumulator_of_sums(heads, largest_of(op.grid(0)))
    kernel = dispatch.add_heads(addend.size, accumulator) if heads > 1 else dispatch.requantize(addend.size)

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        constants = x_zero, multipliers[0], *limits
        return x.with_values(
            map_values(dispatch.elementwise("rescale"), x.values, *constants, workers=workers), limits[0]
        )

    keeps_cells = not addend.any() and "scale" not in op.tensors and heads == 1
    call = Call(kernel, (X, x_zero, multipliers, addend, *limits, OUT))
    return Step((call,), sparse=on_stored if keeps_cells else None)


def add(op: BoundOp, workers: Workers) -> Step:
    """Prepares add: two or more inputs -> codes of their weighted sum."""
    if len(op.inputs) > 2:
        return _add_many(op)
    constants = zero_of(op.grid(0)), zero_of(op.grid(1)), *add_multipliers(op), *limits_of(op.grid("output"))
    zero = zero_of(op.grid("output"))

    def on_stored(graph: Graph, a: SparseRows, b: SparseRows) -> SparseRows | None:
        if not is_sparse_enough(a.values.size + b.values.size, graph.num_nodes, a.width):
            return None
        operands = (a.indptr, a.columns, a.values, b.indptr, b.columns, b.values, a.width)
        return SparseRows(a.width, zero, *sparse.sparse_add(*operands, *constants))

    both = FLAT_X, Operand("input", 1, "flat")
    return Step((Call(dispatch.elementwise("add"), (*both, *constants, FLAT_OUT)),), sparse=on_stored)


def _add_many(op: BoundOp) -> Step:
    """Prepares the sum of more than two inputs: it is formed in float32, then quantized by steps of one."""
    terms = [
        (Operand("input", i, "flat"), zero_of(op.grid(i)), multiplier, FLAT_MADE)
        for i, multiplier in enumerate(add_multipliers(op))
    ]
    first, *others = terms
    calls = [Call(dispatch.elementwise("dequantize"), first), *(Call(kernels.accumulate, term) for term in others)]
    constants = np.float32(1), *limits_of(op.grid("output"))
    calls.append(Call(dispatch.elementwise("quantize"), (FLAT_MADE, *constants, FLAT_OUT)))
    return Step(tuple(calls), temporaries=(Temporary(op.output.width, np.float32),))


def concatenate(op: BoundOp, workers: Workers) -> Step:
    """Prepares concatenate: codes [N, F_i] of two or more inputs -> the same codes side by side."""
    firsts = np.cumsum([0, *(value.width for value in op.inputs)]).tolist()
    calls = (Call(copies.put_columns, (Operand("input", i), firsts[i], OUT)) for i in range(len(op.inputs)))
    return Step(tuple(calls))


def maximum(op: BoundOp, workers: Workers) -> Step:
    """Prepares maximum: two or more inputs -> their largest codes, which are the largest offsets on one grid."""
    before = [FLAT_X, *[FLAT_OUT] * (len(op.inputs) - 2)]
    calls = (Call(copies.larger, (a, Operand("input", i, "flat"), FLAT_OUT)) for i, a in enumerate(before, 1))
    return Step(tuple(calls))


def dequantize(op: BoundOp, workers: Workers) -> Step:
    """Prepares dequantize: codes -> float32, to which a function of rows may be applied."""
    constants = zero_of(op.grid(0)), np.float32(op.grid(0).scale)
    function = FUNCTIONS.get(op.attributes.get("function", ""))
    return Step((Call(dispatch.elementwise("dequantize"), (FLAT_X, *constants, FLAT_OUT)),), finish=function)


OPS: Mapping[str, Callable[[BoundOp, Workers], Step]] = {
    "in_degree": preparation.in_degree,
    "row_normalize": preparation.row_normalize,
    "standardize": preparation.standardize,
    "quantize": quantize,
    "embedding": embedding,
    "lookup": lookup,
    "linear": linear,
    "requantize": requantize,
    "add": add,
    "concatenate": concatenate,
    "maximum": maximum,
    "normalize": norms.normalize,
    "sum": compiled_edges.sum_,
    "neighbour_max": compiled_edges.neighbour_max,
    "edge_norm": compiled_edges.edge_numbers_coded,
    "edge_weight": compiled_edges.edge_numbers_coded,
    "weighted_sum": compiled_edges.weighted_sum,
    "attention_logits": compiled_edges.attention_logits,
    "dynamic_attention_logits": compiled_edges.dynamic_attention_logits,
    "edge_softmax": compiled_edges.edge_softmax,
    "pool": compiled_edges.pool,
    "dequantize": dequantize,
}


def _read(x: Features) -> np.ndarray | SparseRows:
    return sparse.compress(x) if isinstance(x, np.ndarray) else x


def _to_numpy(value: Any, declared: Value) -> np.ndarray:
    dense: np.ndarray = unpacked(densified(value))
    if declared.grid is None:
        return dense
    dtype = np.int8 if declared.grid.signed else np.uint8
    return (dense.astype(np.int16) + declared.grid.qmin).astype(dtype)


def _from_numpy(codes: np.ndarray, declared: Value) -> Codes:
    assert declared.grid is not None, f"{declared.name} is not coded"
    return stored_codes(codes, declared.grid)


def _stages(ops: Sequence[BoundOp], workers: Workers, *, together: bool) -> Sequence[FusedStage]:
    return fused([(op, OPS[op.op.kind](op, workers)) for op in ops], workers, together=together)


def _small(stages: Sequence[FusedStage]) -> Chain:
    return Chain([member for stage in stages for member in stage.members])


COMPILED = Backend(_read, _stages, compiled_edges.messages, compiled_edges.add_up, _small, _to_numpy, _from_numpy)
