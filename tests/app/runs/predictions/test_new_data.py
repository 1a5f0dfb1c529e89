"""Graphs that a network was not trained on, in TU files: read, scaled and named as those of its training."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from inspect import signature
from pathlib import Path

import pytest
import torch

from app.cli.main import main
from app.runs.loading import READ_AS_TRAINED, SPLITTING, load_run
from app.runs.run_folder import Run
from datamodules import DATAMODULES, DataError, TUDataModule
from datamodules.features import Known, Scaling

Refused = Callable[..., str]
Rows = list[dict[str, str]]
PARTS = ("node_labels", "node_attributes")


def write_graphs(root: Path, name: str, numbers: range, parts: tuple[str, ...], *, labelled: bool) -> None:
    """Writes stars, of which those with an even number are large, with the given parts of nodes."""
    lines: dict[str, list[str]] = {"A": [], "graph_indicator": [], "graph_labels": [], **{part: [] for part in parts}}
    first = 1
    for graph, number in enumerate(numbers, 1):
        size = 3 + number % 4 + 3 * (number % 2 == 0)
        for node in range(size):
            lines["A"] += [f"{first}, {first + node}", f"{first + node}, {first}"] if node else []
            lines["graph_indicator"].append(str(graph))
            values = {"node_labels": str(5 * (node % 3)), "node_attributes": f"{number + node}, {number / 7:.4f}"}
            for part in parts:
                lines[part].append(values[part])
        lines["graph_labels"].append(("odd", "even")[number % 2 == 0])
        first += size
    if not labelled:
        del lines["graph_labels"]
    (root / name).mkdir(parents=True)
    for part, text in lines.items():
        (root / name / f"{name}_{part}.txt").write_text("\n".join(text) + "\n")


@pytest.fixture(scope="module", params=[PARTS, ()], ids="+".join)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A folder of graphs with one kind of features: OLD, of a training, and NEW, five of them, unlabelled."""
    root = tmp_path_factory.mktemp("new")
    write_graphs(root, "OLD", range(30), request.param, labelled=True)
    write_graphs(root, "NEW", range(20, 30, 2), request.param, labelled=False)
    words = ("--data.name", "OLD", "--data.root", str(root), "--runs-root", str(root / "runs"))
    quick = ("--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "false", "--model.architecture.hidden", "8")
    assert main(["fit", "--cell", "tudataset/gin/dq_int8", *words, *quick]) == 0
    return root, Run(root / "runs/tudataset-OLD/gin/dq_int8/seed=0")


def predicted(run: Run, path: Path, *words: str) -> Rows:
    """The rows that `predict` writes."""
    assert main(["predict", "--run", str(run.directory), *words, "--output", str(path)]) == 0
    return list(csv.DictReader(path.read_text().splitlines()))


def test_new_graphs_are_predicted_as_the_same_graphs_in_training(case: tuple[Path, Run], tmp_path: Path) -> None:
    _, run = case
    old, new = (
        predicted(run, tmp_path / "old.csv"),
        predicted(run, tmp_path / "new.csv", "--split", "new", "--data.name", "NEW"),
    )
    assert [(row["graph"], row["split"], row["target"]) for row in new] == [(str(n), "", "") for n in range(1, 6)]
    for row, same in zip(new, old[20::2], strict=True):
        assert float(row["score_even"]) == pytest.approx(float(same["score_even"]), abs=1e-5)
    assert len({row["score_even"] for row in new}) > 1


def test_new_graphs_are_read_as_the_same_graphs_in_training(case: tuple[Path, Run]) -> None:
    root, run = case
    old, new = load_run(run).datamodule, TUDataModule("NEW", str(root), known=str(run.data))
    old.setup("predict")
    new.setup("predict")
    torch.testing.assert_close(new.store[torch.arange(5)].x, old.store[torch.arange(20, 30, 2)].x, atol=1e-6, rtol=0)
    assert new.class_names == old.class_names == ("even", "odd")


def test_a_program_predicts_new_graphs_as_its_network(case: tuple[Path, Run], tmp_path: Path) -> None:
    _, run = case
    words = ("--split", "new", "--data.name", "NEW")
    assert predicted(run, tmp_path / "c.csv", *words) == predicted(
        run, tmp_path / "p.csv", *words, "--program", str(run.program)
    )


def test_targets_of_new_graphs_are_written_where_they_are_known(case: tuple[Path, Run], tmp_path: Path) -> None:
    _, run = case
    rows = predicted(run, tmp_path / "new.csv", "--split", "new", "--data.name", "OLD")
    assert [row["target"] for row in rows] == ["even", "odd"] * 15
    assert {row["split"] for row in rows} == {""}


@pytest.fixture
def labelled_nodes(tmp_path: Path) -> tuple[Path, Run]:
    """A copy of the folder and the run with labels of nodes alone."""
    write_graphs(tmp_path, "OLD", range(30), PARTS[:1], labelled=True)
    write_graphs(tmp_path, "NEW", range(6), PARTS[:1], labelled=False)
    words = ("--data.name", "OLD", "--data.root", str(tmp_path), "--runs-root", str(tmp_path / "runs"))
    quick = ("--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false", "--model.architecture.hidden", "8")
    assert main(["fit", "--cell", "tudataset/gin/fp32", *words, *quick]) == 0
    return tmp_path, Run(tmp_path / "runs/tudataset-OLD/gin/fp32/seed=0")


def test_new_graphs_that_do_not_fit_the_network_are_one_line(
    labelled_nodes: tuple[Path, Run], refused: Refused, tmp_path: Path
) -> None:
    root, run = labelled_nodes
    words = ("predict", "--run", run.directory, "--split", "new", "--data.name", "NEW", "--output", tmp_path / "x.csv")
    labels = root / "NEW/NEW_node_labels.txt"
    text = labels.read_text()
    labels.write_text(text.replace("10", "11", 1))
    assert "label 11, expected one of [0, 5, 10]" in refused(*words)
    labels.unlink()
    assert refused(*words) == "NEW: no NEW_node_labels.txt, which the network was trained with: add it"
    labels.write_text(text)
    (root / "NEW/NEW_node_attributes.txt").write_text("1.5\n" * len(text.split()))
    assert refused(*words) == "NEW: nodes have 4 features, the network was trained with 3"
    (root / "NEW/NEW_node_attributes.txt").unlink()
    labels.write_text(text.replace("\n", ", 0\n"))
    assert refused(*words) == "NEW: NEW_node_labels.txt has 2 columns, the network was trained with 1: change it"
    for file in (root / "NEW").iterdir():
        file.write_text("")
    assert refused(*words) == "NEW: there are no graphs"


@pytest.mark.parametrize(
    ("trained", "new", "problem"),
    [
        (("in_degree", "standardize"), True, "nodes have features, the network was trained with the in-degree"),
        (("standardize",), False, "nodes have no features, the network was trained with some"),
    ],
)
def test_in_degrees_are_not_taken_for_an_attribute(
    tmp_path: Path, trained: tuple[str, ...], *, new: bool, problem: str
) -> None:
    write_graphs(tmp_path, "NEW", range(6), (), labelled=False)
    if new:
        nodes = len((tmp_path / "NEW/NEW_graph_indicator.txt").read_text().split())
        (tmp_path / "NEW/NEW_node_attributes.txt").write_text("1.5\n" * nodes)
    scaling = Scaling(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    kept = Known(1, ["a", "b"], (), scaling, trained).as_json() | {"scaling": scaling.as_numbers()}
    (tmp_path / "data.json").write_text(json.dumps(kept))
    data = TUDataModule("NEW", str(tmp_path), known=str(tmp_path / "data.json"))
    with pytest.raises(DataError, match=f"NEW: {problem}"):
        data.setup("predict")


def test_a_run_that_does_not_say_how_it_read_its_data_is_one_line(
    labelled_nodes: tuple[Path, Run], refused: Refused, dq_run: Run, tmp_path: Path
) -> None:
    _, run = labelled_nodes
    kept = json.loads(run.data.read_text())
    run.data.write_text(json.dumps({key: kept[key] for key in ("name", "graphs", "split")}))
    words = ("--split", "new", "--output", tmp_path / "x.csv")
    told = refused("predict", "--run", run.directory, *words, "--data.name", "NEW")
    assert told.startswith(f"data.known: {run.data} does not say how")
    told = refused("predict", "--run", dq_run.directory, *words)
    assert told.startswith("--split new: datamodules.SyntheticDataModule reads no other data for a trained network; ")
    told = refused("predict", "--cell", "synthetic/gcn/fp32", "--program", dq_run.program, *words)
    assert told == "--split new: give --run too, the run that the program is of: it says how data is read"


def test_the_data_of_the_training_is_not_taken_for_new_data(
    labelled_nodes: tuple[Path, Run], refused: Refused, tmp_path: Path
) -> None:
    root, run = labelled_nodes
    words = ("predict", "--run", run.directory, "--split", "new", "--output", tmp_path / "x.csv")
    assert refused(*words).startswith("--split new: no setting names the new data; give --data.name")
    assert main([*map(str, words), "--data.root", str(root)]) == 0


def test_nothing_is_trained_on_graphs_that_are_only_predicted(
    labelled_nodes: tuple[Path, Run], refused: Refused, tmp_path: Path
) -> None:
    root, run = labelled_nodes
    shutil.copy(run.data, tmp_path / "kept.json")
    words = ("--data.name", "NEW", "--data.root", root, "--data.known", tmp_path / "kept.json")
    told = refused("fit", "--cell", "tudataset/gin/fp32", "--runs-root", tmp_path / "other", *words)
    assert told == "NEW: 0 graphs in train for 1 processes"


def test_what_new_data_may_not_be_given_are_settings_of_datamodules() -> None:
    kinds = {kind for module in DATAMODULES for kind in module.__mro__ if "__init__" in vars(kind)}
    settings = {f"data.{name}" for kind in kinds for name in signature(kind).parameters}
    assert {*READ_AS_TRAINED, *SPLITTING} <= settings
