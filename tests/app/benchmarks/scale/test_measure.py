from __future__ import annotations

from typing import Any

import pytest

from app.benchmarks.scale.measure import measured
from app.config.cells import select
from app.runs.experiment import Experiment

WORDS = ("--data.num_nodes=900", "--data.num_features=100", "--data.num_val=100", "--data.num_test=100")
TRAINED = ["epoch in parts", "epoch on the whole graph", "inference, network"]
PROGRAM = ["inference, integer program", "inference, integer program, features in a file"]


def of(scheme: str, *words: str) -> dict[str, Any]:
    (cell,) = select(f"synthetic/gcn/{scheme}")
    return measured(Experiment.of_cell(cell, 0, overrides=[*WORDS, *words]), threads=1)


@pytest.mark.parametrize(("scheme", "names"), [("fp32", TRAINED), ("dq_int8", TRAINED + PROGRAM)])
def test_a_cell_is_measured_in_training_and_inference(
    scheme: str, names: list[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEGREE_QUANT_CACHE", str(tmp_path))
    found = of(scheme, "--data.parts=6", "--data.parts_per_step=2")
    assert [row["name"] for row in found["rows"]] == names
    assert (found["nodes"], found["features"], found["parts"]) == (900, 100, 6)
    assert all(row["seconds"] > 0 for row in found["rows"])


def test_a_graph_without_parts_is_refused_in_a_sentence() -> None:
    assert of("fp32") == {"refused": "synthetic/gcn/fp32: benchmark scale measures one graph in parts: set data.parts"}
