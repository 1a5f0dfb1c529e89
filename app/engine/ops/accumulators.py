"""The linear layers of readouts: of sums over graphs that have no codes, and to logits that have none."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..kernels import dispatch
from ..kernels.common import accumulator_of_sums
from ..kernels.dispatch import Kernel
from ..kernels.readouts import plain as kernels
from .bound import BoundOp, column_constants, row_factors
from .step import (
    FLAT_MADE,
    FLAT_OUT,
    MADE,
    OUT,
    WHOLE_X,
    ByDegree,
    Call,
    Operand,
    Step,
    Temporary,
    X,
    largest_of,
    limits_of,
    residual_of,
    zero_of,
)


def of_accumulators(op: BoundOp) -> Step:
    """Prepares a linear that is pooled, or has a float32 output: codes [N, K] -> codes or float32 [N or G, M]."""
    gathers = (0,) if op.pools else ()
    if op.output.grid is None:
        added = [Call(kernels.add_floats, (Operand("input", i, "flat"), FLAT_OUT)) for i in range(1, len(op.inputs))]
        return Step((_product(op, OUT), *added), gathers)
    codes = Call(dispatch.elementwise("quantize"), (FLAT_MADE, np.float32(1), *limits_of(op.output.grid), FLAT_OUT))
    return Step((_product(op, MADE), codes), gathers, temporaries=(Temporary(op.output.width, np.float32),))


def _product(op: BoundOp, out: Operand) -> Call:
    """Returns the call that writes accumulators times their multipliers, and the addend, in steps of the output."""
    weight = np.ascontiguousarray(residual_of(op, "weight", "weight_grid").T).astype(np.float64)
    constants, x_zero, largest = (row_factors(op), *column_constants(op)), zero_of(op.grid(0)), largest_of(op.grid(0))
    if not op.pools:
        return Call(kernels.multiply_rows, (X, x_zero, weight, *constants, out))

    def choose(degree: int) -> Kernel:
        return partial(kernels.multiply_sums, accumulator_of_sums(degree, largest))

    edges = op.of_edges("indptr", "ends"), op.of_edges("sources", "edges")
    return Call(ByDegree(choose, op.loops), (WHOLE_X, x_zero, *edges, weight, *constants, out))
