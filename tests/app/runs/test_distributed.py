"""Two processes train one run: gloo on the CPU, started by the command a user types."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.main import main
from app.runs.loading import load_run
from app.runs.run_folder import Run

NETWORK = "digits/gcn_factored"
TWO = ("--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp")
SMALL = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=3", "--model.architecture.hidden=16")
ONE = ("--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.strategy=auto")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["dq_int8", "distil_int8"])
def test_two_processes_train_one_run_and_measure_what_one_process_measures(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str], scheme: str
) -> None:
    """No sample is counted twice: the metrics of both together are those of a process that sees all samples.

    A distilled run begins with an FP32 one, which every process has for a teacher.
    """
    cell = f"{NETWORK}/{scheme}"
    small = ("--runs-root", str(tmp_path), "--trainer.enable_progress_bar=false", *SMALL)
    if scheme == "distil_int8":
        assert main(["fit", "--cell", f"{NETWORK}/fp32", *small, *ONE]) == 0
        capsys.readouterr()
    process = start("train.py", "fit", "--cell", cell, *small, *TWO)
    out, err = process.communicate()
    assert process.returncode == 0, err
    run = Run(tmp_path / cell / "seed=0")
    metrics = run.read_result()["metrics"]
    assert out.count(f"{cell} seed 0") == 1  # one of them reports
    assert main(["test", "--cell", cell, "--runs-root", str(tmp_path), *ONE]) == 0
    measured = capsys.readouterr().out
    loss, accuracy = map(float, re.findall(r"\d\.\d{4}", measured))
    assert accuracy == pytest.approx(metrics["test/accuracy"], abs=1e-4)
    assert loss == pytest.approx(metrics["test/loss"], abs=1e-3)
    data = load_run(run).datamodule
    data.setup("predict")
    graphs = sum(batch.num_graphs for batch in data.predict_dataloader())
    assert run.read_result()["exactness"]["predictions"] == graphs, "of both processes"
