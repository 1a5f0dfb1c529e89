"""The checkpoints that every run has."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.callbacks import ModelCheckpoint


class RunCheckpoint(ModelCheckpoint):
    """The checkpoint `best` or `last` of a run.

    A class of its own, so that a `ModelCheckpoint` of the user's beside it neither shares its state nor chooses the
    epoch that is evaluated and exported.
    """

    @property
    def _legacy_state_key(self) -> Any:
        """Where Lightning looks for a state that is not under `state_key`: runs begun with 0.1.0 have it there."""
        return self.state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)
