"""Generated inputs of every kind: for compiling all that a program may need, and for comparing results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..graph import Graph
from ..program.model import INPUT, IntegerProgram
from ..workers import PREPARED, SHORT

NODES = 48


class Sample(NamedTuple):
    """An input of one kind.

    Attributes:
        kind: what it stands for.
        x: features [N, F]; where they are mostly zero, the engine makes them sparse itself.
        graph: its edges, and its graphs.
    """

    kind: str
    x: np.ndarray
    graph: Graph


def samples(program: IntegerProgram) -> Iterator[Sample]:
    """Yields dense and mostly zero features, on graphs with few and with many edges, alone and in a batch.

    Few edges let sparse features stay sparse in sums, many do not, and are enough for calls to give up the GIL.
    """
    rng = np.random.default_rng(0)
    batch = np.arange(NODES) // 8
    sizes = {"few edges": (2, None), "many edges": (64 * NODES, None), "a batch of graphs": (2 * NODES, batch)}
    graphs = {name: _graph(program, rng, edges, of_nodes) for name, (edges, of_nodes) in sizes.items()}
    for name, x in _features(program, rng).items():
        for kind, graph in graphs.items():
            yield Sample(f"{name} features, {kind}", x, graph)


def large_graph(program: IntegerProgram) -> Graph:
    """Returns a graph of as many nodes, with so many edges that other kernels prepare it, which give up the GIL."""
    return _graph(program, np.random.default_rng(0), PREPARED * SHORT, None)


def _graph(program: IntegerProgram, rng: np.random.Generator, edges: int, batch: np.ndarray | None) -> Graph:
    weights = rng.uniform(0, 1, edges) if program.reads_edge_weights else None
    return Graph(rng.integers(0, NODES, (2, edges)), NODES, batch, edge_weight=weights)


def _features(program: IntegerProgram, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns features of all kinds that a program can read: values on its grid, or ids of its tables."""
    width, readers = program.in_features, [op for op in program.ops if INPUT in op.inputs]
    tables = [program.constants[op.tensors["table"]] for op in readers if op.kind == "embedding"]
    if tables:
        return {"categorical": rng.integers(0, min(map(len, tables)), (NODES, 1)).astype(np.float32)}
    scales = [grid.scale * 2**grid.bits for op in readers if (grid := program.values[op.output].grid)]
    dense = rng.normal(0, max(scales, default=1.0) / 4, (NODES, width)).astype(np.float32)
    few = np.arange(dense.size).reshape(dense.shape) % 12 == 0  # below the share at which rows stay sparse
    return {"dense": dense, "mostly zero": np.where(few, dense, np.float32(0))}
