"""Run folders: where the folder of a run is, which files are in it, and how they are read and written."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.config.settings import read_yaml
from app.engine.files import unfinished, write_atomically
from app.errors import UserError
from app.runs.locks import hold, is_held
from app.runs.result import Fingerprint, Result, is_fingerprint, is_result

Progress = Literal["new", "begun", "finished"]
"""What a run can continue from: nothing, the checkpoint of its last finished epoch, or its result."""

State = Literal["open", "running", "finished", "failed"]
"""What a run waits for: a process, the process that holds it, nothing, or `--retry-failed`."""


@dataclass(frozen=True)
class Run:
    """A run's folder `<runs-root>/<dataset>/<architecture>/<scheme>/seed=<k>` and the files in it."""

    directory: Path

    @classmethod
    def of(cls, root: Path, name: str, seed: int) -> Run:
        """Returns the run of a seed of `name` (`dataset/architecture/scheme`, with `+variant` where there is one)."""
        return cls(root / name / f"seed={seed}")

    def root(self, name: str) -> Path:
        """Returns the root folder of all runs, given the `name` of this one (the inverse of `of`)."""
        return self.directory.parents[len(Path(name).parts)]

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.directory / "config.yaml"

    @property
    def result(self) -> Path:
        """The result; written last and atomically, so it marks the run as finished."""
        return self.directory / "result.json"

    @property
    def failure(self) -> Path:
        """Why the run has no result; written atomically, removed by the next attempt that gives one."""
        return self.directory / "failure.json"

    @property
    def last_checkpoint(self) -> Path:
        """The checkpoint after the last finished epoch."""
        return self.directory / "checkpoints" / "last.ckpt"

    @property
    def best_checkpoint(self) -> Path:
        """The checkpoint after the epoch with the best validation metric."""
        return self.directory / "checkpoints" / "best.ckpt"

    @property
    def program(self) -> Path:
        """The exported integer program."""
        return self.directory / "program"

    @property
    def data(self) -> Path:
        """The fingerprint of the data that the run reads; runs of older versions have none."""
        return self.directory / "data.json"

    @property
    def start(self) -> Path:
        """A hash of the weights that the run began with; without `init_from`, and in older versions, there is none."""
        return self.directory / "start.json"

    @property
    def board(self) -> Path:
        """The TensorBoard log."""
        return self.directory / "tensorboard"

    def owns(self, path: Path) -> bool:
        """Whether a run lies in the folder, and a path is one of its own, or in one of its own folders."""
        checkpoints = self.last_checkpoint.parent
        if not self.config.is_file() or not (self.result.is_file() or checkpoints.is_dir()):
            return False
        own = (self.config, self.result, self.failure, self.data, self.start, checkpoints, self.program, self.board)
        return any(path.is_relative_to(part) for part in own)

    @property
    def progress(self) -> Progress:
        """How much of the run is there to continue from."""
        if self.result.exists():
            return "finished"
        return "begun" if self.last_checkpoint.exists() else "new"

    @property
    def state(self) -> State:
        """Whether the run is done, and if not, whether a process works on it."""
        if self.result.exists():
            return "finished"
        if self.failure.exists():
            return "failed"
        return "running" if is_held(self.directory) else "open"

    def write_failure(self, problem: Exception) -> None:
        """Writes down why the run has no result."""
        reason = " ".join(str(problem).split()) or type(problem).__name__
        write_atomically(self.failure, json.dumps({"kind": type(problem).__name__, "reason": reason}) + "\n")

    def read_failure(self) -> str:
        """Returns in one line why the run has no result."""
        try:
            return str(json.loads(self.failure.read_text(encoding="utf-8"))["reason"])
        except (ValueError, KeyError, TypeError):
            return f"{self.failure} is damaged"

    def write_result(self, result: Result) -> None:
        """Writes the result, which marks the run as finished."""
        write_atomically(self.result, json.dumps(result, indent=2) + "\n")

    def read_result(self) -> Result:
        """Returns what the finished run measured.

        Raises:
            UserError: if the run is not finished, or its result is damaged.
        """
        if not self.result.exists():
            raise UserError(f"{self.directory}: no finished run here (no result.json); train it with `train.py fit`")
        try:
            result = json.loads(self.result.read_text(encoding="utf-8"))
        except ValueError:
            result = None
        if not is_result(result):
            raise UserError(f"{self.result}: damaged; delete it and give the `fit` command of this run again")
        return result

    def read_fingerprint(self) -> Fingerprint | None:
        """Returns the fingerprint of the data that the run has read; None if none was kept.

        Raises:
            UserError: if the file is damaged.
        """
        try:
            content = json.loads(self.data.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            content = None
        if not is_fingerprint(content):
            raise UserError(f"{self.data}: damaged; train again with `train.py fit --overwrite`")
        return content

    def read_start(self) -> str | None:
        """Returns the hash of the weights that the run began with; None if none was kept.

        Raises:
            UserError: if the file is damaged.
        """
        try:
            return str(json.loads(self.start.read_text(encoding="utf-8"))["weights"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{self.start}: damaged; train again with `train.py fit --overwrite`") from None

    def read_config(self) -> dict[str, Any]:
        """Returns the resolved configuration.

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
        """Holds the run for this process during the block, and removes what killed writes left in it.

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
            for folder in (self.directory, self.last_checkpoint.parent, self.program):
                for path in unfinished(folder, "*"):
                    path.unlink(missing_ok=True)
            yield


def check_outputs(options: argparse.Namespace, rest: list[str]) -> None:
    """Raises UserError if options say to write where a run has its own files, but for the program of that of --run."""
    named = getattr(options, "run", None)
    program = Run(Path(named)).program.resolve() if isinstance(named, str) else None
    for option, word in options.written:
        path = Path(word).resolve()
        owner = next((folder for folder in path.parents if Run(folder).owns(path)), None)
        if owner is not None and path != program:
            raise UserError(f"{option} {word}: is of the run in {owner}, whose files stay as they are; name another")


def finished_runs(root: Path) -> list[Run]:
    """Returns all finished runs below a folder, in the order of their paths."""
    return [Run(path.parent) for path in sorted(root.glob("**/seed=*/result.json"))]
