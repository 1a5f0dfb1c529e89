"""Run folders: where a run lives, what is in it, and how it is loaded again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.config.settings import read_yaml
from app.engine.files import write_atomically
from app.errors import UserError
from app.runs.claims import held, hold

RESULT_KEYS = {"cell", "seed", "metrics", "epoch", "exactness"}
"""What every result has; a file without them is not one."""


State = Literal["open", "running", "finished", "failed"]


@dataclass(frozen=True)
class Run:
    """A run's folder `<runs-root>/<dataset>/<architecture>/<scheme>/seed=<k>` and the files in it."""

    directory: Path

    @classmethod
    def of(cls, root: Path, name: str, seed: int) -> Run:
        """That of a seed of `name` (`dataset/architecture/scheme`, with `+variant` where there is one)."""
        return cls(root / name / f"seed={seed}")

    def root(self, name: str) -> Path:
        """The runs' root, below which this is the folder of a seed of `name`."""
        return self.directory.parents[len(Path(name).parts)]

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.directory / "config.yaml"

    @property
    def result(self) -> Path:
        """Written last, atomically: it marks the run as finished."""
        return self.directory / "result.json"

    @property
    def failure(self) -> Path:
        """Why the run came to no result; written atomically, removed by the next attempt."""
        return self.directory / "failure.json"

    @property
    def last_checkpoint(self) -> Path:
        """After the last finished epoch."""
        return self.directory / "checkpoints" / "last.ckpt"

    @property
    def best_checkpoint(self) -> Path:
        """After the epoch with the best validation metric."""
        return self.directory / "checkpoints" / "best.ckpt"

    @property
    def program(self) -> Path:
        """The exported integer program."""
        return self.directory / "program"

    @property
    def board(self) -> Path:
        """The TensorBoard log."""
        return self.directory / "tensorboard"

    @property
    def state(self) -> State:
        """How far it is."""
        if self.result.exists():
            return "finished"
        if self.failure.exists():
            return "failed"
        return "running" if held(self.directory) else "open"

    def record_failure(self, problem: Exception) -> None:
        """Writes down why the run came to no result."""
        reason = " ".join(str(problem).split()) or type(problem).__name__
        write_atomically(self.failure, json.dumps({"kind": type(problem).__name__, "reason": reason}) + "\n")

    def read_failure(self) -> str:
        """Why the run came to no result, in one line."""
        try:
            return str(json.loads(self.failure.read_text())["reason"])
        except (ValueError, KeyError, TypeError):
            return f"{self.failure} is damaged"

    def read_result(self) -> dict[str, Any]:
        """What the finished run measured.

        Raises:
            UserError: if the run is not finished, or its result is damaged.
        """
        if not self.result.exists():
            raise UserError(f"{self.directory}: no finished run here (no result.json); train it with `train.py fit`")
        try:
            result = json.loads(self.result.read_text())
        except ValueError:
            result = None
        if not isinstance(result, dict) or not result.keys() >= RESULT_KEYS:
            raise UserError(f"{self.result}: damaged; delete it and give the `fit` command of this run again")
        return result

    def read_config(self) -> dict[str, Any]:
        """The resolved configuration.

        Raises:
            UserError: if it is missing or damaged.
        """
        try:
            settings = read_yaml(self.config, str(self.config))
            if not all(isinstance(settings.get(section), dict) for section in ("trainer", "model", "data")):
                raise UserError(f"{self.config}: not the settings of a run")
        except UserError as error:
            raise UserError(f"{error}; restore the file, or train again with `train.py fit --overwrite`") from None
        return settings

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Holds the run for this process; see `app.claims` for what becomes of it when the process ends.

        Raises:
            TakenError: if another process holds it.
            UserError: if the folder cannot be written.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(hold(self.directory))
            except OSError as error:
                raise UserError(
                    f"{self.directory}: cannot be written ({error.strerror}); give another --runs-root"
                ) from None
            yield


def finished_runs(root: Path) -> Iterator[tuple[Run, dict[str, Any]]]:
    """All finished runs below a folder, in order."""
    for path in sorted(root.glob("**/seed=*/result.json")):
        yield Run(path.parent), Run(path.parent).read_result()
