"""Results as runs record them, of a handful of cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.engine.files import write_atomically
from app.runs.run_folder import Run

EXACT = {
    "codes": 1000,
    "codes_differing": 2,
    "largest_difference": 1,
    "predictions": 10,
    "predictions_differing": 1,
    "margin_violations": 0,
}


def build_result(
    cell: str, seed: int, test: float, *, val: float = 0.1, metric: str = "accuracy", **more: Any
) -> dict[str, Any]:
    """What a run of a cell records: its scores on validation and test, and whatever else is given."""
    metrics = {f"val/{metric}": val, f"test/{metric}": test, "test/loss": 1.0}
    return {"cell": cell, "seed": seed, "metrics": metrics, "epoch": 3, "exactness": None, **more}


@pytest.fixture(scope="session")
def make_result() -> Callable[..., dict[str, Any]]:
    """make_result(cell, seed, test, val=..., metric=..., **more)."""
    return build_result


@pytest.fixture(scope="session")
def make_results() -> Callable[..., dict[str, list[dict[str, Any]]]]:
    """make_results({cell: (value of seed 0, of seed 1, ...)}, **more) -> results; validation has the values of test."""

    def build(values: Mapping[str, tuple[float, ...]], **more: Any) -> dict[str, list[dict[str, Any]]]:
        return {
            cell: [build_result(cell, seed, value, val=value, **more) for seed, value in enumerate(of_seeds)]
            for cell, of_seeds in values.items()
        }

    return build


@pytest.fixture(scope="session")
def read_tables() -> Callable[[str], list[list[str]]]:
    """Returns the tables in Markdown as rows: each title a row of one, an empty row behind each table."""

    def rows(text: str) -> list[list[str]]:
        lines = [line for line in text.splitlines() if line and set(line) != {"|", "-"}]
        found: list[list[str]] = []
        for line in lines:
            if line.startswith("**"):
                found += [[]] if found else []
                found.append([line.strip("*")])
            else:
                found.append([cell.strip() for cell in line.strip("|").split("|")])
        return found

    return rows


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of runs.

    0.80, 0.82, 0.87 have mean 0.83 and squared deviations 9 + 1 + 16 = 26: sqrt(26 / 2) = 3.6 %.
    0.79, 0.80, 0.84, 0.09: mean 0.63, squares 256 + 289 + 441 + 2916 = 3902, sqrt(3902 / 3) = 36.1 %.
    """

    def write(cell: str, seed: int, test: float, **more: Any) -> None:
        content = json.dumps(build_result(cell, seed, test, **more))
        write_atomically(Run(tmp_path / cell / f"seed={seed}").result, content)

    for seed, accuracy in enumerate((0.80, 0.82, 0.87)):
        write("cora/gcn/dq_int8", seed, accuracy, exactness={**EXACT, "largest_difference": seed}, bits=8)
    for seed, accuracy in enumerate((0.79, 0.80, 0.84, 0.09)):
        write("cora/gcn/qat_int8", seed, accuracy, bits=8)
    write("cora/gcn/qat_int8+m", 0, 0.5, bits=8)
    write("cora/gcn/fp32", 0, 0.815, bits=32)
    write("reddit_binary/gin/dq_int8", 0, 0.9, data={"name": "REDDIT-BINARY", "substitute": "a half"})
    return tmp_path
