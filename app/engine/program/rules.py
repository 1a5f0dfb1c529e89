"""The rules of the program format, as one table: the inputs, output, tensors, grids and attributes of every op."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

LARGEST_NUMBER = 1e11
"""Largest absolute value of a scale, bias or factor.

With scales of at least SMALLEST_SCALE, no product of them and a code overflows float32: there is never an infinity that
a later zero or difference could turn into NaN.
"""

MOST_COLUMNS = 2**31 - 1
"""Largest width of a value: the engine numbers columns in int32."""

MOST_IDS = 2**24
"""Most rows of an embedding: float32 has every whole number up to this one, but not the next."""


@dataclass(frozen=True)
class Operand:
    """What an input or an output must be.

    Attributes:
        domains: the domains it may live on; an output with all of `DOMAINS` lives on that of the inputs.
        coded: whether it holds codes rather than float32; None: either.
    """

    domains: tuple[str, ...]
    coded: bool | None


@dataclass(frozen=True)
class Tensor:
    """What a constant must be.

    Attributes:
        shape: a symbol for each dimension: "in" and "out" are widths, "levels" is the number of codes of the input's
            grid, "per_head" the width of a head, "any" is free.
        grid: whose grid its codes lie on: "output", or a role of `Op.grids`; None: float32.
        optional: whether it may be absent.
    """

    shape: tuple[str, ...]
    grid: str | None
    optional: bool = False


@dataclass(frozen=True)
class Condition:
    """A test and, for error messages, a description of what passes it."""

    holds: Callable[..., bool]
    expected: str


@dataclass(frozen=True)
class Rule:
    """What one kind of op consists of.

    Attributes:
        inputs: what each input must be; the last one may occur more than once if `repeats`.
        output: what the output must be.
        widths: a test of the input widths and the output width, times `heads` where there is that attribute.
        tensors, grids: by role.
        attributes: by name; optional unless listed in `required`.
        copies: whether, with these attributes, it copies codes, so that its inputs must lie on exactly the output's
            grid.
        further: what one more input must be, which may be absent; it goes with a float32 output.
        pools: whether `pooled` may make rows of graphs of its first input's rows of nodes.
        one_grid: whether its inputs must lie on one grid, though not on the output's.
    """

    inputs: tuple[Operand, ...]
    output: Operand
    widths: Condition
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    grids: tuple[str, ...] = ()
    attributes: Mapping[str, Condition] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    repeats: bool = False
    further: Operand | None = None
    pools: bool = False
    copies: Callable[[Mapping[str, Any]], bool] = lambda attributes: False
    one_grid: bool = False


def _is_number(value: Any) -> bool:
    return isinstance(value, float) and abs(value) <= LARGEST_NUMBER


def _are_numbers(value: Any) -> bool:
    """Whether a value lists numbers that float64 may hold."""
    return isinstance(value, (tuple, list)) and all(isinstance(number, float) and isfinite(number) for number in value)


def _always(attributes: Mapping[str, Any]) -> bool:
    return True


def _row_scale(*names: str) -> Mapping[str, Condition]:
    """The attribute `row_scale`, which may be one of `names`."""
    return {"row_scale": Condition(lambda value: value in names, " or ".join(map(repr, names)))}


DOMAINS = ("node", "edge", "graph")
NODE_CODES, NODE_FLOAT = Operand(("node",), coded=True), Operand(("node",), coded=False)
EDGE_CODES, EDGE_FLOAT = Operand(("edge",), coded=True), Operand(("edge",), coded=False)
EDGE_ANY = Operand(("edge",), coded=None)
ROW_CODES, ROW_FLOAT = Operand(("node", "graph"), coded=True), Operand(("node", "graph"), coded=False)
GRAPH_CODES = Operand(("graph",), coded=True)
CODES, FLOATS, ROWS = Operand(DOMAINS, coded=True), Operand(DOMAINS, coded=False), Operand(DOMAINS, coded=None)

SAME = Condition(lambda inputs, output: set(inputs) == {output}, "inputs and output equally wide")
TOGETHER = Condition(lambda inputs, output: sum(inputs) == output, "an output as wide as all inputs together")
FREE = Condition(lambda inputs, output: True, "any width")
ONE = Condition(lambda inputs, output: output == 1, "an output of width 1")
IDS = Condition(lambda inputs, output: inputs == [1], "an input of width 1")
SPLIT = Condition(lambda inputs, output: inputs[0] % output == 0, "an output width that divides the input's")
SPLIT_BOTH = Condition(
    lambda inputs, output: inputs[0] == inputs[1] and inputs[0] % output == 0,
    "inputs equally wide and an output width that divides theirs",
)
HEADS = Condition(
    lambda inputs, output: inputs[1] == output and output % inputs[0] == 0,
    "an output as wide as x, and as many weights as divide it",
)

BOOLEAN = Condition(lambda value: isinstance(value, bool), "true or false")
SELF_LOOPS = {"self_loops": BOOLEAN}
AS_GIVEN = {"self_loops": Condition(lambda value: value is False, "false: only given edges have weights")}
NORM = {
    **SELF_LOOPS,
    "weighted": BOOLEAN,
    "loop_weight": Condition(_is_number, "a finite float"),
}
SLOPE = {"negative_slope": Condition(lambda value: _is_number(value) and value >= 0, "a finite float of at least 0")}
STATISTICS = {
    "over": Condition(lambda value: value in ("row", "graph", "all"), "'row', 'graph' or 'all'"),
    "eps": Condition(lambda value: _is_number(value) and value > 0, "a finite float above 0"),
    **dict.fromkeys(("per_column", "eps_beside", "length"), BOOLEAN),
}
POOLED = {"pooled": Condition(lambda value: value is True, "true")}
REDUCE = {"reduce": Condition(lambda value: value == "max", "'max'")}
MEAN_OF_HEADS = {
    "heads": Condition(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value > 1, "a whole number above 1"
    )
}
FUNCTION = {
    "function": Condition(
        lambda value: value in ("log_softmax", "softmax", "sigmoid"), "'log_softmax', 'softmax' or 'sigmoid'"
    )
}
MESSAGE = {"message": Condition(lambda value: isinstance(value, str), "the name of a site")}
WEIGHTS = {
    "weights": Condition(
        lambda value: isinstance(value, (tuple, list)) and all(map(_is_number, value)),
        "finite floats",
    )
}
SCALING = {
    "mean": Condition(lambda value: _are_numbers(value), "finite floats"),
    "deviation": Condition(
        lambda value: _are_numbers(value) and all(number > 0 for number in value), "finite floats above 0"
    ),
    "single": BOOLEAN,
}
SCALE = {"scale": Tensor(("out",), None, optional=True)}
BIAS = {"bias": Tensor(("out",), None, optional=True)}

RULES: Mapping[str, Rule] = {
    "in_degree": Rule((), NODE_FLOAT, ONE),
    "row_normalize": Rule((NODE_FLOAT,), NODE_FLOAT, SAME),
    "standardize": Rule((NODE_FLOAT,), NODE_FLOAT, SAME, attributes=SCALING, required=("mean", "deviation")),
    "quantize": Rule((NODE_FLOAT,), NODE_CODES, SAME),
    "lookup": Rule((CODES,), CODES, SAME, {"table": Tensor(("levels",), "output")}),
    "embedding": Rule((NODE_FLOAT,), NODE_CODES, IDS, {"table": Tensor(("any", "out"), "output")}),
    "linear": Rule(
        (ROW_CODES,),
        ROWS,
        FREE,
        {"weight": Tensor(("out", "in"), "weight_grid"), **SCALE, **BIAS},
        ("weight_grid",),
        {**_row_scale("inverse_sqrt_degree", "inverse_degree"), **POOLED},
        further=ROW_FLOAT,
        pools=True,
    ),
    "requantize": Rule((CODES,), CODES, SAME, {**SCALE, **BIAS}, attributes=MEAN_OF_HEADS),
    "add": Rule((ROW_CODES, ROW_CODES), CODES, SAME, attributes=WEIGHTS, repeats=True),
    "concatenate": Rule((ROW_CODES, ROW_CODES), CODES, TOGETHER, repeats=True, copies=_always),
    "maximum": Rule((ROW_CODES, ROW_CODES), CODES, SAME, repeats=True, copies=_always),
    "normalize": Rule(
        (ROW_CODES,),
        CODES,
        SAME,
        {**SCALE, **BIAS, "mean_scale": Tensor(("out",), None, optional=True)},
        attributes=STATISTICS,
        required=("over", "eps"),
    ),
    "sum": Rule(
        (NODE_CODES,),
        NODE_CODES,
        SAME,
        {**SCALE, **BIAS},
        attributes={**SELF_LOOPS, **_row_scale("inverse_sqrt_degree", "inverse_degree")},
    ),
    "neighbour_max": Rule((NODE_CODES,), NODE_CODES, SAME, attributes=SELF_LOOPS, copies=_always),
    "edge_norm": Rule((), EDGE_CODES, ONE, attributes=NORM),
    "edge_weight": Rule((), EDGE_CODES, ONE, attributes=AS_GIVEN),
    "weighted_sum": Rule(
        (EDGE_ANY, NODE_CODES), NODE_CODES, HEADS, {**SCALE, **BIAS}, ("message_grid",), {**SELF_LOOPS, **MESSAGE}
    ),
    "attention_logits": Rule(
        (NODE_CODES,),
        EDGE_CODES,
        SPLIT,
        {
            "source": Tensor(("out", "per_head"), "attention_grid"),
            "target": Tensor(("out", "per_head"), "attention_grid"),
        },
        ("attention_grid",),
        SELF_LOOPS,
    ),
    "dynamic_attention_logits": Rule(
        (NODE_CODES, NODE_CODES),
        EDGE_CODES,
        SPLIT_BOTH,
        {"attention": Tensor(("out", "per_head"), "attention_grid")},
        ("attention_grid",),
        {**SLOPE, **SELF_LOOPS},
        required=("negative_slope",),
        one_grid=True,
    ),
    "edge_softmax": Rule(
        (EDGE_CODES,), EDGE_FLOAT, SAME, {}, (), {**SLOPE, **SELF_LOOPS}, required=("negative_slope",)
    ),
    "pool": Rule(
        (NODE_CODES,),
        GRAPH_CODES,
        SAME,
        attributes={**_row_scale("inverse_degree"), **REDUCE},
        copies=lambda attributes: "reduce" in attributes,
    ),
    "dequantize": Rule((ROW_CODES,), FLOATS, SAME, attributes=FUNCTION),
}
