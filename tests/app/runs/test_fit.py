from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.cli.main import main
from app.config.checkpoints import read_checkpoint
from app.config.settings import read_yaml
from app.runs.run_folder import Run

CELL = "synthetic/gcn/dq_int8"
Train = Callable[..., Run]


def test_a_finished_run_has_its_files_and_says_what_it_measured(dq_run: Run) -> None:
    result = dq_run.read_result()
    assert (result["cell"], result["seed"], result["epochs"]) == (CELL, 3, 12)
    assert 0 <= result["epoch"] < 12
    assert result["versions"]["torch"] == torch.__version__
    assert result["versions"]["python"] == platform.python_version()
    assert result["revision"] is None or len(result["revision"].removesuffix("-dirty")) == 40
    assert result["durations"]["fit"] > 0
    assert result["durations"]["evaluate"] > 0
    assert result["durations"]["resumed"] is False
    exact = result["exactness"]
    assert exact["codes"] > 300 * 16
    assert exact["predictions"] == 300
    assert exact["codes_differing"] <= exact["codes"] / 10_000
    assert exact["largest_difference"] <= 1
    assert exact["margin_violations"] == 0
    for path in (dq_run.config, dq_run.last_checkpoint, dq_run.best_checkpoint, dq_run.program, dq_run.board):
        assert path.exists()


def test_metrics_are_fractions_of_whole_nodes_and_what_test_prints(
    dq_run: Run, trained_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = dq_run.read_result()["metrics"]
    for stage, nodes in (("val", 60), ("test", 80)):
        hits = metrics[f"{stage}/accuracy"] * nodes
        assert 0 <= hits <= nodes
        assert math.isclose(hits, round(hits), abs_tol=1e-4)
        command = {"val": "validate", "test": "test"}[stage]
        assert main([command, "--cell", CELL, "--seed", "3", "--runs-root", str(trained_root)]) == 0
        row = capsys.readouterr().out.splitlines()[-2]
        assert f" {metrics[f'{stage}/accuracy']:.4f} " in row
        assert f" {metrics[f'{stage}/loss']:.4f} " in row


def test_fp32_has_no_exactness_and_no_program(fp32_run: Run) -> None:
    assert fp32_run.read_result()["exactness"] is None
    assert not fp32_run.program.exists()


def test_the_best_checkpoint_is_of_the_first_epoch_with_the_best_validation(dq_run: Run) -> None:
    log = EventAccumulator(str(dq_run.board)).Reload()
    accuracies = [event.value for event in log.Scalars("val/accuracy")][:12]
    epoch = accuracies.index(max(accuracies))
    assert read_checkpoint(dq_run.best_checkpoint)["epoch"] == dq_run.read_result()["epoch"] == epoch
    assert dq_run.read_result()["metrics"]["val/accuracy"] == pytest.approx(max(accuracies))


def test_tensorboard_holds_curves_learning_rate_and_ranges(dq_run: Run) -> None:
    log = EventAccumulator(str(dq_run.board)).Reload()
    tags = set(log.Tags()["scalars"])
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy"} <= tags
    rates = [event.value for event in log.Scalars("lr-Adam/weights")]
    assert len(rates) >= 12
    assert rates == pytest.approx([0.01] * len(rates))
    losses = [event.value for event in log.Scalars("train/loss")]
    assert len(losses) == 12
    assert losses[-1] < losses[0]
    for kind in ("scale", "zero_point", "clipped"):
        assert any(tag.startswith(f"{kind}/convs.") for tag in tags), kind
    assert all(event.value > 0 for tag in tags if tag.startswith("scale/") for event in log.Scalars(tag))
    assert any(tag.startswith("weights/") for tag in log.Tags()["histograms"])


def test_seeds_make_different_runs_and_one_command_makes_several(
    small: Callable[..., list[str]], tmp_path: Path
) -> None:
    assert main(["fit", "--cell", CELL, "--seed", "0-1", "--runs-root", str(tmp_path), *small(1)]) == 0
    zero, one = (read_checkpoint(Run(tmp_path / CELL / f"seed={k}").last_checkpoint)["state_dict"] for k in (0, 1))
    assert not torch.equal(zero["network.convs.0.weight"], one["network.convs.0.weight"])


def test_export_to_another_place_writes_the_same_program(
    dq_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    target = tmp_path / "new" / "place"
    assert main(["export", "--run", str(dq_run.directory), "--output", str(target), "--float64"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed.splitlines()[-1]) == dq_run.read_result()["exactness"]
    for pair in ("in float64 / trained in float32", "program / trained in float32", "program / in float64"):
        assert f"│ {pair} " in printed
    for path in dq_run.program.iterdir():
        assert (target / path.name).read_bytes() == path.read_bytes()


def test_checkpoint_and_program_of_an_exact_run_predict_the_same(
    dq_run: Run, trained_root: Path, small: Callable[..., list[str]], tmp_path: Path
) -> None:
    assert dq_run.read_result()["exactness"]["codes_differing"] == 0
    words = ["predict", "--cell", CELL, "--seed", "3", "--runs-root", str(trained_root), *small()]
    tables = []
    for name, more in (("checkpoint", []), ("program", ["--program", str(dq_run.program)])):
        path = tmp_path / "new" / f"{name}.csv"
        assert main([*words, "--output", str(path), *more]) == 0
        tables.append(path.read_text())
    assert tables[0] == tables[1]
    header, *rows = (line.split(",") for line in tables[0].splitlines())
    assert header == ["node", "class", *(f"logit_{i}" for i in range(7))]
    assert [int(row[0]) for row in rows] == list(range(300))
    for row in rows:
        logits = [float(value) for value in row[2:]]
        assert logits[int(row[1])] == max(logits)


def test_the_config_of_a_run_is_the_printed_one(
    dq_run: Run, small: Callable[..., list[str]], trained_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--cell", CELL, "--seed", "3", "--runs-root", str(trained_root), *small()]
    capsys.readouterr()
    assert main(["fit", *words, "--print_config"]) == 0
    printed, kept = yaml.safe_load(capsys.readouterr().out), read_yaml(dq_run.config, "")
    kept["trainer"].pop("default_root_dir")
    printed["trainer"].pop("default_root_dir")
    assert printed == kept
