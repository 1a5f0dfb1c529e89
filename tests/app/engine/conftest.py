"""Fixtures that make operands and programs, and run ops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.engine.ops.compiled import COMPILED
from app.engine.ops.reference import REFERENCE
from app.engine.workers import Workers
from tests.app.engine.maker import Maker
from tests.app.engine.programs import NODE_PROGRAMS, PROGRAMS, WEIGHTED_PROGRAMS, Draft

NODES, WIDTH = 40, 60


def run_alone(backend, op, graph, *inputs):
    """The result of one op, in the backend's own form; inputs too."""
    (stage,) = backend.stages([op], Workers(), together=True)
    return stage.run(graph, {value.name: x for value, x in zip(op.inputs, inputs, strict=True)})[op.output.name]


def run_both(op, graph, *inputs, messages=False):
    """Result of the reference and of the compiled kernels, as NumPy; codes go in as they are."""
    results = []
    for backend in (REFERENCE, COMPILED):
        own = [
            backend.from_numpy(value, declared) if backend is COMPILED and declared.grid else value
            for value, declared in zip(inputs, op.inputs, strict=True)
        ]
        output = replace(op.output, grid=op.grid("message_grid")) if messages else op.output
        value = backend.messages(op)(graph, *own) if messages else run_alone(backend, op, graph, *own)
        results.append(backend.to_numpy(value, output))
    return results


@pytest.fixture
def make():
    """The class that makes operands and bound ops."""
    return Maker


@pytest.fixture
def alone():
    """Runs a bound op through one backend."""
    return run_alone


@pytest.fixture
def both():
    """Runs a bound op through both backends."""
    return run_both


@pytest.fixture(params=NODE_PROGRAMS)
def kind(request):
    """Every kind of program that writes a row per node."""
    return request.param


@pytest.fixture
def make_program():
    """make_program(kind, in_features, ...) -> a two-layer program."""

    def build(kind, in_features, hidden=5, classes=3, seed=0, bits=8):
        return {**PROGRAMS, **WEIGHTED_PROGRAMS}[kind](Draft(seed, in_features, bits), hidden, classes)

    return build


@pytest.fixture
def edges(make):
    """150 edges between 40 nodes."""
    return make(4).edges(NODES, 150)


@pytest.fixture(params=["dense", "sparse"])
def x(request, make):
    """Features of 40 nodes."""
    values = make(8).rng.normal(size=(NODES, WIDTH)).astype(np.float32)
    return values if request.param == "dense" else np.where(np.abs(values) > 2.2, values, np.float32(0))


@pytest.fixture
def program(kind, make_program):
    """Every kind of program, for these features."""
    return make_program(kind, WIDTH)
