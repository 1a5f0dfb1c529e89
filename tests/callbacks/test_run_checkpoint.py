from __future__ import annotations

from pytorch_lightning.callbacks import ModelCheckpoint

from callbacks.run_checkpoint import RunCheckpoint


def test_its_state_is_not_that_of_a_like_callback_but_that_of_older_versions_is_found() -> None:
    for settings in ({"monitor": "val/accuracy", "mode": "max"}, {"monitor": None}):
        own, other = RunCheckpoint(**settings), ModelCheckpoint(**settings)
        assert own.state_key != other.state_key
        assert own._legacy_state_key == other.state_key
