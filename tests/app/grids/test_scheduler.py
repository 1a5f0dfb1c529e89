from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from app.config.cells import select
from app.grids.processes import Processes
from app.grids.scheduler import attempt, complete_all
from app.runs.completion import OtherSettingsError
from app.runs.experiment import Experiment
from app.runs.locks import TakenError
from app.runs.run_folder import Run


def test_a_run_begun_meanwhile_with_other_settings_is_left_alone(train: Callable[..., Run], tmp_path: Path) -> None:
    run = train("synthetic/gcn/fp32", tmp_path, epochs=1)
    (cell,) = select("synthetic/gcn/fp32")
    other = Experiment.of_cell(cell, 0, overrides=("--model.lr=0.1",))
    for workers in (1, 2):
        with pytest.raises(OtherSettingsError):
            Processes(workers, threads=1).run(partial(complete_all, [other], tmp_path))
    assert run.state == "finished"
    assert not run.failure.exists()


def test_a_killed_worker_is_one_sentence_and_what_it_left_is_done(
    small: Callable[..., list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def kill_all() -> None:
        while len(workers := multiprocessing.active_children()) < 2:
            time.sleep(0.01)
        for worker in workers:
            worker.kill()

    (cell,) = select("synthetic/gcn/fp32")
    experiment = Experiment.of_cell(cell, 0, overrides=small(1)).quiet()
    killer = threading.Thread(target=kill_all)
    killer.start()
    Processes(2, threads=1).run(partial(complete_all, [experiment], tmp_path))
    killer.join()
    assert experiment.run_in(tmp_path).state == "finished"
    told = "2 of 2 workers were killed (signal 9; memory may have run out): what they left undone is done here"
    assert told in capfd.readouterr().err.splitlines()


def test_a_start_that_another_process_trains_is_waited_for(small: Callable[..., list[str]], tmp_path: Path) -> None:
    (cell,) = select("synthetic/gcn/ptq_int8")
    experiment = Experiment.of_cell(cell, 0, overrides=small(0))
    with Run(tmp_path / "synthetic/gcn/fp32/seed=0").exclusive():
        assert isinstance(attempt(experiment, tmp_path), TakenError)
    assert experiment.run_in(tmp_path).state == "open"
