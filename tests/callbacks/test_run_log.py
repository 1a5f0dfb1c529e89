from __future__ import annotations

import errno
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytorch_lightning.loggers import WandbLogger
from tensorboard.compat.tensorflow_stub.io.gfile import GFile

from callbacks.run_log import RunLog, in_folder, logs_ended

NAME = "pytorch_lightning.loggers.CSVLogger"


def test_a_log_is_one_file_until_it_is_closed(tmp_path):
    log = RunLog(str(tmp_path), name="log", version="")
    for step in range(3):
        log.log_metrics({"loss": 1.0}, step)
        log.finalize("success")
    log.close()
    assert len(list(tmp_path.rglob("events.*"))) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("works", [0, 1, 3])
def test_a_log_that_cannot_be_written_is_named(tmp_path, monkeypatch, works):
    written, write = [], GFile.write

    def until_the_disk_is_full(file, content):
        if len(written) == works:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(write(file, content))

    monkeypatch.setattr(GFile, "write", until_the_disk_is_full)
    log = RunLog(str(tmp_path), name="log", version="")

    def write_on():
        while True:
            log.log_metrics({"loss": 1.0}, 0)
            log.finalize("success")

    with pytest.raises(OSError, match="No space left on device") as problem:
        write_on()
    assert problem.value.filename == log.log_dir


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


class Started(WandbLogger):
    """A logger whose run of W&B was started, without the package."""

    def __init__(self, module):
        self.module = module

    @property
    def experiment(self):
        return SimpleNamespace(finish=lambda: setattr(self.module, "run", None))


@pytest.mark.parametrize("problem", [None, ValueError("diverged")])
def test_the_next_run_of_a_process_does_not_go_on_in_the_log_of_wandb(monkeypatch, problem):
    module = SimpleNamespace(run="of this run")
    monkeypatch.setitem(sys.modules, "wandb", module)
    trainer = SimpleNamespace(loggers=[Started(module)])
    with nullcontext() if problem is None else pytest.raises(ValueError, match="diverged"), logs_ended(trainer):
        trainer.loggers = []  # as while a run is evaluated
        if problem:
            raise problem
    assert module.run is None


def test_each_logger_of_a_list_is_seen(tmp_path):
    first, second = in_folder(["CSVLogger", {"class_path": "CSVLogger"}], tmp_path)
    assert first == second == {"class_path": "CSVLogger", "init_args": {"save_dir": str(tmp_path)}}
