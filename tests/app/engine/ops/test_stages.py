"""Programs in stages: what is computed together, in blocks of any size, is what the reference computes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from app.engine import Executable, workers
from app.engine.graph import Graph
from app.engine.ops import layout
from app.engine.ops.bound import BoundOp
from app.engine.ops.compiled import COMPILED
from app.engine.program.model import INPUT
from app.engine.workers import Workers

NODES, FEATURES, GRAPHS = 300, 24, 7


@pytest.fixture
def maker(make):
    return make(seed=5)


def planned(program, together=True):
    return COMPILED.stages([BoundOp.bind(op, program) for op in program.ops], Workers(), together=together)


EXPECTED = {
    "gcn_edge": [
        ["quantize", "linear", "edge_norm"],
        ["weighted_sum", "requantize", "lookup", "linear", "edge_norm"],
        ["weighted_sum", "requantize", "lookup", "dequantize"],
    ],
    "gcn_factored": [["quantize", "linear"], ["sum", "lookup", "linear"], ["sum", "lookup", "dequantize"]],
    "gin": [
        ["quantize"],
        ["sum", "add", "lookup", "linear", "lookup"],
        ["sum", "add", "lookup", "linear", "lookup", "dequantize"],
    ],
    "sage": [
        ["quantize"],
        ["sum", "linear", "linear", "add", "lookup"],
        ["sum", "linear", "linear", "add", "lookup", "dequantize"],
    ],
    "gat2": [
        ["quantize", "linear", "linear", "lookup"],
        ["dynamic_attention_logits", "edge_softmax", "weighted_sum", "lookup", "linear", "linear", "lookup"],
        ["dynamic_attention_logits", "edge_softmax", "weighted_sum", "lookup", "dequantize"],
    ],
    "jump": [
        ["quantize", "linear", "lookup", "linear"],
        ["neighbour_max", "add", "lookup", "linear"],
        [
            "neighbour_max",
            "add",
            "lookup",
            "lookup",
            "lookup",
            "maximum",
            "lookup",
            "lookup",
            "lookup",
            "concatenate",
            "linear",
            "dequantize",
        ],
    ],
    "gat": [
        ["quantize", "linear"],
        ["attention_logits", "edge_softmax", "weighted_sum", "lookup", "linear"],
        ["attention_logits", "edge_softmax", "weighted_sum", "requantize", "lookup", "dequantize"],
    ],
}


def test_only_what_is_gathered_ends_a_stage(kind, make_program):
    program = make_program(kind, FEATURES)
    assert [[op.op.kind for op in stage.ops] for stage in planned(program)] == EXPECTED[kind]
    assert all(len(stage.ops) == 1 for stage in planned(program, together=False))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [1, 1000, 1 << 18])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("kind", [*EXPECTED, "graph_gin"])
def test_blocks_of_any_size_change_nothing(monkeypatch, maker, make_program, kind, bits, size, threads):
    monkeypatch.setattr(layout, "BLOCK_BYTES", size)
    monkeypatch.setattr(workers, "LEAST_WORK", 500)
    program, edges = make_program(kind, FEATURES, hidden=32, bits=bits), maker.edges(NODES, 2000)
    x = maker.rng.normal(size=(NODES, FEATURES)).astype(np.float32)
    batch = maker.rng.integers(0, GRAPHS, NODES) if kind == "graph_gin" else None
    expected = Executable(program, "reference").run(x, edges, batch)
    np.testing.assert_array_equal(Executable(program, threads=threads).run(x, edges, batch), expected)


def test_a_block_is_as_large_as_the_cache_allows(monkeypatch, maker, make_program):
    """Blocks of 1,000 bytes: 62 rows of 16 codes; nothing but the last may be much smaller."""
    monkeypatch.setattr(layout, "BLOCK_BYTES", 1000)
    seen, compute = [], Workers.run
    monkeypatch.setattr(
        Workers, "run", lambda self, part, rows, *others: compute(
            self, lambda first, last: (seen.append(last - first), part(first, last)), rows, *others)
    )  # fmt: skip
    program = make_program("gcn_factored", 16, hidden=16, classes=16)
    Executable(program).run(np.ones((NODES, 16), np.float32), np.zeros((2, 0), int))
    assert sum(seen) == 3 * NODES
    assert max(seen) == 60
    assert len(seen) == 15


@pytest.mark.parametrize("row", [0, NODES - 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("backend", ["compiled", "reference"])
def test_no_block_with_a_value_that_is_not_finite_passes(monkeypatch, maker, make_program, row, value, backend):
    monkeypatch.setattr(layout, "BLOCK_BYTES", 1000)
    x = maker.rng.normal(size=(NODES, 70)).astype(np.float32)
    executable = Executable(make_program("gin", 70), backend)
    for column in (3, 69):
        wrong = x.copy()
        wrong[row, column] = value
        with pytest.raises(ValueError, match="NaN or not finite"):
            executable.run(wrong, maker.edges(NODES, 10))
    executable.run(x, maker.edges(NODES, 10))


def test_values_alive_at_the_same_time_have_their_own_memory(make_program):
    for kind, bits in product((*EXPECTED, "graph_gin"), (8, 4)):
        for stage in planned(make_program(kind, FEATURES, hidden=32, bits=bits)):
            known: set[str] = set()
            for number, (op, step) in enumerate(stage.members):
                known |= {value.name for value in (*layout.block_inputs(op, step), op.output)}
                later = {value.name for other in stage.ops[number:] for value in other.inputs} | {op.output.name}
                pieces = [stage.pieces[name] for name in known & later if name in stage.pieces]
                assert len(pieces) == len(set(pieces)), (kind, op.op.kind)


@pytest.mark.parametrize("kind", [*EXPECTED, "graph_gin"])
def test_what_is_kept_of_four_bits_is_half_a_byte(maker, make_program, kind):
    """Of rows that are gathered: those of nodes, wide enough for a vector."""
    program, graph = make_program(kind, FEATURES, hidden=32, bits=4), Graph(maker.edges(NODES, 2000), NODES)
    values = {INPUT: maker.rng.normal(size=(NODES, FEATURES)).astype(np.float32)}
    stored = 0
    for stage in planned(program):
        results = stage.run(graph, values)
        values |= results
        for name, result in results.items():
            value = program.values[name]
            if value.domain == "node" and value.grid and value.width >= 32:
                assert result.nibbles.shape == (NODES, value.width // 2)
                stored += 1
    assert stored >= 1
