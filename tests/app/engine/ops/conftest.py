"""The tiny graph, operands of few bits and the reference, for formulas spelled out with Python numbers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from app.engine.graph import Graph
from app.engine.ops.reference import REFERENCE
from tests.app.engine.ops.tiny import EDGES, NODES


@pytest.fixture
def graph():
    return Graph(np.array(EDGES).T, NODES)


@pytest.fixture(params=[(8, True), (8, False), (4, True), (2, False)])
def maker(request, make):
    return make(3, *request.param)


@pytest.fixture
def run(alone):
    return partial(alone, REFERENCE)
