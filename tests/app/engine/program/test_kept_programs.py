"""Programs that were kept on disk are read by every later release, and give the logits that they gave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.engine import Graph, load_program
from app.engine.program.io import read_program
from app.engine.program.rules import RULES

KEPT = Path(__file__).parents[3] / "data" / "programs"
FOLDERS = sorted(path.parent for path in KEPT.glob("*/manifest.json"))


@pytest.mark.parametrize("backend", ["compiled", "reference"])
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_kept_program_gives_the_logits_it_gave(folder, backend):
    """To float32's rounding, for those that end in a softmax; a code that differs would be far more."""
    kept, program = read_program(folder), load_program(folder, backend)
    with np.load(KEPT / "inputs.npz") as inputs:
        x = inputs["x"] if program.in_features == inputs["x"].shape[1] else inputs["ids"]
        weights = inputs["edge_weight"] if kept.reads_edge_weights else None
        graph = Graph(inputs["edge_index"], len(x), inputs["batch"], edge_weight=weights)
    np.testing.assert_allclose(program.run(x, graph), np.load(folder / "logits.npy"), rtol=1e-6, atol=0)


def test_what_is_kept_is_of_version_1():
    records = [json.loads((folder / "manifest.json").read_text()) for folder in FOLDERS]
    assert {record["version"] for record in records} == {1}
    kinds = {op["kind"] for record in records for op in record["ops"]}
    assert {"embedding", "linear", "sum", "weighted_sum", "edge_softmax", "pool"} <= kinds <= set(RULES)
    assert {"mode": "mean"} in [op["attributes"] for record in records for op in record["ops"]]
