"""Several labels, and several numbers, through the commands: training, program, predictions, page of the run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import main
from app.runs.run_folder import Run

NODES, NAMES = 60, ["art", "bio", "dance, modern"]
QUICK = ("--trainer.max_epochs=3", "--trainer.enable_progress_bar=false", "--model.architecture.hidden=8")


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """Three labels of each node, a sixth of them not known."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (NODES, 3)).astype(np.float32)
    y[rng.permutation(NODES)[: NODES // 2], rng.integers(0, 3, NODES // 2)] = np.nan
    return y


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, labels: np.ndarray) -> Run:
    """A run that learned these labels."""
    folder, rng = tmp_path_factory.mktemp("labelled"), np.random.default_rng(1)
    x = np.nan_to_num(labels) + rng.normal(0, 0.5, labels.shape)
    np.savez(folder / "mine.npz", x=x.astype(np.float32), edge_index=rng.integers(0, NODES, (2, 200)), y=labels)
    words = ("--data.name=mine", f"--data.root={folder}", "--data.task=node_multilabel", f"--runs-root={folder}")
    task = ("--model=models.tasks.NodeMultilabel", "--model.metrics=[f1,auroc]", *QUICK)
    names = f"--data.target_names={json.dumps(NAMES)}"
    assert main(["fit", "--cell", "graph/gcn/dq_int8", *words, *task, names]) == 0
    return Run(folder / "graph-mine/gcn/dq_int8/seed=0")


def test_the_program_says_the_labels_that_the_network_says(labelled: Run) -> None:
    result = labelled.read_result()
    assert result["exactness"] is not None
    assert result["exactness"]["predictions"] == NODES
    assert result["exactness"]["margin_violations"] == 0
    assert result["metric"] == "f1"
    assert {"val/f1", "test/auroc"} < result["metrics"].keys()
    data = json.loads((labelled.program / "manifest.json").read_text())["manifest"]["data"]
    assert (data["task"], data["labels"]) == ("node_multilabel", NAMES)
    assert "classes" not in data


@pytest.mark.parametrize("of_program", [False, True])
def test_predictions_have_the_columns_of_every_label(
    labelled: Run, labels: np.ndarray, tmp_path: Path, of_program: bool
) -> None:
    program = ("--program", str(labelled.program)) if of_program else ()
    output = tmp_path / "p.csv"
    assert main(["predict", "--run", str(labelled.directory), *program, "--output", str(output)]) == 0
    rows = read(output)
    assert list(rows[0])[2:5] == [f"target_{name}" for name in NAMES]
    for column, name in enumerate(NAMES):
        targets = ["" if np.isnan(label) else str(int(label)) for label in labels[:, column]]
        assert [row[f"target_{name}"] for row in rows] == targets
        assert all(row[f"predicted_{name}"] == str(int(float(row[f"score_{name}"]) > 0.5)) for row in rows)


def test_the_page_of_a_run_has_labels_in_place_of_a_confusion_matrix(labelled: Run, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    assert main(["report", "--run", str(labelled.directory), "--format", "html", "--output", str(output)]) == 0
    page = output.read_text()
    assert "Labels, test" in page
    assert all(name in page for name in NAMES)
    assert "Confusion" not in page


def test_a_task_for_one_class_is_refused_for_labels(labelled: Run, refused: Callable[..., str]) -> None:
    words = ("--data.name=mine", f"--data.root={labelled.directory.parents[3]}", "--data.task=node_multilabel")
    told = refused("fit", "--cell", "graph/gcn/dq_int8", *words, "--runs-root", labelled.directory.parents[3] / "no")
    assert "NodeClassification is for node_classification, but mine has the task node_multilabel" in told


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that learned two of three attributes of graphs, of which some are not known."""
    root, rng = tmp_path_factory.mktemp("numbered"), np.random.default_rng(2)
    folder = root / "PATHS"
    folder.mkdir()
    edges = [f"{3 * g + a}, {3 * g + b}" for g in range(30) for a, b in ((1, 2), (2, 1), (2, 3), (3, 2))]
    values = [[f"{v:.3f}" for v in row] for row in rng.normal(size=(30, 3))]
    for graph in range(0, 30, 4):
        values[graph][2] = "nan"
    parts = {
        "A": edges,
        "graph_indicator": [str(1 + node // 3) for node in range(90)],
        "node_attributes": [f"{v:.3f}" for v in rng.normal(size=90)],
        "graph_attributes": [", ".join(row) for row in values],
    }
    for part, lines in parts.items():
        (folder / f"PATHS_{part}.txt").write_text("\n".join(lines) + "\n")
    words = ("--data.name=PATHS", f"--data.root={root}", "--data.task=graph_regression", "--data.target=[2,0]")
    task = ("--model=models.tasks.GraphRegression", "--model.metrics=[mae,r2]", f"--runs-root={root}", *QUICK)
    assert main(["fit", "--cell", "tudataset/gin/dq_int8", *words, *task]) == 0
    return Run(root / "tudataset-PATHS/gin/dq_int8/seed=0")


def test_graphs_that_the_network_was_not_trained_on_have_a_value_of_each_number(numbered: Run, tmp_path: Path) -> None:
    found = {}
    for split in ("all", "new"):
        words = ("--run", str(numbered.directory), "--split", split, "--output", str(tmp_path / f"{split}.csv"))
        assert main(["predict", *words, *(("--data.name", "PATHS") if split == "new" else ())]) == 0
        found[split] = [{k: v for k, v in row.items() if k != "split"} for row in read(tmp_path / f"{split}.csv")]
    assert found["new"] == found["all"]
    assert list(found["all"][0]) == ["graph", "target_0", "target_1", "value_0", "value_1"]
    assert [int(row["graph"]) for row in found["all"] if not row["target_0"]] == list(range(1, 31, 4))


def test_every_number_of_a_program_is_compared(numbered: Run) -> None:
    exactness = numbered.read_result()["exactness"]
    assert exactness is not None
    assert exactness["predictions"] == 3  # of the test fold
    assert exactness["margin_violations"] == 0
