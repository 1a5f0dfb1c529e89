from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.benchmarks.training import fp32_of
from app.cli.main import main
from tests.fake_gpu import fake_gpu


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory, small: Callable[..., list[str]]) -> dict[str, Any]:
    """What the command writes for two cells with sparse features."""
    path: Path = tmp_path_factory.mktemp("training") / "figures.json"
    cells = ["--cell", "synthetic/gcn/fp32", "--cell", "synthetic/gcn/dq_int8"]
    assert main(["benchmark", "training", *cells, "--steps", "2", "--output", str(path), *small()]) == 0
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_sparse_features_are_timed_dense_too(figures: dict[str, Any]) -> None:
    cells = [(row["cell"], row["features"]) for row in figures["steps"]]
    names = ("synthetic/gcn/fp32", "synthetic/gcn/dq_int8")
    assert cells == [(name, form) for name in names for form in ("sparse", "dense")]


def test_steps_are_compared_with_fp32_on_the_same_features(figures: dict[str, Any]) -> None:
    rows = {(row["cell"], row["features"]): row for row in figures["steps"]}
    for (name, form), row in rows.items():
        assert row["ratio"] == row["median"] / rows[fp32_of(name), form]["median"]
        assert row["epoch_seconds"] == row["median"] / 1000  # one batch


def test_the_fake_quantizer_is_compared_with_torch(figures: dict[str, Any]) -> None:
    reference, ours = figures["fake_quantize"]
    assert (reference["name"], reference["ratio"]) == ("torch.fake_quantize_per_tensor_affine", 1.0)
    assert ours["ratio"] == reference["median"] / ours["median"]


def test_figures_say_on_how_many_threads(figures: dict[str, Any]) -> None:
    assert figures["threads"] == 1
    assert figures["processor"]


def test_steps_run_on_a_gpu_where_there_is_one(
    tmp_path: Path, small: Callable[..., list[str]], refused: Callable[..., str]
) -> None:
    words = ("benchmark", "training", "--cell", "synthetic/gcn/fp32", "--steps", "2", "--device", "cuda", *small())
    assert refused(*words).startswith("--device cuda: torch finds no GPU with CUDA here")
    path = tmp_path / "figures.json"
    with fake_gpu():
        assert main([*words, "--output", str(path)]) == 0
    content = json.loads(path.read_text())
    assert content["device"] == "cuda (Fake GPU)"
    assert {row["features"] for row in content["steps"]} == {"sparse", "dense"}
