from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytorch_lightning import Callback, LightningModule, Trainer

from app.cli.main import main
from app.runs.run_folder import Run

CELL = "synthetic/gcn/dq_int8"
Refused = Callable[..., str]


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_run_that_is_not_there_is_one_line(refused: Refused, tmp_path: Path, command: str) -> None:
    told = refused(command, "--cell", CELL, "--seed", 5, "--runs-root", tmp_path)
    assert told == f"{tmp_path / CELL / 'seed=5'}: no trained run here; train it with `train.py fit`"


@pytest.mark.parametrize(("command", "stage"), [("validate", "val"), ("test", "test")])
def test_validate_and_test_print_what_fit_measured(
    dq_run: Run, trained_root: Path, capsys: pytest.CaptureFixture[str], command: str, stage: str
) -> None:
    metrics = dq_run.read_result()["metrics"]
    capsys.readouterr()
    assert main([command, "--cell", CELL, "--seed", "3", "--runs-root", str(trained_root)]) == 0
    row = capsys.readouterr().out.splitlines()[-2]
    assert f" {metrics[f'{stage}/accuracy']:.4f} " in row
    assert f" {metrics[f'{stage}/loss']:.4f} " in row


def test_runs_are_named_by_their_folders_too(dq_run: Run, fp32_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["test", "--run", str(dq_run.directory), str(fp32_run.directory)]) == 0
    rows = capsys.readouterr().out.splitlines()[-3:-1]
    for run, row in zip((dq_run, fp32_run), rows, strict=True):
        result = run.read_result()
        assert [part.strip() for part in row.split("│")[1:3]] == [result["cell"], str(result["seed"])]
        assert f" {result['metrics']['test/accuracy']:.4f} " in row


@pytest.mark.parametrize("option", ["--cell", "--seed", "--runs-root"])
@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_a_run_named_twice_is_refused(refused: Refused, command: str, option: str) -> None:
    value = {"--cell": CELL, "--seed": "3", "--runs-root": "runs"}[option]
    more = ("--output", "p.csv") if command == "predict" else ()
    told = refused(command, "--run", "somewhere", option, value, *more)
    assert told == f"{option}: --run names the run; leave one of them out"


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_other_data_than_in_training_is_refused(refused: Refused, dq_run: Run, tmp_path: Path, command: str) -> None:
    more = ("--output", tmp_path / "p.csv") if command == "predict" else ()
    told = refused(command, "--run", dq_run.directory, "--data.num_val", 50, *more)
    assert told == (
        f"{dq_run.directory}: was trained on other data: synthetic has other splits now; "
        "give the data and its settings as in training"
    )


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_the_configuration_of_a_run_is_printed_however_it_is_named(
    dq_run: Run, trained_root: Path, capsys: pytest.CaptureFixture[str], refused: Refused, command: str
) -> None:
    more = ("--print_config", *(("--output", "p.csv") if command == "predict" else ()))
    for words in (("--run", str(dq_run.directory)), ("--cell", CELL, "--seed", "3", "--runs-root", str(trained_root))):
        capsys.readouterr()
        assert main([command, *words, *more]) == 0
        assert "seed_everything: 3" in capsys.readouterr().out
    if command != "predict":
        told = refused(command, "--run", dq_run.directory, dq_run.directory, *more)
        assert told == "expected one --run here, got 2"


def test_all_settings_are_listed_for_a_command_on_trained_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["test", "--help-all"])
    assert end.value.code == 0
    assert "--trainer.max_epochs" in capsys.readouterr().out


def test_every_metric_has_its_own_column(dq_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--model.metrics", "[f1]", "--trainer.max_epochs", "1", "--export", "false", "--runs-root", str(tmp_path))
    assert main(["fit", "--cell", CELL, *words]) == 0
    capsys.readouterr()
    assert main(["test", "--run", str(dq_run.directory), str(tmp_path / CELL / "seed=0")]) == 0
    lines = capsys.readouterr().out.splitlines()
    header = [part.strip() for part in lines[1].split("┃")[1:-1]]
    first, second = ([part.strip() for part in line.split("│")[1:-1]] for line in lines[-3:-1])
    assert sorted(header) == sorted(["cell", "seed", "test/loss", "test/accuracy", "test/f1"])
    accuracy, f1 = header.index("test/accuracy"), header.index("test/f1")
    assert (first[accuracy], first[f1]) == (f"{dq_run.read_result()['metrics']['test/accuracy']:.4f}", "")
    assert (second[accuracy], bool(second[f1])) == ("", True)


@pytest.mark.parametrize("word", ["--trainer.logger=CSVLogger", "--trainer.logger+=CSVLogger", "--trainer.logger=true"])
def test_the_logs_of_a_run_are_of_its_training(refused: Refused, dq_run: Run, word: str) -> None:
    before = set(dq_run.directory.rglob("*"))
    assert refused("test", "--run", dq_run.directory, word).startswith("trainer.logger: the logs in a run's folder are")
    assert set(dq_run.directory.rglob("*")) == before


@pytest.mark.parametrize("callback", ["RangeTracker", "RangeMonitor", "LearningRateMonitor", "EarlyStopping"])
@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_a_callback_of_training_is_refused(
    refused: Refused, dq_run: Run, tmp_path: Path, command: str, callback: str
) -> None:
    more = ("--output", tmp_path / "p.csv") if command == "predict" else ()
    monitor = ("--trainer.callbacks.monitor=val/loss",) if callback == "EarlyStopping" else ()
    told = refused(command, "--run", dq_run.directory, f"--trainer.callbacks+={callback}", *monitor, *more)
    assert told == f"trainer.callbacks: {callback} has no effect: it acts in training, and here is none; leave it out"


class Heard(Callback):
    """Says that a test ended."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        print("heard")


def test_a_callback_that_acts_in_evaluation_is_taken(dq_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--run", str(dq_run.directory), f"--trainer.callbacks+={__name__}.Heard"]) == 0
    assert "heard" in capsys.readouterr().out
