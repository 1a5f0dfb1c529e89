from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from app.config.grids import load_grid
from app.errors import UserError

FP32 = "synthetic/gcn/fp32"


def table(folder: Path, *runs: tuple[str, str, str | None]) -> str:
    """A table of variants: scheme, variant, and what they begin with."""
    entries = [
        {"cells": f"synthetic/gcn/{scheme}", "variant": variant, "overrides": {"init_from": start, "model.lr": 0.5}}
        for scheme, variant, start in runs
    ]
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"entries": entries}))
    return str(path)


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ([("fp32", "b", "fp32+b")], f"init_from: {FP32}+b would begin with its own weights"),
        (
            [("fp32", "c", "dq_int8+c"), ("dq_int8", "c", "fp32+c")],
            f"init_from: {FP32}+c begins with synthetic/gcn/dq_int8+c, synthetic/gcn/dq_int8+c begins with {FP32}+c: ",
        ),
        (
            [("qat_int8", "a", "fp32+b"), ("fp32", "b", "fp32+c"), ("fp32", "c", "fp32+d"), ("fp32", "d", "fp32+b")],
            f"init_from: {FP32}+b begins with {FP32}+c, {FP32}+c begins with {FP32}+d, {FP32}+d begins with {FP32}+b: ",
        ),
    ],
)
def test_runs_that_would_wait_for_one_another_are_refused(
    tmp_path: Path, runs: list[tuple[str, str, str | None]], told: str
) -> None:
    path = table(tmp_path, *runs)
    with pytest.raises(UserError) as refused:
        load_grid(path)
    assert str(refused.value).startswith(f"{path}: {told}")


@pytest.mark.parametrize(
    "runs",
    [
        [("fp32", "b", "fp32")],
        [("fp32", "b", None)],
        [("ptq_int8", "b", "fp32+c"), ("fp32", "c", "runs/synthetic/gcn/ptq_int8+b/seed=0")],
        [("dq_int8", "b", "fp32+c"), ("qat_int8", "b", "fp32+c"), ("fp32", "c", "fp32+of_another_table")],
    ],
)
def test_other_starts_are_taken(tmp_path: Path, runs: list[tuple[str, str, str | None]]) -> None:
    assert len(load_grid(table(tmp_path, *runs)).slots) == len(runs)


def test_a_circle_may_lead_through_the_file_of_a_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scheme").mkdir()
    (tmp_path / "scheme/mine.yaml").write_text("init_from: fp32+b")
    monkeypatch.setenv("DEGREE_QUANT_CONFIGS", str(tmp_path))
    with pytest.raises(UserError, match=r"fp32\+b begins with synthetic/gcn/mine, synthetic/gcn/mine begins with"):
        load_grid(table(tmp_path, ("fp32", "b", "mine")))
