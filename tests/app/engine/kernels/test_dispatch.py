"""How often kernels are compiled."""

from __future__ import annotations

import numpy as np
from numba import typeof

from app.engine import Executable
from app.engine.kernels import dispatch, plain
from app.engine.kernels.common import INT64


def test_one_compiled_version_of_each_kernel(monkeypatch, make_program):
    """Signs, bits and memory layouts do not multiply what is compiled."""
    monkeypatch.setattr(dispatch, "VECTORS", False)
    for kind in ("gcn_edge", "gin"):
        for bits in (8, 4):
            edges = np.asfortranarray([[0, 1], [1, 0]])
            Executable(make_program(kind, 4, bits=bits)).run(np.ones((4, 2), np.float32).T, edges)
    for kernel in (plain.quantize, plain.linear):
        assert len([kinds for kinds in kernel.signatures if kinds[0] != typeof(INT64)]) == 1
    sums = [kinds for kinds in plain.sum_rows.signatures if kinds[0] != typeof(INT64)]
    assert len([kinds for kinds in sums if typeof(None) in kinds]) == 1, "one without columns, and one with them"
    assert len(sums) <= 2
    assert len(plain.lookup.signatures) == 2  # tables of codes and of float32
