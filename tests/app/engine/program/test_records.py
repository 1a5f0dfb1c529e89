"""Records that earlier releases wrote are read as those of today."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine import load_program
from app.engine.program.grid import Grid
from app.engine.program.io import ProgramError, read_program, save_program
from app.engine.program.model import IntegerProgram, Op, Value
from tests.app.engine.program.saved import assert_same, at, rewrite


def pooling(**attributes):
    """quantize, pool, dequantize."""
    grid = Grid(0.1, 3, 8, True)
    ops = (Op("quantize", ("x",), "h"), Op("pool", ("h",), "g", {}, {}, attributes), Op("dequantize", ("g",), "logits"))
    values = [Value("x", "node", 2, None), Value("h", "node", 2, grid)]
    values += [Value("g", "graph", 2, grid), Value("logits", "graph", 2, None)]
    constants = {"spare": np.ones(1, np.float32)}
    return IntegerProgram(ops, {value.name: value for value in values}, constants, {}, {})


@pytest.mark.parametrize(("mode", "row_scale"), [("mean", {"row_scale": "inverse_degree"}), ("sum", {})])
def test_mode_of_a_pool_is_read_as_its_row_scale(tmp_path, mode, row_scale):
    """Earlier releases wrote `mode`; the manifest's hash is that of the document as they wrote it."""
    save_program(pooling(), tmp_path)
    rewrite(tmp_path, at("ops", 1, "attributes", value={"mode": mode}))
    assert_same(read_program(tmp_path), pooling(**row_scale))
    x, batch = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32), np.int64([1, 0, 1, 1, 3, 0, 1])
    totals = np.stack([np.rint(x / np.float32(0.1))[batch == graph].sum(0) for graph in range(4)])
    nodes = np.float32([[2], [4], [1], [1]]) if mode == "mean" else np.float32(1)
    got = load_program(tmp_path).run(x, np.zeros((2, 0), int), batch)
    np.testing.assert_allclose(got, np.rint(totals / nodes) * np.float32(0.1), rtol=1e-6)


@pytest.mark.parametrize(
    "attributes", [{"mode": "max"}, {"mode": ["mean"]}, {"mode": "mean", "row_scale": "inverse_degree"}]
)
def test_another_mode_of_a_pool_is_refused(tmp_path, attributes):
    save_program(pooling(), tmp_path)
    rewrite(tmp_path, at("ops", 1, "attributes", value=attributes))
    with pytest.raises(ProgramError, match=r"op 1 \(pool\): unknown attribute 'mode'"):
        read_program(tmp_path)
