"""Programs that prepare raw features themselves, as their first ops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .model import INPUT, IntegerProgram, Op, OpKind, Value

KINDS: tuple[OpKind, ...] = ("in_degree", "row_normalize", "standardize")


class Preparation(NamedTuple):
    """An op that makes float32 features of float32 features, or of the graph.

    Attributes:
        kind: one of KINDS.
        attributes: of the op.
    """

    kind: OpKind
    attributes: dict[str, Any]


def preparing(program: IntegerProgram) -> tuple[Op, ...]:
    """Returns the ops of a program that prepare its features; none in a program that reads them prepared."""
    found, inputs = list[Op](), (INPUT,) if INPUT in program.values else ()
    for op in program.ops:
        if op.kind in KINDS and op.inputs == inputs:
            found.append(op)
            inputs = (op.output,)
    return tuple(found)


def features_of(program: IntegerProgram) -> str:
    """Returns the name of the features as the network reads them."""
    return ([INPUT] + [op.output for op in preparing(program)])[-1]


def with_preparation(program: IntegerProgram, steps: Sequence[Preparation]) -> IntegerProgram:
    """Returns the program that reads raw features and takes these steps first.

    Args:
        program: reads features that are prepared.
        steps: at least one. If the first is an in_degree, the program reads a graph alone.
    """
    width = program.in_features
    values = {name: value for name, value in program.values.items() if name != INPUT}
    if steps[0].kind != "in_degree":
        values[INPUT] = Value(INPUT, "node", width, None)
    name, ops = INPUT, list[Op]()
    for number, step in enumerate(steps):
        inputs, name = () if step.kind == "in_degree" else (name,), f"{INPUT}.{step.kind}.{number}"
        values[name] = Value(name, "node", width, None)
        ops.append(Op(step.kind, inputs, name, attributes=step.attributes))
    for op in program.ops:
        ops.append(replace(op, inputs=tuple(name if given == INPUT else given for given in op.inputs)))
    return replace(program, ops=tuple(ops), values=values)
