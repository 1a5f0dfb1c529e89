from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from app.benchmarks.scale.measure import measured, row
from app.benchmarks.scale.page import page_of
from app.cli.main import main
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


def test_what_needs_more_memory_than_there_is_is_left_out_and_other_faults_are_not() -> None:
    def too_large() -> None:
        torch.empty(2**50)

    assert row("large", too_large) == {"name": "large", "seconds": None, "core_seconds": None, "bytes": None}
    with pytest.raises(RuntimeError, match="size mismatch"):
        row("wrong", lambda: torch.ones(2, 3) @ torch.ones(2))


def test_a_page_has_a_table_a_cell_and_a_column_a_graph() -> None:
    def result(cell: str, nodes: int, *rows: tuple[str, float | None]) -> dict[str, Any]:
        of_rows = [{"name": n, "seconds": s, "core_seconds": s, "bytes": s and int(s * 1e6)} for n, s in rows]
        return {"cell": cell, "nodes": nodes, "edges": 9, "features": 3, "parts": 2, "rows": of_rows}

    results = [result("a", 10, ("train", 1.0)), result("b", 10, ("train", 2.0)),
               result("a", 20, ("train", None), ("run", 4.0))]  # fmt: skip
    lines = page_of(results, "--cell a", 1).splitlines()
    assert "| a | 10 nodes, 9 edges, 2 parts | 20 nodes, 9 edges, 2 parts |" in lines
    assert "| train | 1.00 s, 1 MB | - |" in lines
    assert "| run |  | 4.00 s, 4 MB |" in lines
    assert "| train | 2.00 s, 2 MB |" in lines


def test_several_sizes_go_to_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stand_in(_: Any, experiment: Experiment, threads: int) -> dict[str, Any]:
        nodes, parts = (int(word.partition("=")[2]) for word in experiment.overrides[-2:])
        return {"cell": experiment.name, "nodes": nodes, "edges": 9, "features": threads, "parts": parts, "rows": []}

    monkeypatch.setattr("app.benchmarks.scale.command.in_fresh_process", stand_in)
    words = ["--data.num_features=100", "--size", "800:4", "--size", "900:6", "--page", str(tmp_path / "page.md")]
    assert main(["benchmark", "scale", "--cell", "synthetic/gcn/*p32", *words]) == 0
    page = (tmp_path / "page.md").read_text()
    assert "--cell 'synthetic/gcn/*p32' --data.num_features=100 --size 800:4 --size 900:6 --threads 1" in page
    assert "| synthetic/gcn/fp32 | 800 nodes, 9 edges, 4 parts | 900 nodes, 9 edges, 6 parts |" in page


@pytest.mark.parametrize("size", ["5", "5:x", "0:3", ":"])
def test_a_size_is_two_counts(refused: Any, size: str) -> None:
    told = refused("benchmark", "scale", "--cell", "synthetic/gcn/fp32", "--size", size)
    assert f"--size: expected two whole numbers from 1 on, as in 9000:9, got {size!r}" in told
