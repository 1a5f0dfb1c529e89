from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from app.config.checkpoints import AtomicCheckpointIO, read_checkpoint
from app.runs.loading import load_run
from app.runs.run_folder import Run


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
