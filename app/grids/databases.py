"""Studies of Optuna in a database, on which processes of several hosts work."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, fail_stale_trials
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, ProgrammingError, SQLAlchemyError

from app.cli.process import meanwhile
from app.errors import UserError

HEARTBEAT = 30
"""Seconds between signs of life; after four without one, a trial counts as abandoned."""

PATIENCE = "10"
"""Seconds for which a PostgreSQL is tried that does not answer, unless the environment says otherwise."""

ATTEMPTS = 5
"""To find the tables there, while other processes make them."""

LOCK = text("SELECT version_info_id FROM version_info FOR UPDATE")
"""Locks a row that all processes see and Optuna reads alone; the server ends the lock of a process that ends."""


@contextmanager
def opened_database(url: str, folder: Path) -> Iterator[Database]:
    """Opens a database during the block.

    Args:
        folder: of this process, for what it trains.

    Raises:
        UserError: if it is none, has no driver here, does not answer, or not to this user; also later in the block.
    """
    try:
        database = Database(connect(url), folder)
    except ImportError as problem:
        raise UserError(
            f"--storage {without_password(url)}: no driver for it here ({problem.__cause__ or problem}); "
            "that of PostgreSQL comes with python -m pip install -e '.[cluster]'"
        ) from None
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as problem:
        raise UserError(f"--storage {without_password(url)}: {reason(problem)}") from None
    try:
        yield database
    except (SQLAlchemyError, StorageInternalError) as problem:
        raise UserError(
            f"--storage {without_password(url)}: {reason(problem)}; the same command continues the study"
        ) from problem
    finally:
        database.backend.engine.dispose()


def connect(url: str) -> RDBStorage:
    """Connects to a database, and makes the tables of Optuna there if it has none."""
    os.environ.setdefault("PGCONNECT_TIMEOUT", PATIENCE)
    parsed = make_url(url)
    if parsed.drivername == "postgresql":  # whose usual driver depends on the version of SQLAlchemy
        url = parsed.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return RDBStorage(
                    url,
                    engine_kwargs={"pool_pre_ping": True},
                    heartbeat_interval=HEARTBEAT,
                    grace_period=4 * HEARTBEAT,
                )
        except (IntegrityError, ProgrammingError):  # another process was faster
            if attempt == ATTEMPTS:
                raise
            time.sleep(0.2 * attempt)
    raise AssertionError


def without_password(url: str) -> str:
    """Returns a URL as it may be shown."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return re.sub(r"//.*@", "//***@", url)


def reason(problem: Exception) -> str:
    """Returns in one line why a database refused something, as its driver says it."""
    problem = problem.__cause__ if isinstance(problem.__cause__, SQLAlchemyError) else problem
    said = " ".join(str(getattr(problem, "orig", None) or problem).split())
    return said.partition(" (Background on this error")[0]


class Database:
    """Studies in a database. A process at work on a trial gives signs of life there.

    Args:
        backend: what Optuna takes.
        folder: of this process, for what it trains.
    """

    def __init__(self, backend: RDBStorage, folder: Path) -> None:
        self.backend, self.folder = backend, folder

    def exclusive(self) -> AbstractContextManager[object]:
        """Returns a block that one process at a time is in."""
        engine = self.backend.engine
        if engine.dialect.name == "sqlite":  # has no locks of rows
            return FileLock(f"{engine.url.database or self.folder / 'memory'}.lock")
        return self._row_locked()

    @contextmanager
    def _row_locked(self) -> Iterator[None]:
        with self.backend.engine.begin() as connection:
            connection.execute(LOCK)
            yield

    @contextmanager
    def alive(self, trial: optuna.Trial) -> Iterator[None]:
        """Gives signs of life for a trial during the block, the first one before it."""
        number = trial._trial_id
        self.backend.record_heartbeat(number)

        def give_sign() -> None:
            with suppress(SQLAlchemyError, StorageInternalError):  # the next one may come through
                self.backend.record_heartbeat(number)

        with meanwhile(give_sign, every=HEARTBEAT):
            yield

    def end_abandoned(self, study: optuna.Study) -> None:
        """Fails the trials that have given no sign of life for a while."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            fail_stale_trials(study)
