"""Data that a network was not trained on, as files of one graph and as PyG data sets: read as that of its training."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.cli.main import main
from app.runs.run_folder import Run
from datamodules import DataError, GraphFileDataModule
from datamodules.classes import known_classes
from datamodules.features import Known, interpret

from .test_new_data import PARTS, write_graphs

Refused = Callable[..., str]
QUICK = ("--trainer.max_epochs=2", "--trainer.enable_progress_bar=false", "--model.architecture.hidden=8")
NODES = 40


def predicted(run: Run, path: Path, *words: str) -> list[dict[str, str]]:
    """The rows that `predict` writes, without the columns that tell training and new data apart."""
    assert main(["predict", "--run", str(run.directory), *words, "--output", str(path)]) == 0
    return list(csv.DictReader(path.read_text().splitlines()))


def graph(**parts: Any) -> dict[str, Any]:
    """A ring whose nodes have measurements, with some parts left out or changed."""
    draws = np.random.default_rng(0)
    ring = np.arange(NODES)
    edges = np.stack([ring, np.roll(ring, 1)])
    y = np.array(["red", "blue", ""])[draws.choice(3, NODES, p=(0.45, 0.45, 0.1))]
    given = {"x": draws.normal(7, 3, (NODES, 4)), "edge_index": np.hstack([edges, edges[::-1]]), "y": y} | parts
    return {name: value for name, value in given.items() if value is not None}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A folder with the graph of a training, and the run."""
    root = tmp_path_factory.mktemp("nodes")
    np.savez(root / "old.npz", **graph())
    words = ("--data.name=old", f"--data.root={root}", f"--runs-root={root / 'runs'}")
    assert main(["fit", "--cell", "graph/gcn/dq_int8", *words, *QUICK]) == 0
    return root, Run(root / "runs/graph-old/gcn/dq_int8/seed=0")


def test_nodes_of_a_new_graph_are_predicted_as_those_of_training(nodes: tuple[Path, Run], tmp_path: Path) -> None:
    root, run = nodes
    old = predicted(run, tmp_path / "old.csv")
    for name, y in (("without", None), ("some", np.array(["blue"] + [""] * (NODES - 1)))):
        np.savez(root / f"{name}.npz", **graph(y=y))
        new = predicted(run, tmp_path / "new.csv", "--split", "new", "--data.name", name)
        assert [row["target"] for row in new] == ["" if y is None else str(y[k]) for k in range(NODES)]
        assert {row["split"] for row in new} == {""}
        assert [{**row, "split": "", "target": ""} for row in old] == [{**row, "target": ""} for row in new]
    assert len({row["score_red"] for row in old}) > 1


def test_nodes_without_a_label_are_new_nodes_of_the_same_graph(nodes: tuple[Path, Run], tmp_path: Path) -> None:
    rows = predicted(nodes[1], tmp_path / "all.csv", "--split", "all")
    unlabelled = [row for row in rows if not row["split"]]
    assert {int(row["node"]) for row in unlabelled} == set(np.flatnonzero(graph()["y"] == "").tolist()) != set()
    assert all(row["target"] == "" and row["class"] in ("blue", "red") for row in unlabelled)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"x": np.arange(NODES)[:, None]}, "nodes have 1 feature, the network was trained with 4"),
        ({"x": -np.ones((NODES, 1), int)}, "nodes have 1 feature, the network was trained with 4"),
        ({"x": np.ones((NODES, 3))}, "nodes have 3 features, the network was trained with 4"),
        ({"y": np.array(["red"] * 39 + ["green"])}, "node 39: label 'green', the network was trained with"),
        ({"y": np.arange(3)}, "expected one target for each of the 40 nodes"),
    ],
)
def test_a_graph_that_does_not_fit_the_network_is_one_line(
    nodes: tuple[Path, Run], parts: dict[str, Any], told: str
) -> None:
    root, run = nodes
    np.savez(root / "wrong.npz", **graph(**parts))
    with pytest.raises(DataError, match=told):
        GraphFileDataModule("wrong", str(root), known=str(run.data))


def test_nothing_is_trained_on_nodes_that_are_only_predicted(
    nodes: tuple[Path, Run], refused: Refused, tmp_path: Path
) -> None:
    root, run = nodes
    words = ("--data.name=old", f"--data.root={root}", f"--data.known={run.data}", f"--runs-root={tmp_path}")
    assert "nothing is trained on data that is only predicted" in refused("fit", "--cell", "graph/gcn/fp32", *words)


def test_measurements_are_not_taken_for_categories(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(json.dumps(Known(4, ["a", "b"], (), None).as_json()))
    np.savez(tmp_path / "wide.npz", **graph(y=None))
    data = GraphFileDataModule("wide", str(tmp_path), known=str(tmp_path / "data.json"))
    with pytest.raises(DataError, match="wide: `x` holds measurements, the network was trained with one category"):
        data.setup("predict")


def test_numbers_of_new_nodes_may_be_missing(tmp_path: Path) -> None:
    kept = Known(4, [], (), None).as_json()
    (tmp_path / "data.json").write_text(json.dumps(kept))
    y = np.where(np.arange(NODES) < 3, np.arange(NODES) / 2, np.nan)
    np.savez(tmp_path / "some.npz", **graph(y=y))
    data = GraphFileDataModule(
        "some", str(tmp_path), task="node_regression", features="raw", known=str(tmp_path / "data.json")
    )
    data.setup("predict")
    assert data.targets()[:3].tolist() == [0.0, 0.5, 1.0]
    assert data.labelled().tolist() == [True] * 3 + [False] * (NODES - 3)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A folder of PyG's TUDatasets OLD and NEW (five of its graphs, without labels), and a run of the first."""
    root = tmp_path_factory.mktemp("graphs")
    for name, numbers in (("OLD", range(30)), ("NEW", range(20, 30, 2))):
        write_graphs(root / "flat", name, numbers, PARTS, labelled=False)
        (root / name).mkdir()
        (root / "flat" / name).rename(root / name / "raw")
    numbers = "\n".join(str(number % 2) for number in range(30))
    (root / "OLD/raw/OLD_graph_labels.txt").write_text(numbers + "\n")
    dataset = {"class_path": "torch_geometric.datasets.TUDataset",
               "init_args": {"root": str(root), "name": "OLD", "use_node_attr": True}}  # fmt: skip
    data = {"class_path": "datamodules.PyGDataModule", "init_args": {"dataset": dataset, "batch_size": 8}}
    (root / "mine.yaml").write_text(json.dumps({"data": data}))
    words = ("--config", str(root / "mine.yaml"), f"--runs-root={root / 'runs'}")
    assert main(["fit", "--cell", "tudataset/gin/dq_int8", *words, *QUICK]) == 0
    (config,) = (root / "runs").glob("*/gin/dq_int8/seed=0")
    return root, Run(config)


def test_graphs_of_a_new_pyg_data_set_are_predicted_as_those_of_training(
    graphs: tuple[Path, Run], tmp_path: Path
) -> None:
    _, run = graphs
    old = predicted(run, tmp_path / "old.csv")
    new = predicted(run, tmp_path / "new.csv", "--split", "new", "--data.dataset.name", "NEW")
    assert [(row["graph"], row["split"], row["target"]) for row in new] == [(str(n), "", "") for n in range(5)]
    for row, same in zip(new, old[20::2], strict=True):
        assert float(row["score_1"]) == pytest.approx(float(same["score_1"]), abs=1e-5)
    assert len({row["score_1"] for row in new}) > 1


def test_categories_are_those_of_training() -> None:
    x = torch.tensor([[5, 1], [9, 0]])
    sizes = torch.tensor([1, 1])
    found = interpret("d", x, sizes, "categories", known=[[2, 5, 9], [0, 1]])
    assert found.x.tolist() == [[0, 1, 0, 0, 1], [0, 0, 1, 1, 0]]
    assert interpret("d", x, sizes, "categories").categories == [[5, 9], [0, 1]]
    with pytest.raises(DataError, match=r"graph 1.*`x` is the category 9, which the network was not trained with"):
        interpret("d", x, sizes, "categories", known=[[2, 5], [0, 1]])
    with pytest.raises(DataError, match="`x` has 2 columns, the network was trained with 1"):
        interpret("d", x, sizes, "categories", known=[[5, 9]])


def test_labels_that_are_missing_have_no_class() -> None:
    classes, given = known_classes("d", [None, 7, float("nan"), torch.tensor([3])], [3, 7])
    assert (classes.tolist(), given.tolist()) == ([0, 1, 0, 0], [False, True, False, True])
