"""Two processes train one run: gloo on the CPU, started by the command a user types."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.main import main
from app.config.checkpoints import read_checkpoint
from app.runs.loading import load_run
from app.runs.run_folder import Run
from tests.app.runs.test_resume import assert_equal_bits

NETWORK = "digits/gcn_factored"
CELL = f"{NETWORK}/dq_int8"
TWO = ("--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp")
SMALL = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=3", "--model.architecture.hidden=16")
ONE = ("--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.strategy=auto")


@pytest.fixture
def training(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> subprocess.Popen[str]:
    """The first of two processes that train and have saved an epoch."""
    run = Run(tmp_path / CELL / "seed=0")
    words = ("fit", "--cell", CELL, "--runs-root", str(tmp_path), "--trainer.enable_progress_bar=false", *TWO)
    process = start("train.py", *words, *SMALL[1:], "--trainer.max_epochs=100000")
    while not run.last_checkpoint.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process


@pytest.mark.slow
def test_sigterm_ends_both_processes_with_one_line(training: subprocess.Popen[str], tmp_path: Path) -> None:
    training.terminate()
    out, err = training.communicate()  # ends when both have
    assert (training.returncode, out) == (130, "")
    assert err.splitlines() == ["stopped; the same command continues from the last finished epoch"]
    assert Run(tmp_path / CELL / "seed=0").progress == "begun"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for the second process in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_ends_is_one_line_on_the_other(
    number: signal.Signals, training: subprocess.Popen[str], tmp_path: Path
) -> None:
    (second,) = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
    os.kill(int(second), number)
    out, err = training.communicate()
    assert out == ""
    (told,) = err.splitlines()
    assert "ended or is silent" in told or "terminated with code" in told
    code = 1 if told.startswith("error: ") else -signal.SIGKILL  # Lightning ends who is slow
    assert training.returncode == code
    assert Run(tmp_path / CELL / "seed=0").progress == "begun"


@pytest.mark.slow
def test_two_processes_that_were_stopped_end_with_the_bits_of_two_that_were_not(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    runs = [Run(tmp_path / name / CELL / "seed=0") for name in ("whole", "stopped")]
    words = ("fit", "--cell", CELL, "--trainer.enable_progress_bar=false", *TWO, *SMALL[1:], "--trainer.max_epochs=30")
    whole, stopped = (start("train.py", *words, "--runs-root", str(tmp_path / name)) for name in ("whole", "stopped"))
    while not runs[1].last_checkpoint.exists():
        assert stopped.poll() is None, stopped.communicate()
        time.sleep(0.01)
    stopped.terminate()
    stopped.communicate()
    assert (stopped.returncode, runs[1].progress) == (130, "begun")
    assert 0 <= read_checkpoint(runs[1].last_checkpoint)["epoch"] < 29
    resumed = start("train.py", *words, "--runs-root", str(tmp_path / "stopped"))
    for process in (whole, resumed):
        said = process.communicate()
        assert process.returncode == 0, said
    one, other = (read_checkpoint(run.last_checkpoint) for run in runs)
    for key in ("epoch", "global_step", "state_dict", "optimizer_states"):
        assert_equal_bits(one[key], other[key])
    assert runs[0].read_result()["metrics"] == runs[1].read_result()["metrics"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "scheme", "more"),
    [
        (NETWORK, "dq_int8", ()),
        (NETWORK, "distil_int8", ()),
        ("synthetic/gcn", "dq_int8", ("--data.parts=9", "--data.parts_per_step=2")),
    ],
    ids=["graphs", "distilled", "one_graph_in_parts"],
)
def test_two_processes_train_one_run_and_measure_what_one_process_measures(
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    network: str,
    scheme: str,
    more: tuple[str, ...],
) -> None:
    """No sample is counted twice: the metrics of both together are those of a process that sees all samples.

    A distilled run begins with an FP32 one, which every process has for a teacher.
    """
    cell = f"{network}/{scheme}"
    small = ("--runs-root", str(tmp_path), "--trainer.enable_progress_bar=false", *SMALL, *more)
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
    rows = sum(getattr(batch, "num_graphs", batch.num_nodes) for batch in data.predict_dataloader())
    assert run.read_result()["exactness"]["predictions"] == rows, "of both processes"
