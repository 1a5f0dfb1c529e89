from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import main
from app.runs.evaluate import as_csv
from app.runs.run_folder import Run

CELL = "synthetic/gcn/dq_int8"
Refused = Callable[..., str]
LOGITS = np.float32([[1, 3, -0.0], [0.1, 0, -2]])


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


@pytest.mark.parametrize(("task", "row"), [("node_classification", "node"), ("graph_classification", "graph")])
def test_a_row_of_a_classification_has_class_and_logits(task: str, row: str) -> None:
    header = f"{row},class,logit_0,logit_1,logit_2"
    assert as_csv(LOGITS, task).splitlines() == [header, "0,1,1.0,3.0,0.0", "1,0,0.1,0.0,-2.0"]


def test_a_row_of_a_regression_has_the_value() -> None:
    assert as_csv(LOGITS[:, :1], "graph_regression").splitlines() == ["graph,value_0", "0,1.0", "1,0.1"]


@pytest.fixture(scope="module")
def predictions(
    dq_run: Run, trained_root: Path, small: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What `predict` writes from the checkpoint of a run and from its program."""
    folder = tmp_path_factory.mktemp("predictions") / "new"
    words = ["predict", "--cell", CELL, "--seed", "3", "--runs-root", str(trained_root), *small()]
    for name, more in (("checkpoint", []), ("program", ["--program", str(dq_run.program)])):
        assert main([*words, "--output", str(folder / name), *more]) == 0
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_checkpoint_and_program_of_an_exact_run_predict_the_same(dq_run: Run, predictions: dict[str, str]) -> None:
    exactness = dq_run.read_result()["exactness"]
    assert exactness is not None
    assert exactness["codes_differing"] == 0
    assert predictions["checkpoint"] == predictions["program"]


def test_a_prediction_is_the_class_of_the_largest_logit(predictions: dict[str, str]) -> None:
    header, *rows = (line.split(",") for line in predictions["program"].splitlines())
    assert header == ["node", "class", *(f"logit_{i}" for i in range(7))]
    assert [int(row[0]) for row in rows] == list(range(300))
    for row in rows:
        logits = [float(value) for value in row[2:]]
        assert logits[int(row[1])] == max(logits)


def test_a_missing_program_is_refused(refused: Refused, tmp_path: Path) -> None:
    words = ["predict", "--cell", CELL, "--runs-root", tmp_path, "--output", tmp_path / "x.csv"]
    assert str(tmp_path / "nothing") in refused(*words, "--program", tmp_path / "nothing")


def test_a_folder_that_is_none_of_a_program_is_one_line(refused: Refused, dq_run: Run, tmp_path: Path) -> None:
    words = ("predict", "--cell", CELL, "--output", tmp_path / "o.csv", "--program")
    told = refused(*words, tmp_path)
    assert told == f"--program {tmp_path}: no program here (no manifest.json); `train.py export` writes one"
    for folder in (dq_run.directory, dq_run.directory.parent):
        told = refused(*words, folder)
        assert told == f"--program {folder}: no program here (no manifest.json); did you mean {dq_run.program}?"


def test_a_program_of_another_width_is_refused(refused: Refused, dq_run: Run, tmp_path: Path) -> None:
    words = ["predict", "--cell", CELL, "--runs-root", tmp_path, "--output", tmp_path / "x.csv"]
    told = refused(*words, "--program", dq_run.program)
    assert told == f"--program {dq_run.program}: reads 120 features per node, synthetic has 1433"
    assert not (tmp_path / "x.csv").exists()


def test_a_folder_is_no_output_of_predictions(refused: Refused, trained_root: Path, tmp_path: Path) -> None:
    words = ["predict", "--cell", CELL, "--seed", 3, "--runs-root", trained_root]
    assert "is a folder" in refused(*words, "--output", tmp_path)


def test_classes_have_the_labels_of_the_data():
    lines = as_csv(LOGITS, "graph_classification", ("inactive", "active", "unknown")).splitlines()
    assert [line.split(",")[1] for line in lines] == ["class", "active", "inactive"]


def test_predictions_of_several_processes_which_have_a_part_each_are_refused(
    refused: Callable[..., str], trained_root: Path, tmp_path: Path
) -> None:
    words = ("--cell", "synthetic/gcn/fp32", "--runs-root", trained_root, "--output", tmp_path / "p.csv")
    told = refused("predict", *words, "--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp")
    assert told == "trainer.devices: predictions are written by one process, not by 2"
    assert not (tmp_path / "p.csv").exists()
