"""Studies in a PostgreSQL that the tests start, on which several processes work."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ephemeral_port_reserve import reserve

optuna = pytest.importorskip("optuna")

from optuna.trial import FrozenTrial  # noqa: E402

from app.cli.main import main  # noqa: E402
from app.errors import UserError  # noqa: E402
from app.grids import databases  # noqa: E402
from app.grids.studies import WORKER, Storage, opened  # noqa: E402
from tests.app.processes import fork  # noqa: E402

SECRET = "s3cret"
INITDB = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a database, with its password; skipped where no server can be started."""
    pytest.importorskip("psycopg2")
    if INITDB is None:
        pytest.skip("no PostgreSQL here (initdb, pg_ctl)")
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # which PostgreSQL refuses
        try:
            user = {"user": pwd.getpwnam("postgres").pw_uid, "group": pwd.getpwnam("postgres").pw_gid}
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if user:
        os.chown(folder, user["user"], user["group"])
    (folder / "password").write_text(SECRET)
    (folder / "password").chmod(0o644)
    port = reserve()

    def run(program: str, *words: str) -> None:
        command = [str(Path(INITDB).with_name(program)), "-D", str(folder / "data"), *words]
        log = folder / "log"
        with log.open("a") as output:
            subprocess.run(command, check=True, stdout=output, stderr=output, cwd=folder, **user)

    try:
        run("initdb", "-U", "us", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync")
        run("pg_ctl", "-w", "start", "-o", f"-F -p {port} -h 127.0.0.1 -k {folder}")
        yield f"postgresql://us:{SECRET}@127.0.0.1:{port}/postgres"
    finally:
        if (folder / "data/postmaster.pid").exists():
            run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def database(server: str, request: pytest.FixtureRequest) -> str:
    """A database of its own for a test."""
    import psycopg2

    name = f"test{abs(hash(request.node.name))}"
    connection = psycopg2.connect(server)
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return server.removesuffix("postgres") + name


@pytest.fixture
def tune(database: str, small: Callable[..., list[str]], tmp_path: Path) -> Callable[..., list[str]]:
    """The words of `tune` on a study in that database."""

    def words(*, trials: int, epochs: int, output: str = "best.yaml") -> list[str]:
        command = ["tune", "--cell", "synthetic/gcn/qat_int8", "--seed", "0", "--storage", database]
        return [*command, "--trials", str(trials), "--output", str(tmp_path / output), *small(epochs)]

    return words


def trials(url: str) -> list[FrozenTrial]:
    """The trials of the only study in a database."""
    with opened(url) as storage:
        (study,) = storage.backend.get_all_studies() or [None]
        return storage.backend.get_all_trials(study._study_id) if study else []


def is_own(trial: FrozenTrial) -> bool:
    """Whether a trial has the settings of the cell."""
    return trial.params["model.lr"] == 0.01


@pytest.mark.slow
def test_two_processes_try_as_many_as_they_are_told(
    database: str, tune: Callable[..., list[str]], tmp_path: Path
) -> None:
    """They begin together, on a database without tables."""
    both = [fork(*tune(trials=4, epochs=1, output=f"{name}.yaml")) for name in ("a", "b")]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    found = trials(database)
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 4
    assert sum(map(is_own, found)) == 1
    assert len({trial.user_attrs[WORKER] for trial in found}) <= 2
    written = [yaml.safe_load((tmp_path / f"{name}.yaml").read_text()) for name in ("a", "b")]
    assert written[0] == written[1], "both have waited for the last trial"
    assert written[0]["study"]["trials"] == {"complete": 4}


def test_one_process_at_a_time_begins_a_trial(database: str) -> None:
    entered = threading.Event()

    def enter(storage: Storage) -> None:
        with storage.exclusive():
            entered.set()

    with opened(database) as one, opened(database) as other:
        thread = threading.Thread(target=enter, args=(other,))
        with one.exclusive():
            thread.start()
            assert not entered.wait(0.3)
        thread.join()
    assert entered.is_set()


@pytest.mark.slow
def test_the_trial_of_a_killed_process_is_done_again_and_the_password_shown_nowhere(
    database: str,
    tune: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = tune(trials=2, epochs=20)
    killed = fork(*words)
    while not any(trial.state.name == "RUNNING" and WORKER in trial.user_attrs for trial in trials(database)):
        assert killed.is_alive()
    killed.kill()
    killed.join()
    monkeypatch.setattr(databases, "HEARTBEAT", 1)
    assert main(words) == 0
    found = trials(database)
    assert [trial.state.name for trial in found] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert sum(is_own(trial) for trial in found[1:]) == 1, "until the killed one counts as ended, another is run"
    out, err = capsys.readouterr()
    assert sorted(line.split(":")[0] for line in out.splitlines()[:-1]) == ["trial 1", "trial 2", "trial 3"]
    assert SECRET not in out + err + (tmp_path / "best.yaml").read_text()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((SECRET, "wr0ng"), 'password authentication failed for user "us"'),
        (("127.0.0.1", "127.0.0.2"), "Connection refused"),
        (("/postgres", "/nowhere"), 'database "nowhere" does not exist'),
        (("postgresql:", "postgresql+pg8000:"), "no driver for it here"),
        (("postgresql:", "nosql:"), "nosql"),
    ],
    ids=("password", "host", "database", "driver", "dialect"),
)
def test_what_is_wrong_with_a_database_is_one_sentence_without_the_password(
    server: str, change: tuple[str, str], told: str
) -> None:
    with pytest.raises(UserError) as problem, opened(server.replace(*change, 1)):
        pass
    said = str(problem.value)
    assert said.startswith("--storage ")
    assert told in said
    assert "\n" not in said
    assert SECRET not in said
    assert "wr0ng" not in said


def test_a_database_that_ends_in_the_middle_is_one_sentence(server: str) -> None:
    from sqlalchemy.exc import OperationalError

    with (
        pytest.raises(UserError, match=r"^--storage postgresql://us:\*\*\*@.*: gone; the same command continues"),
        opened(server),
    ):
        raise OperationalError("SELECT", {}, Exception("gone"))
