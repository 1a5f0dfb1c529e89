"""The integer program, as data: a model's `lower()` builds it and the engine runs it.

A program is a list of ops in single-assignment form over named values. A value lives on nodes (N rows), edges
(E rows) or graphs (a row per graph of a batch) and is either codes on a grid or float32. Notation: c code,
z zero point, s scale, r = c - z; accumulators are integers; every op that writes codes ends in the epilogue

    code = clamp(round(float32(acc) * multiplier + addend) + z_out, qmin, qmax)

in float32, without contraction into a fused multiply-add; round is half to even. `multiplier` and `addend`
are formed in float64 from the float32 scales and then rounded once to float32.

Ops (inputs -> output; [tensors]; (attributes)):

| op               | meaning                                                                                 |
|------------------|-----------------------------------------------------------------------------------------|
| in_degree        | -> the in-degree of every node among the edges as given [N, 1], float32: a program of   |
|                  | nodes without features reads no x                                                       |
| row_normalize    | float32 -> x / t in float32, t the sum of the row, added up in float64 from the first   |
|                  | column on and rounded to float32; 1 where that is 0                                     |
| standardize      | float32 -> (x - mean) / deviation, one of each a column, in float64, rounded to float32 |
|                  | once; with `single` in float32 (mean, deviation, single)                                |
| quantize         | float32 node features -> codes: clamp(round(x / s) + z), divided in float32             |
| embedding        | ids [N, 1], whole float32 numbers -> row id of [table [ids, out]: codes of the output]  |
| lookup           | code c -> table[c - qmin] [table: codes of the output]: an activation between two       |
|                  | grids, tabulated by training                                                            |
| linear           | acc = sum_k r_x r_w [weight [out, in]: codes on `weight_grid`; scale [out]: that of     |
|                  | every output's weights, s_w is 1 then; bias [out]]; multiplier s_x s_w scale / s_out,   |
|                  | addend bias / s_out. Pooled: r_x is the sum over the nodes of graph g of r. With a      |
|                  | float32 output no code is made: acc * multiplier + addend with s_out = 1, to which a    |
|                  | second input, float32, is added (row_scale, pooled)                                     |
| requantize       | acc = r; multiplier scale s / s_out, one a feature [scale [width]: 1 if absent; bias    |
|                  | [width]], addend bias / s_out: a folded BatchNorm; a ReLU behind it is the clamp of an  |
|                  | output grid with z = qmin. With heads acc_c = sum over heads h of r_h,c of an input as  |
|                  | many times wider, and multiplier scale s / (heads s_out): their mean (heads)            |
| add              | round(r_1 m_1 + r_2 m_2 + ...) of two inputs or more, added up in float32 from the      |
|                  | first on, m = float32(weight s / s_out) (weights: 1 each if absent)                     |
| concatenate      | the codes of two inputs or more, side by side; all lie on exactly the output's grid     |
| maximum          | the largest code of two inputs or more; all lie on exactly the output's grid            |
| normalize        | x = r s in float32; (x - a m) f w + b in float64, rounded to float32, divided by s_out  |
|                  | and rounded [mean_scale a, scale w, bias b [width]: 1, 1 and 0 if absent]; m the mean   |
|                  | and v the mean of (x - a m)^2 over a row, the nodes of its graph, or all rows (`over`), |
|                  | of all their columns or of each (per_column); f = (v + eps)^-1/2. With eps_beside       |
|                  | f = 1 / (v^1/2 + eps) where all rows are one group and no batch is given. With length   |
|                  | a = 0 and f = 1 / max(|x|, eps), |x| the length of the row                              |
|                  | (over, eps, per_column, eps_beside, length)                                             |
| sum              | acc_i = sum over edges into i of r_source [scale, bias [width]]; multiplier             |
|                  | scale s / s_out, addend bias / s_out: a folded BatchNorm, and a ReLU, as in requantize  |
|                  | (self_loops, row_scale)                                                                 |
| neighbour_max    | the largest code among the sources of the edges into i, on exactly the output's grid;   |
|                  | z where no edge enters (self_loops)                                                     |
| edge_norm        | -> float32 coefficient d_source^-1/2 d_target^-1/2 of every edge [E, 1], quantized; d   |
|                  | the in-degree among the edges it sees. Weighted, or with another loop_weight than 1:    |
|                  | d_source^-1/2 w d_target^-1/2 with the edge's weight w and d the sum of those into a    |
|                  | node, 0 where d <= 0, in float64, then rounded to float32 once; added up in the order   |
|                  | of edges. w is the weight given at run time if `weighted`, else 1. A self-loop keeps    |
|                  | its own, the last one's of several; one that is added has `loop_weight`, 1 if absent    |
|                  | (self_loops, weighted, loop_weight)                                                     |
| edge_weight      | -> float32 weights given at run time of every edge [E, 1], quantized (self_loops: none) |
| weighted_sum     | inputs weights [E, H] and x [N, H*C]; message of an edge on `message_grid`:             |
|                  | m = clamp(round(r_x * float32(w * k)) + z_m), k = s_x / s_m formed as a multiplier;     |
|                  | acc_i = sum of (m - z_m); multiplier s_m / s_out, with scale and bias as in sum [scale, |
|                  | bias [H*C]]. Coded weights stand for w = r_w and k = s_w s_x / s_m (self_loops;         |
|                  | message: name of the site whose codes m are)                                            |
| attention_logits | acc_e,h = sum_c r_source,h,c r_a,h,c + sum_c r_target,h,c r_b,h,c [source a and         |
|                  | target b [H, C]: codes on `attention_grid`]; multiplier s_x s_a / s_out (self_loops)    |
| dynamic_attention_logits | inputs l and r [N, H*C] on exactly one grid; t = r_l,source + r_r,target;       |
|                  | acc_e,h = float32(sum_c r_a,h,c max(t_c, 0) + slope sum_c r_a,h,c min(t_c, 0)), added   |
|                  | up in float64 [attention a [H, C]: codes on `attention_grid`]; multiplier               |
|                  | s_l s_a / s_out (negative_slope, self_loops)                                            |
| edge_softmax     | logits' codes [E, H] -> float32: softmax over the edges into a node of leaky_relu(r s)  |
|                  | (negative_slope, self_loops)                                                            |
| pool             | acc_g = sum over the nodes of graph g of r; multiplier s / s_out (row_scale);           |
|                  | with reduce "max" the largest code instead, on exactly the output's grid; z for a graph |
|                  | without nodes (reduce)                                                                  |
| dequantize       | r s in float32: the logits; of them log_softmax or softmax over the columns, or         |
|                  | sigmoid, if `function` says so (function)                                               |

`self_loops`: the op sees the graph with every node's self-loops replaced by exactly one; else as given.
Edge values are in order of target, then in the order given, the added self-loops last.
`row_scale`: the multiplier of row i is float32(multiplier * f_i), f_i in float32 and 0 where d_i = 0:
f_i = d_i^-1/2 for "inverse_sqrt_degree" (linear, sum), f_i = 1 / d_i for "inverse_degree" (sum, pool, pooled
linear), which makes the sum a mean. d_i is the in-degree of node i among the edges that a sum sees, the in-degree
with exactly one self-loop for linear, and the number of nodes of graph i for pool and pooled linear. Attributes
may be absent, except `negative_slope`, `over` and `eps`; `rules` has all of this as a table. Programs of earlier
releases say `mode: mean` or `mode: sum` of a pool; they are read as `row_scale: inverse_degree` and as no row_scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from .grid import Grid

FORMAT = "degree-quant-program"
VERSION = 1
OUTPUT = "logits"
INPUT = "x"

OpKind = Literal[
    "in_degree",
    "row_normalize",
    "standardize",
    "quantize",
    "embedding",
    "lookup",
    "linear",
    "requantize",
    "add",
    "concatenate",
    "maximum",
    "normalize",
    "sum",
    "neighbour_max",
    "edge_norm",
    "edge_weight",
    "weighted_sum",
    "attention_logits",
    "dynamic_attention_logits",
    "edge_softmax",
    "pool",
    "dequantize",
]


Domain = Literal["node", "edge", "graph"]


@dataclass(frozen=True)
class Value:
    """A named tensor [rows of `domain`, width]: codes on `grid`, or float32 where `grid` is None."""

    name: str
    domain: Domain
    width: int
    grid: Grid | None


@dataclass(frozen=True)
class Op:
    """One op of a program; see the table above.

    `tensors` maps a role, such as "weight", to the name of a constant. `grids` holds the grids of operands that are
    no values, by role.
    """

    kind: OpKind
    inputs: tuple[str, ...]
    output: str
    tensors: Mapping[str, str] = field(default_factory=dict)
    grids: Mapping[str, Grid] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class IntegerProgram:
    """A program.

    Attributes:
        ops: in the order in which they run.
        values: all values that ops read and write, by name.
        constants: int8, uint8 or float32 arrays, by name.
        bits: bit width of every constant that holds codes; up to 4 bits are packed two to a byte on disk.
        manifest: free-form JSON about the origin: scheme, architecture, data set, checkpoint hash, metrics.
    """

    ops: tuple[Op, ...]
    values: Mapping[str, Value]
    constants: Mapping[str, np.ndarray]
    bits: Mapping[str, int]
    manifest: Mapping[str, Any]

    @property
    def in_features(self) -> int:
        """Width of the node features the program reads; 0 if it makes them of the graph."""
        return self.values[INPUT].width if INPUT in self.values else 0

    @property
    def out_features(self) -> int:
        """Width of the logits the program writes."""
        return self.values[OUTPUT].width

    @property
    def reads_edge_weights(self) -> bool:
        """Whether it reads a weight of every edge."""
        return any(op.kind == "edge_weight" or op.attributes.get("weighted", False) for op in self.ops)

    @property
    def reads_batch(self) -> bool:
        """Whether it makes a difference which graph a node is of."""
        return self.values[OUTPUT].domain == "graph" or any(op.attributes.get("over") == "graph" for op in self.ops)

    @property
    def constant_bytes(self) -> int:
        """Bytes of all constants as stored on disk."""
        return sum(packed_bytes(array, self.bits.get(name, 32)) for name, array in self.constants.items())


def packed_bytes(array: np.ndarray, bits: int) -> int:
    """Bytes that a constant takes on disk: two codes to a byte at four bits or fewer."""
    return (array.size + 1) // 2 if bits <= 4 else array.nbytes
