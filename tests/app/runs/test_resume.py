"""What is left of a run when the command is given again: after its end, a kill, damage, other settings."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from app.config.checkpoints import AtomicCheckpointIO, read_checkpoint
from app.config.settings import read_yaml
from app.runs.loading import load_run
from app.runs.run_folder import Run

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


def times(run: Run) -> dict[Path, int]:
    """When each file of a run was written, except for claims on it."""
    files = (path for path in run.directory.rglob("*") if not path.name.startswith(".claim"))
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_finished_run_is_not_repeated(train: Train, tmp_path: Path) -> None:
    run = train(CELL, tmp_path, epochs=2)
    before = times(run)
    train(CELL, tmp_path, epochs=2)
    assert times(run) == before
    state = read_checkpoint(run.last_checkpoint)["state_dict"]
    train(CELL, tmp_path, "--overwrite", epochs=2)
    assert run.result.stat().st_mtime_ns > before[run.result]
    assert_equal_bits(read_checkpoint(run.last_checkpoint)["state_dict"], state)


def test_other_settings_in_the_same_folder_are_refused_naming_the_setting(
    train: Train, refused: Callable[..., str], small: Callable[..., list[str]], tmp_path: Path
) -> None:
    run = train(CELL, tmp_path, epochs=2)
    before = run.result.read_text()
    words = ["fit", "--cell", CELL, "--runs-root", tmp_path, *small(2), "--model.lr", 0.5]
    told = refused(*words)
    assert "model.init_args.lr: 0.01 -> 0.5" in told
    assert "--overwrite" in told
    assert run.result.read_text() == before
    train(CELL, tmp_path, "--model.lr=0.5", "--overwrite", epochs=2)
    assert read_yaml(run.config, "")["model"]["init_args"]["lr"] == 0.5


def test_a_damaged_checkpoint_is_one_line_naming_the_file(
    train: Train, refused: Callable[..., str], small: Callable[..., list[str]], tmp_path: Path
) -> None:
    run = train(CELL, tmp_path, epochs=2)
    fit = ["fit", "--cell", CELL, "--runs-root", tmp_path, *small(2)]
    run.result.unlink()
    for path in (run.last_checkpoint, run.best_checkpoint):
        whole = path.read_bytes()
        for damaged in (b"", b"nonsense", whole[: len(whole) // 2]):
            path.write_bytes(damaged)
            told = refused(*fit)
            assert str(path) in told
            assert "--overwrite" in told
        path.write_bytes(whole)
    run.best_checkpoint.write_bytes(b"nonsense")
    assert str(run.best_checkpoint) in refused("test", "--cell", CELL, "--runs-root", tmp_path)
    run.config.write_text("a: [")
    assert str(run.config) in refused(*fit)
    assert str(run.config) in refused("export", "--run", run.directory)


def test_the_trainer_of_a_run_writes_checkpoints_whole_or_not_at_all(
    dq_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = load_run(dq_run).trainer.strategy.checkpoint_io
    assert isinstance(writer, AtomicCheckpointIO)
    path = tmp_path / "last.ckpt"
    writer.save_checkpoint({"state_dict": {"w": torch.ones(2)}}, path)
    assert list(tmp_path.iterdir()) == [path]

    def killed(source: str, target: str) -> None:
        assert read_checkpoint(Path(source))["state_dict"]["w"][0] == 2
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        writer.save_checkpoint({"state_dict": {"w": 2 * torch.ones(2)}}, path)
    assert read_checkpoint(path)["state_dict"]["w"][0] == 1


@pytest.mark.slow
@pytest.mark.parametrize("cell", [CELL, "synthetic/gcn/distil_int4"])
def test_a_run_killed_twice_ends_bit_for_bit_like_one_that_was_not(
    cell: str,
    train: Train,
    small: Callable[..., list[str]],
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    epochs = 40
    whole = train(cell, tmp_path / "whole", epochs=epochs)
    run = Run(tmp_path / "killed" / cell / "seed=0")
    command = ["train.py", "fit", "--cell", cell, "--runs-root", str(tmp_path / "killed"), *small(epochs)]
    reached = []
    for saves, delay in ((4, 0.0), (9, 0.011)):
        process = start(*command)
        kill_after(process, run.last_checkpoint, saves, delay)
        assert not run.result.exists()
        reached.append(read_checkpoint(run.last_checkpoint)["epoch"])
    assert 0 < reached[0] < reached[1] < epochs - 1
    process = start(*command)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert run.read_result()["durations"]["resumed"] is True
    for name in ("last_checkpoint", "best_checkpoint"):
        mine, reference = read_checkpoint(getattr(run, name)), read_checkpoint(getattr(whole, name))
        for key in ("epoch", "global_step", "state_dict", "optimizer_states"):
            assert_equal_bits(mine[key], reference[key])
    for key in ("metrics", "epoch", "epochs", "exactness"):
        assert run.read_result()[key] == whole.read_result()[key], key
    for path in whole.program.glob("*.safetensors"):
        assert (run.program / path.name).read_bytes() == path.read_bytes()


def kill_after(process: subprocess.Popen[str], checkpoint: Path, saves: int, delay: float) -> None:
    """SIGKILL, a moment after the checkpoint was written for the `saves`th time."""
    seen: set[int] = {stamp(checkpoint)}
    while len(seen) <= saves:
        assert process.poll() is None, process.communicate()[1]
        seen.add(stamp(checkpoint))
        time.sleep(0.0005)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
