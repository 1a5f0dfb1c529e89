"""Programs in stages: what is computed together, in blocks of any size, is what the reference computes."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine import Executable, stages, workers
from app.engine.bound import BoundOp
from app.engine.buffers import Scratch
from app.engine.compiled import COMPILED
from app.engine.workers import Workers

NODES, FEATURES, GRAPHS = 300, 24, 7


@pytest.fixture
def maker(make):
    return make(seed=5)


def planned(program, together=True):
    return COMPILED.stages([BoundOp.bind(op, program) for op in program.ops], Workers(), together)


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
    "gat": [
        ["quantize", "linear"],
        ["attention_logits", "edge_softmax", "weighted_sum", "lookup", "linear"],
        ["attention_logits", "edge_softmax", "weighted_sum", "lookup", "dequantize"],
    ],
}


def test_only_what_is_gathered_ends_a_stage(kind, make_program):
    program = make_program(kind, FEATURES)
    assert [[op.op.kind for op in stage.ops] for stage in planned(program)] == EXPECTED[kind]
    assert all(len(stage.ops) == 1 for stage in planned(program, together=False))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [1, 1000, 1 << 18])
@pytest.mark.parametrize("kind", [*EXPECTED, "graph_gin"])
def test_blocks_of_any_size_change_nothing(monkeypatch, maker, make_program, kind, size, threads):
    monkeypatch.setattr(stages, "BLOCK_BYTES", size)
    monkeypatch.setattr(workers, "LEAST_WORK", 500)
    program, edges = make_program(kind, FEATURES, hidden=16), maker.edges(NODES, 2000)
    x = maker.rng.normal(size=(NODES, FEATURES)).astype(np.float32)
    batch = maker.rng.integers(0, GRAPHS, NODES) if kind == "graph_gin" else None
    expected = Executable(program, "reference").run(x, edges, batch)
    np.testing.assert_array_equal(Executable(program, threads=threads).run(x, edges, batch), expected)


def test_a_block_is_as_large_as_the_cache_allows(monkeypatch, maker, make_program):
    """Blocks of 1,000 bytes: 62 rows of 16 codes; nothing but the last may be much smaller."""
    monkeypatch.setattr(stages, "BLOCK_BYTES", 1000)
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
    monkeypatch.setattr(stages, "BLOCK_BYTES", 1000)
    x = maker.rng.normal(size=(NODES, 70)).astype(np.float32)
    executable = Executable(make_program("gin", 70), backend)
    for column in (3, 69):
        wrong = x.copy()
        wrong[row, column] = value
        with pytest.raises(ValueError, match="NaN or not finite"):
            executable.run(wrong, maker.edges(NODES, 10))
    executable.run(x, maker.edges(NODES, 10))


def test_values_alive_at_the_same_time_have_their_own_memory(make_program):
    for kind in (*EXPECTED, "graph_gin"):
        for stage in planned(make_program(kind, FEATURES)):
            made = [op.output.name for op in stage.ops]
            for number, op in enumerate(stage.ops):
                alive = {v.name for later in stage.ops[number:] for v in later.inputs if v.name in made[:number]}
                pieces = [stage.pieces[name] for name in alive | {op.output.name} if name in stage.pieces]
                assert len(pieces) == len(set(pieces)), (kind, op.op.kind)


def test_scratch_grows_and_never_mixes_its_pieces():
    scratch = Scratch()
    small = scratch.empty(0, 3, 4, np.uint8)
    other = scratch.empty(1, 3, 4, np.uint8)
    assert not np.shares_memory(small, other)
    large = scratch.empty(0, 10, 8, np.float32)
    assert large.shape == (10, 8)
    assert large.flags.c_contiguous
    assert np.shares_memory(scratch.empty(0, 2, 4, np.uint8), large)
