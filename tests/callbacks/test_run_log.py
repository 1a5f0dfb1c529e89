from __future__ import annotations

from pathlib import Path

import pytest

from callbacks.run_log import RunLog, in_folder

NAME = "pytorch_lightning.loggers.CSVLogger"


def test_a_log_is_one_file_until_it_is_closed(tmp_path):
    log = RunLog(str(tmp_path), name="log", version="")
    for step in range(3):
        log.log_metrics({"loss": 1.0}, step)
        log.finalize("success")
    log.close()
    assert len(list(tmp_path.rglob("events.*"))) == 1


@pytest.mark.parametrize("name", ["CSVLogger", NAME])
@pytest.mark.parametrize("given", [None, {}, {"name": "csv"}])
def test_a_logger_without_a_folder_gets_that_of_the_run(name, given):
    setting = name if given is None else {"class_path": name, "init_args": given}
    folder = {"save_dir": "runs/one"}
    assert in_folder(setting, Path("runs/one")) == {"class_path": name, "init_args": folder | (given or {})}


@pytest.mark.parametrize(
    "setting",
    [None, True, False, {"name": "csv"}, {"class_path": NAME, "init_args": {"save_dir": "mine"}}, "no.such", "Logger"],
)
def test_any_other_setting_stays(setting):
    assert in_folder(setting, Path("runs/one")) == setting


def test_each_logger_of_a_list_is_seen(tmp_path):
    first, second = in_folder(["CSVLogger", {"class_path": "CSVLogger"}], tmp_path)
    assert first == second == {"class_path": "CSVLogger", "init_args": {"save_dir": str(tmp_path)}}
