from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

optuna = pytest.importorskip("optuna")

from filelock import FileLock  # noqa: E402

from app.errors import UserError  # noqa: E402
from app.grids.studies import WORKER, Storage, WholeLines, open_study, opened  # noqa: E402
from app.grids.trials import optimize  # noqa: E402
from callbacks.stopping import DivergedError  # noqa: E402

OWN = {"x": 0.25}

WORKING = """
import sys, time
from app.grids.studies import WORKER, open_study, opened
with opened(sys.argv[1]) as storage:
    study = open_study(storage, "s", "max")
    study.enqueue_trial({"x": 0.25})
    trial = study.ask()
    trial.set_user_attr(WORKER, storage.folder.name)
    trial.suggest_float("x", 0, 1)
    print(storage.folder, flush=True)
    time.sleep(600)
"""
"""A process that has begun the first trial."""


def objective(trial: Any) -> float:
    return float(trial.suggest_float("x", 0, 1))


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_a_full_disk_leaves_of_a_line_goes_at_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = WholeLines(path, FileLock(tmp_path / "lock"))
    journal.append_logs([{"number": 1}])
    whole = path.read_bytes()
    with files_of_at_most(len(whole) + 30), pytest.raises(OSError, match="journal"):
        journal.append_logs([{"number": 2}, {"number": 3, "long": "x" * 100}])
    assert len(path.read_bytes()) == len(whole) + 30, "a line and a part of one"
    journal.append_logs([{"number": 4}])
    assert list(WholeLines(path, FileLock(tmp_path / "lock")).read_logs(0)) == [{"number": n} for n in (1, 2, 4)]


def test_a_first_line_cut_short_goes_too(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text('{"number"')
    journal = WholeLines(tmp_path / "journal", FileLock(tmp_path / "lock"))
    journal.append_logs([{"number": 1}])
    assert list(journal.read_logs(0)) == [{"number": 1}]


@pytest.mark.parametrize("content", ['{"op_code":0\n{}\n', "[]\n{}\n", '{"op_code":0}\n{}\n', "\0\n\n"])
def test_what_is_no_journal_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "journal").write_text(content)
    with (
        pytest.raises(UserError, match=r"--storage .*journal: no journal of Optuna"),
        opened(str(tmp_path / "journal")),
    ):
        pass


@pytest.fixture
def worker(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> Iterator[subprocess.Popen[str]]:
    process = start("-c", WORKING, str(tmp_path / "journal"))
    assert process.stdout is not None
    assert Path(process.stdout.readline().strip()).is_dir()
    yield process
    process.kill()
    process.communicate()


def trials(storage: Storage) -> list[tuple[str, dict[str, float]]]:
    return [(trial.state.name, trial.params) for trial in open_study(storage, "s", "max").trials]


def run(storage: Storage, number: int, of: Callable[[Any], float] = objective) -> None:
    optimize(open_study(storage, "s", "max"), storage, of, own=OWN, trials=number)


def test_trials_of_killed_processes_are_ended_and_the_cell_s_own_settings_tried_first(
    tmp_path: Path, worker: subprocess.Popen[str]
) -> None:
    worker.kill()
    worker.wait()
    with opened(str(tmp_path / "journal")) as storage:
        run(storage, 2)
        first, second, third = trials(storage)
        assert [path.name for path in storage.folder.parent.iterdir() if path.is_dir()] == [storage.folder.name]
    assert first == ("FAIL", OWN)
    assert second == ("COMPLETE", OWN)
    assert third[0] == "COMPLETE"
    assert third[1] != OWN
    assert not any(path.is_dir() for path in (tmp_path / "journal.workers").iterdir())


def test_trials_of_processes_at_work_are_left_to_them_until_they_are_killed(
    tmp_path: Path, worker: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, dict[str, float]]] = []

    def kill_instead_of_waiting(_seconds: float) -> None:
        seen.extend(trials(storage))
        worker.kill()
        worker.wait()

    monkeypatch.setattr("app.grids.trials.time.sleep", kill_instead_of_waiting)
    with opened(str(tmp_path / "journal")) as storage:
        run(storage, 2)
        ended = [state for state, _ in trials(storage)]
    (first, own), (second, other) = seen
    assert (first, own, second) == ("RUNNING", OWN, "COMPLETE"), "the last of two trials is the other process's"
    assert other != OWN
    assert ended == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_trial_of_nobody_is_ended_where_nobody_else_is_at_work(tmp_path: Path) -> None:
    with opened(str(tmp_path / "journal")) as storage:
        open_study(storage, "s", "max").ask()
        run(storage, 1)
        assert [state for state, _ in trials(storage)] == ["FAIL", "COMPLETE"]


def test_trials_that_diverge_count_and_those_that_were_stopped_do_not(tmp_path: Path) -> None:
    def diverges(trial: Any) -> float:
        objective(trial)
        raise DivergedError("loss")

    def stopped(trial: Any) -> float:
        objective(trial)
        raise KeyboardInterrupt

    with opened(str(tmp_path / "journal")) as storage:
        with pytest.raises(KeyboardInterrupt):
            run(storage, 1, stopped)
        run(storage, 1, diverges)
        run(storage, 2)
        assert [state for state, _ in trials(storage)] == ["FAIL", "FAIL", "COMPLETE"]
        assert [params == OWN for _, params in trials(storage)] == [True, True, False]


def test_a_database_holds_studies_too(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path / 'studies.db'}") as storage:
        run(storage, 2)
        assert [params == OWN for _, params in trials(storage)] == [True, False]
        assert open_study(storage, "s", "max").trials[0].user_attrs[WORKER] == storage.folder.name
    assert not storage.folder.exists()
