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
def begin(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts two processes that train so many epochs in a folder of their own."""

    def training(name: str, epochs: int) -> subprocess.Popen[str]:
        words = (
            "fit",
            "--cell",
            CELL,
            "--runs-root",
            str(tmp_path / name),
            "--trainer.enable_progress_bar=false",
            *TWO,
        )
        return start("train.py", *words, *SMALL[1:], f"--trainer.max_epochs={epochs}")

    return training


def wait_for_an_epoch(run: Run, process: subprocess.Popen[str]) -> None:
    while not run.last_checkpoint.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.slow
def test_sigterm_ends_both_processes_with_one_line_and_they_go_on_bit_for_bit(
    begin: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    runs = [Run(tmp_path / name / CELL / "seed=0") for name in ("whole", "stopped")]
    stopped = begin("stopped", 8)
    wait_for_an_epoch(runs[1], stopped)
    stopped.terminate()
    out, err = stopped.communicate()  # ends when both have
    assert (stopped.returncode, out) == (130, "")
    assert err.splitlines() == ["stopped; the same command continues from the last finished epoch"]
    assert runs[1].progress == "begun"
    assert 0 <= read_checkpoint(runs[1].last_checkpoint)["epoch"] < 7
    for process in (begin("whole", 8), begin("stopped", 8)):
        said = process.communicate()
        assert process.returncode == 0, said
    one, other = (read_checkpoint(run.last_checkpoint) for run in runs)
    for key in ("epoch", "global_step", "state_dict", "optimizer_states"):
        assert_equal_bits(one[key], other[key])
    assert runs[0].read_result()["metrics"] == runs[1].read_result()["metrics"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for the second process in /proc")
def test_a_process_that_ends_is_one_line_on_the_other(
    begin: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    training, run = begin("killed", 100_000), Run(tmp_path / "killed" / CELL / "seed=0")
    wait_for_an_epoch(run, training)
    (second,) = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
    os.kill(int(second), signal.SIGTERM)  # which Lightning would handle, and hang
    out, err = training.communicate()
    assert out == ""
    (told,) = err.splitlines()
    assert "ended or is silent" in told or "terminated with code" in told
    code = 1 if told.startswith("error: ") else -signal.SIGKILL  # Lightning ends who is slow
    assert training.returncode == code
    assert run.progress == "begun"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "scheme", "more"),
    [
        (NETWORK, "distil_int8", ()),
        ("synthetic/gcn", "dq_int8", ("--data.parts=9", "--data.parts_per_step=2")),
    ],
    ids=["graphs_distilled", "one_graph_in_parts"],
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
