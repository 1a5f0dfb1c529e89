"""Run folders: where a run lives, what is in it, and how it is loaded again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from app.claims import held, hold
from app.cli import UserError
from models.quantization import files

FREE_KEYS = {"root", "cache", "processes", "num_workers", "default_root_dir", "save_dir", "enable_progress_bar",
             "accelerator"}  # fmt: skip
"""Settings that may differ between two calls of the same run: they do not change what is computed."""

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


def write_atomically(path: Path, text: str) -> None:
    """Writes a file so that a reader, or a kill, sees the old content or the new."""
    files.write_atomically(path, text.encode())


def output_file(word: str, option: str = "--output") -> Path:
    """The file that an option names.

    Raises:
        UserError: if it is a folder.
    """
    if Path(word).is_dir():
        raise UserError(f"{option} {word}: is a folder; name a file")
    return Path(word)


def read_yaml(path: Path, name: str) -> dict[str, Any]:
    """The mapping in a YAML file, called `name` in messages.

    Raises:
        UserError: if there is no such file, or it holds anything else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(f"{name}: not valid YAML: {line}{error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UserError(f"{name}: not a text file in UTF-8") from None
    if not isinstance(content, dict):
        raise UserError(f"{name}: expected settings (`model: ...`), got {type(content).__name__}")
    return content


def differing_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Settings in which two resolved configurations differ, as `key: old -> new`."""
    before, after = dict(leaves(old)), dict(leaves(new))
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and key.rsplit(".", 1)[-1] not in FREE_KEYS
    ]


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every single setting of a nested configuration, by its dotted name."""
    if isinstance(node, (dict, list)) and node:
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def finished_runs(root: Path) -> Iterator[tuple[Run, dict[str, Any]]]:
    """All finished runs below a folder, in order."""
    for path in sorted(root.glob("**/seed=*/result.json")):
        yield Run(path.parent), Run(path.parent).read_result()
