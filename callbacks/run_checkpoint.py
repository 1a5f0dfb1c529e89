"""The checkpoints that every run has."""

from __future__ import annotations

from pathlib import Path
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

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes files for those in the folder where the run is now: Lightning forgets the best epoch of a moved run."""
        super().load_state_dict(self._here(state_dict))

    def _here(self, state: dict[str, Any]) -> dict[str, Any]:
        def moved(path: str) -> str:
            return str(Path(self.dirpath or "", Path(path).name)) if path else path

        paths = {key: moved(path) for key, path in state.items() if key.endswith("_path")}
        best = {moved(path): score for path, score in state.get("best_k_models", {}).items()}
        return {**state, **paths, "best_k_models": best, "dirpath": self.dirpath}
