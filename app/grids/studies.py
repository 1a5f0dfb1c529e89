"""Studies of Optuna in a journal file or a database, on which several processes work, through kills and full disks."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, cast
from uuid import uuid4

import optuna
from filelock import FileLock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState

from app.config.settings import differing_settings, first_of
from app.errors import UserError
from app.grids.databases import opened_database
from app.runs.locks import hold, is_held

WORKER = "worker"
"""The attribute of a trial that says which process works on it."""

SETTINGS = "settings"
"""The attribute of a study with the settings of its cell; studies of older versions have none."""


class Storage(Protocol):
    """Where studies are kept, and how the processes that work on them share it.

    Attributes:
        backend: what Optuna takes.
        folder: of this process, for what it trains.
    """

    backend: Any
    folder: Path

    def exclusive(self) -> AbstractContextManager[object]:
        """Returns a block that one process at a time is in: it ends trials of others there, and begins its own."""

    def alive(self, trial: optuna.Trial) -> AbstractContextManager[object]:
        """Returns a block in which others see that this process works on a trial."""

    def end_abandoned(self, study: optuna.Study) -> None:
        """Fails the trials of processes that were killed; called in an exclusive block."""


@contextmanager
def opened(word: str) -> Iterator[Storage]:
    """Opens a storage for this process: a journal file, or the URL of a database.

    Raises:
        UserError: if the file is no journal, or damaged; if the database does not answer, or not to this user.
        OSError: if the file cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # trials that fail are counted
    workers = workers_of(word)
    if workers is None:
        with TemporaryDirectory() as folder, opened_database(word, Path(folder)) as database:
            yield database
        return
    workers.mkdir(parents=True, exist_ok=True)
    lock, own = FileLock(workers / ".lock"), workers / uuid4().hex
    with ExitStack() as stack:
        with lock:
            for other in _folders(workers):
                if not is_held(other):  # of a process that was killed
                    shutil.rmtree(other)
            stack.enter_context(hold(own))
        stack.callback(shutil.rmtree, own, ignore_errors=True)
        yield Journal(Path(word), own, lock)


def workers_of(word: str) -> Path | None:
    """Returns where processes show that they work on the studies of a journal; None: those of a database do not."""
    return None if "://" in word else Path(f"{word}.workers")


def _folders(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.is_dir()]


class Journal:
    """Studies in a file. Beside it, each process at work holds a folder, by whose lock others see that it lives.

    Args:
        path: of the journal.
        folder: of this process.
        lock: that of the journal.
    """

    def __init__(self, path: Path, folder: Path, lock: FileLock) -> None:
        self.folder, self.lock = folder, lock
        try:
            self.backend = JournalStorage(WholeLines(path, lock))
        except (ValueError, KeyError, TypeError) as problem:
            raise UserError(f"--storage {path}: no journal of Optuna, or a damaged one; name another file") from problem

    def exclusive(self) -> AbstractContextManager[object]:
        """Returns a block in which no other process writes the journal."""
        return self.lock

    def alive(self, trial: optuna.Trial) -> AbstractContextManager[object]:
        """Returns an empty block: the folder shows it."""
        return nullcontext()

    def end_abandoned(self, study: optuna.Study) -> None:
        """Fails the trials of processes that are not at work any more."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not is_held(self.folder.with_name(trial.user_attrs[WORKER])):
                study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


class WholeLines(JournalFileBackend):
    """A journal file whose lines are whole: what a write that was cut short left (full disk, kill) goes at the next.

    Args:
        path: of the file.
        lock: that of the journal.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        super().__init__(str(path), cast(Any, WriterLock(path, lock)))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends lines; raises OSError with the name of the file."""
        try:
            super().append_logs(logs)
        except OSError as problem:
            problem.filename = str(self.path)
            raise


class WriterLock:
    """The lock that Optuna takes to write a journal; whoever gets it removes an unfinished line at the end."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path, self.lock = path, lock

    def acquire(self) -> bool:
        """Waits for the lock."""
        self.lock.acquire()
        with self.path.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if file.read() not in (b"", b"\n"):
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Gives the lock up."""
        self.lock.release()


def check_settings_of_study(study: optuna.Study, settings: Mapping[str, Any], word: str) -> None:
    """Keeps with a new study the settings that its cell has besides those that are searched, or compares them.

    Args:
        settings: by dotted name.
        word: the storage, for messages.

    Raises:
        UserError: if the trials of the study are of other settings: a file of the cell was changed since.
    """
    kept = study.user_attrs.get(SETTINGS)
    if kept is None:
        study.set_user_attr(SETTINGS, dict(settings))
        return
    if differing := differing_settings(kept, json.loads(json.dumps(settings))):
        raise UserError(
            f"--storage {word}: the trials of this study have other settings "
            f"({first_of(differing)}): give another --storage, or put the files back"
        )


def open_study(storage: Storage, name: str, mode: str) -> optuna.Study:
    """Returns the study of that name, a new one or the one in the storage.

    Args:
        mode: "max" or "min", whichever is better.
    """
    return optuna.create_study(
        storage=storage.backend,
        study_name=name,
        direction={"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}[mode],
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(constant_liar=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=20),
    )
