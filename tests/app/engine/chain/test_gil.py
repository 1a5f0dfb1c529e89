"""A short call keeps the GIL to its end: threads that take turns within calls slow each other down."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from threading import Event, Thread

import numpy as np
import pytest

from app.engine import Executable, Graph, workers

WIDTH, NODES, EDGES, CALLS = 16, 23, 50, 50
MOLECULES = 64


@pytest.fixture(autouse=True)
def never_asked() -> Iterator[None]:
    """A thread that has the GIL is not asked for it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(before)


def gives_up_the_gil(call: Callable[[], object]) -> bool:
    """Whether another thread, which waits for the GIL, has it in one of some calls."""
    told, ran = Event(), list[bool]()
    other = Thread(target=lambda: (told.wait(), ran.append(True)))
    other.start()
    told.set()
    for _ in range(CALLS):
        call()
    found = bool(ran)
    other.join()
    return found


@pytest.mark.parametrize("kind", ["gcn_edge", "gcn_factored", "gin", "sage", "gat"])
def test_short_calls_keep_the_gil(monkeypatch, make, make_program, kind):
    maker, program = make(seed=7), Executable(make_program(kind, WIDTH, hidden=16))
    x, edges = maker.rng.normal(size=(NODES, WIDTH)).astype(np.float32), maker.edges(NODES, EDGES)

    def call() -> None:
        program.run(x, edges)

    call()  # compiles
    assert not any(gives_up_the_gil(call) for _ in range(5))
    monkeypatch.setattr(workers, "SHORT", 0)
    call()
    assert any(gives_up_the_gil(call) for _ in range(100))


def test_molecules_become_a_graph_without_giving_up_the_gil(monkeypatch, make):
    """A program gives it up once, for as long as it computes."""
    edges = np.ascontiguousarray(make(seed=7).edges(MOLECULES * NODES, MOLECULES * EDGES))

    def prepare() -> None:
        graph = Graph(edges, MOLECULES * NODES)
        graph.ones("node")
        for self_loops in (False, True):
            graph.norm(self_loops=self_loops)
            assert graph.adjacency(self_loops=self_loops).inverse_degrees.size == MOLECULES * NODES

    prepare()  # compiles
    assert not any(gives_up_the_gil(prepare) for _ in range(5))
    monkeypatch.setattr(workers, "SHORT", 0)
    prepare()
    assert any(gives_up_the_gil(prepare) for _ in range(100))
