"""Two processes train one run: gloo on the CPU, started by the command a user types."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli import main
from app.export import load_run
from app.runs import Run

CELL = "digits/gcn_factored/dq_int8"
TWO = ("--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp")
ONE = ("--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.strategy=auto")


@pytest.mark.slow
def test_two_processes_train_one_run_and_measure_what_one_process_measures(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No sample is counted twice: the metrics of both together are those of a process that sees all samples."""
    words = ("fit", "--cell", CELL, "--runs-root", str(tmp_path), "--trainer.max_epochs=1")
    process = start("train.py", *words, *TWO, "--trainer.enable_progress_bar=false")
    out, err = process.communicate()
    assert process.returncode == 0, err
    run = Run(tmp_path / CELL / "seed=0")
    metrics = run.read_result()["metrics"]
    assert out.count(f"{CELL} seed 0") == 1  # one of them reports
    assert main(["test", "--cell", CELL, "--runs-root", str(tmp_path), *ONE]) == 0
    measured = capsys.readouterr().out
    assert f"{metrics['test/accuracy']:.4f}" in measured
    assert f"{metrics['test/loss']:.3f}" in measured
    data = load_run(run).datamodule
    data.setup("predict")
    graphs = sum(batch.num_graphs for batch in data.predict_dataloader())
    assert run.read_result()["exactness"]["predictions"] == graphs, "of both processes"
