"""A run that is killed and continued."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from app.cli.main import main
from app.config.checkpoints import read_checkpoint
from app.runs.run_folder import Run
from models.tasks import NodeClassification
from tests.app.processes import fork

CELL = "synthetic/gcn/dq_int8"
Train = Callable[..., Run]


def assert_equal_bits(one: Any, other: Any) -> None:
    """Nested containers of tensors and plain values are equal, and of one type."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal_bits(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal_bits(a, b)
    else:
        assert one == other


@pytest.mark.slow
def test_a_run_killed_twice_ends_bit_for_bit_like_one_that_was_not(
    train: Train, small: Callable[..., list[str]], tmp_path: Path
) -> None:
    """With all that a run can have: masks, tracked ranges, a start and a teacher."""
    epochs, words = 40, ("--init-from", "fp32", "--model.distillation.weight=0.5")
    whole = train(CELL, tmp_path / "whole", *words, epochs=epochs)
    run = Run(tmp_path / "killed" / CELL / "seed=0")
    command = ["fit", "--cell", CELL, "--runs-root", str(tmp_path / "killed"), *small(epochs), *words]
    reached = []
    for saves, delay in ((4, 0.0), (9, 0.011)):
        process = fork(*command)
        kill_after(process, run.last_checkpoint, saves, delay)
        assert not run.result.exists()
        reached.append(read_checkpoint(run.last_checkpoint)["epoch"])
    assert 0 < reached[0] < reached[1] < epochs - 1
    process = fork(*command)
    process.join()
    assert process.exitcode == 0
    assert run.read_result()["durations"]["resumed"] is True
    for name in ("last_checkpoint", "best_checkpoint"):
        mine, reference = read_checkpoint(getattr(run, name)), read_checkpoint(getattr(whole, name))
        for key in ("epoch", "global_step", "state_dict", "optimizer_states"):
            assert_equal_bits(mine[key], reference[key])
    for key in ("metrics", "chosen_epoch", "epochs", "exactness"):
        assert run.read_result()[key] == whole.read_result()[key], key
    for path in whole.program.glob("*.safetensors"):
        assert (run.program / path.name).read_bytes() == path.read_bytes()


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def stop(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that stops a command; Lightning ignores SIGINT from then on, as does a process in the background."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield request.param
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("hook", "call"), [("training_step", 3), ("validation_step", 1), ("test_step", 1)])
def test_a_stopped_run_says_how_it_goes_on_and_does(
    stop: signal.Signals,
    hook: str,
    call: int,
    small: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["fit", "--cell", CELL, "--runs-root", str(tmp_path), *small(4)]
    calls, step, handler = [], getattr(NodeClassification, hook), signal.getsignal(signal.SIGTERM)

    def stopped(*arguments: Any) -> Any:
        calls.append(hook)
        if len(calls) == call:
            signal.raise_signal(stop)
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(NodeClassification, hook, stopped)
        assert main(command) == 130
    assert (
        capsys.readouterr().err.splitlines()[-1] == "stopped; the same command continues from the last finished epoch"
    )
    assert signal.getsignal(signal.SIGTERM) == handler
    assert not Run(tmp_path / CELL / "seed=0").result.exists()
    assert main(command) == 0


def kill_after(process: BaseProcess, checkpoint: Path, saves: int, delay: float) -> None:
    """SIGKILL, a moment after the checkpoint was written for the `saves`th time."""
    seen: set[int] = {stamp(checkpoint)}
    while len(seen) <= saves:
        assert process.is_alive()
        seen.add(stamp(checkpoint))
        time.sleep(0.0005)
    time.sleep(delay)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
