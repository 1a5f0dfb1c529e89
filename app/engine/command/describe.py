"""`info`: shows what a program computes, what it reads and writes, its size and its origin."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from json import dumps
from typing import Any

from ..program.io import read_program
from ..program.model import OUTPUT, VERSION, IntegerProgram, OpKind
from ..program.preparation import features_of, preparing
from ..program.reach import hops

PREPARES: Mapping[OpKind, str] = {
    "in_degree": "it is the in-degree of every node",
    "row_normalize": "each row is divided by its sum",
    "standardize": "each column has its mean taken off and is divided by its deviation",
}
"""What the ops that prepare features do, in words."""

MEANINGS = {
    "classification": "the largest logit of a row is that of its class",
    "multilabel": "a logit above 0 says that a row has the label; its sigmoid is the probability",
    "regression": "the numbers themselves, in the units of the data",
}
"""What logits mean, by the end of the name of the task in a manifest."""


def run(options: argparse.Namespace) -> None:
    """Prints the description of `options.program`."""
    for name, text in describe(read_program(options.program)):
        print(f"{name:<12} {text}")


def describe(program: IntegerProgram) -> Iterator[tuple[str, str]]:
    """Yields the name and the text of every line."""
    of_graphs = program.values[OUTPUT].domain == "graph"
    rows, bits = ("G", "every graph") if of_graphs else ("N", "every node"), Counter(program.bits.values())
    yield "format", f"version {VERSION}"
    others = ", batch [N]" * program.reads_batch + ", edge_weight [E]" * program.reads_edge_weights
    yield "reads", f"x [N, {program.in_features}] {_features(program)}, edge_index [2, E]{others}"
    steps = [PREPARES[op.kind] for op in preparing(program)]
    if steps:
        yield "prepares", f"x is raw: {', then '.join(steps)}"
    if ends := _range(program):
        what = "prepared x" if steps else "x"
        yield "expects", f"{what} from {ends[0]:.6g} to {ends[1]:.6g}; what lies beyond counts as the nearer end"
    yield "writes", f"logits [{rows[0]}, {program.out_features}] float32, a row for {rows[1]}"
    data = program.manifest.get("data")
    task = str(data.get("task")) if isinstance(data, Mapping) else ""
    if meaning := MEANINGS.get(task.partition("_")[2]):
        yield "means", meaning
    reach = hops(program)
    if reach is not None:
        yield "hops", f"{reach}: nodes within so many edges, and degrees, decide the result of a node"
    kinds = Counter(op.kind for op in program.ops)
    yield "computes", f"{len(program.ops)} ops: " + ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    coded = ", ".join(f"{number} of {width} bits" for width, number in sorted(bits.items()))
    yield (
        "constants",
        f"{program.constant_bytes:,} bytes: {len(program.constants)} tensors, of them {coded or 'none'} coded",
    )
    yield from flattened(program.manifest)


def _features(program: IntegerProgram) -> str:
    """Returns what the features must be: floats, or the numbers of categories."""
    if not program.in_features:
        return "(an array without columns)"
    sizes = {len(program.constants[op.tensors["table"]]) for op in program.ops if op.kind == "embedding"}
    return f"whole numbers from 0 to {min(sizes) - 1}" if sizes else "float32"


def _range(program: IntegerProgram) -> tuple[float, float] | None:
    """Returns the ends of the grid that the features are rounded to; None if they are not."""
    read = features_of(program)
    grids = [program.values[op.output].grid for op in program.ops if op.kind == "quantize" and read in op.inputs]
    if len(grids) != 1 or (grid := grids[0]) is None:
        return None
    return (grid.qmin - grid.zero_point) * grid.scale, (grid.qmax - grid.zero_point) * grid.scale


def flattened(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields the entries of a manifest; those of records within it as `record.entry`, lists as JSON."""
    for name, entry in record.items():
        if isinstance(entry, Mapping):
            yield from flattened(entry, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", dumps(entry, ensure_ascii=False) if isinstance(entry, list) else str(entry)
