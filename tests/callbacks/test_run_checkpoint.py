from __future__ import annotations

from pathlib import Path

import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from callbacks.run_checkpoint import RunCheckpoint


def test_its_state_is_not_that_of_a_like_callback_but_that_of_older_versions_is_found() -> None:
    for settings in ({"monitor": "val/accuracy", "mode": "max"}, {"monitor": None}):
        own, other = RunCheckpoint(**settings), ModelCheckpoint(**settings)
        assert own.state_key != other.state_key
        assert own._legacy_state_key == other.state_key


def test_a_moved_run_keeps_its_best_epoch(tmp_path: Path) -> None:
    before, after = (RunCheckpoint(tmp_path / name, filename="best", monitor="val/loss") for name in ("old", "new"))
    best = str(tmp_path / "old" / "best.ckpt")
    before.best_model_score = before.kth_value = torch.tensor(0.5)
    before.best_model_path, before.kth_best_model_path = best, best
    before.best_k_models = {best: torch.tensor(0.5)}
    after.load_state_dict(before.state_dict())
    assert after.best_model_path == after.kth_best_model_path == str(tmp_path / "new" / "best.ckpt")
    assert after.best_k_models == {after.best_model_path: torch.tensor(0.5)}
    assert after.best_model_score == after.kth_value == 0.5
