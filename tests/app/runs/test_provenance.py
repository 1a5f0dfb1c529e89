"""A run belongs to its data, by content: two folders with a TUDataset of one name and other graphs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch.utils.data import IterableDataset
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from app.cli.main import main
from app.config.cells import Cell
from app.engine.program.io import read_program
from app.runs.experiment import Experiment
from app.runs.provenance import fingerprint, of_content
from app.runs.result import Fingerprint
from app.runs.run_folder import Run
from datamodules import GraphDataModule, SyntheticDataModule
from datamodules.transforms import attach_degree_cdf

Refused = Callable[..., str]
NAME = "tudataset/gin/fp32"


def write_graphs(root: Path, seed: int, graphs: int = 40) -> None:
    """Writes rings of five nodes with random labels of nodes and graphs."""
    folder = root / "MINE" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    edges = [(5 * g + i + 1, 5 * g + (i + 1) % 5 + 1) for g in range(graphs) for i in range(5)]
    lines = {
        "A": [f"{a}, {b}" for edge in edges for a, b in (edge, edge[::-1])],
        "graph_indicator": [str(g + 1) for g in range(graphs) for _ in range(5)],
        "graph_labels": [str(g % 2) for g in range(graphs)],
        "node_labels": [str(label) for label in [0, 1, 2, *rng.integers(0, 3, 5 * graphs - 3)]],
    }
    for part, rows in lines.items():
        (folder / f"MINE_{part}.txt").write_text("\n".join(rows) + "\n")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """The words of a fit on the data below `A`; beside it, `B` holds other graphs of the same name."""
    write_graphs(tmp_path / "A", 0)
    write_graphs(tmp_path / "B", 1)
    small = ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", "--data.name=MINE"]
    return ["fit", "--cell", NAME, "--runs-root", str(tmp_path / "runs"), *small]


def only_run(root: Path) -> Run:
    (path,) = root.glob("**/seed=0")
    return Run(path)


@pytest.fixture
def finished(words: list[str], tmp_path: Path) -> Run:
    """A finished run on A."""
    assert main([*words, f"--data.root={tmp_path / 'A'}"]) == 0
    return only_run(tmp_path / "runs")


def test_a_result_keeps_what_was_read(finished: Run) -> None:
    kept, read = finished.read_result()["data"]["fingerprint"], finished.read_fingerprint()
    assert kept is not None
    assert read is not None
    assert kept == {name: read[name] for name in ("name", "graphs", "split")}
    assert kept["name"] == "MINE"


def test_a_result_keeps_what_was_said_of_the_data(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "A/MINE/raw/MINE_graph_attributes.txt").write_text("1.0\n" * 40)
    assert main([*words, f"--data.root={tmp_path / 'A'}"]) == 0
    assert only_run(tmp_path / "runs").read_result()["data"]["remarks"] == ["not used: MINE_graph_attributes.txt"]


def test_a_result_on_other_data_is_refused(finished: Run, words: list[str], refused: Refused, tmp_path: Path) -> None:
    told = refused(*words, f"--data.root={tmp_path / 'B'}")
    assert "holds a run on other data: MINE has other graphs now" in told
    assert finished.result.exists()


def test_an_unfinished_run_is_not_continued_on_other_data(
    finished: Run, words: list[str], refused: Refused, tmp_path: Path
) -> None:
    finished.result.unlink()
    assert "other data" in refused(*words, f"--data.root={tmp_path / 'B'}")


def test_equal_data_elsewhere_is_the_same(finished: Run, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "A").rename(tmp_path / "C")
    written = finished.result.stat().st_mtime_ns
    assert main([*words, f"--data.root={tmp_path / 'C'}"]) == 0
    assert finished.result.stat().st_mtime_ns == written


def test_overwrite_trains_on_the_other_data(finished: Run, words: list[str], tmp_path: Path) -> None:
    before = finished.read_fingerprint()
    assert main([*words, f"--data.root={tmp_path / 'B'}", "--overwrite"]) == 0
    assert finished.read_fingerprint() != before


@pytest.mark.parametrize("progress", ["finished", "begun"])
def test_a_run_of_an_older_version_is_still_read(
    finished: Run, words: list[str], tmp_path: Path, progress: str
) -> None:
    finished.data.unlink()
    if progress == "begun":
        finished.result.unlink()
    assert main([*words, f"--data.root={tmp_path / 'A'}"]) == 0
    assert finished.result.exists()


@pytest.mark.parametrize("gone", [{"pending": "2 files"}, {"load_graph": OSError("no route")}], ids=str)
def test_a_result_whose_data_is_gone_is_given_with_a_word_about_it(
    train: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], gone: dict[str, object],
) -> None:  # fmt: skip
    train("synthetic/gcn/fp32", tmp_path, epochs=1)
    capsys.readouterr()
    for name, what in gone.items():
        mock = Mock(side_effect=what) if isinstance(what, Exception) else Mock(return_value=what)
        monkeypatch.setattr(SyntheticDataModule, name, mock)
    train("synthetic/gcn/fp32", tmp_path, epochs=1)
    out, err = capsys.readouterr()
    assert "test/accuracy" in out
    assert err.count("its data was not compared") == 1


@pytest.mark.parametrize("of", ["run", "checkpoint"])
def test_weights_of_other_data_of_the_same_name_are_refused(
    finished: Run, words: list[str], refused: Refused, tmp_path: Path, of: str
) -> None:
    source = finished.directory if of == "run" else finished.best_checkpoint
    elsewhere = [str(tmp_path / "other") if word == str(tmp_path / "runs") else word for word in words]
    other = [*elsewhere, f"--data.root={tmp_path / 'B'}"]
    assert "trained on other data: its MINE has other graphs" in refused(*other, "--init-from", source)


@pytest.mark.parametrize("scaling", [None, [], {"mean": [1.0]}, {"mean": ["a"], "deviation": [1.0]}, "nothing"])
def test_a_damaged_fingerprint_is_refused_naming_the_file(
    finished: Run, words: list[str], refused: Refused, tmp_path: Path, scaling: object
) -> None:
    kept = json.loads(finished.data.read_text()) | {"scaling": scaling}
    finished.data.write_text(json.dumps([] if scaling == "nothing" else kept))
    assert str(finished.data) in refused(*words, f"--data.root={tmp_path / 'A'}")


@pytest.mark.filterwarnings("ignore:LightningCLI's args")
@pytest.mark.parametrize(("setting", "differing"), [("--data.seed=1", "graphs"), ("--data.num_val=61", "split")])
def test_graphs_and_split_have_hashes_of_their_own(
    small: Callable[..., list[str]], tmp_path: Path, setting: str, differing: str
) -> None:
    def read(*words: str) -> dict[str, str]:
        cell = Cell("synthetic", "gcn", "fp32")
        found = fingerprint(Experiment.of_cell(cell, 0, overrides=[*small(), *words]).build(tmp_path))
        assert found is not None
        return dict(found)

    one, other = read(), read(setting)
    assert one == read()
    assert one[differing] != other[differing]


class Numbered(GraphDataModule):
    """A user's own datamodule, from the root: rings with random features, read by shuffling loaders."""

    name, task, num_features, num_classes = "own", "graph_classification", 3, 2
    offset = 0.0

    def __init__(self, folder: str = "anywhere", seed: int = 0, held_out: int = 4, *, kind: type = list) -> None:
        super().__init__()
        self.folder, self.kind, self.held_out = folder, kind, held_out
        draw = torch.Generator().manual_seed(seed)
        nodes = torch.arange(5)
        ring = torch.stack([nodes, (nodes + 1) % 5])
        self.graphs = [
            attach_degree_cdf(
                Data(x=torch.rand(5, 3, generator=draw) + self.offset, edge_index=ring, y=torch.tensor([k % 2]))
            )
            for k in range(12)
        ]

    def setup(self, stage: str | None = None) -> None:
        """Loads what a stage needs, as Lightning's pages have it."""
        if stage == "fit":
            self.train, self.val = self.graphs[: -2 * self.held_out], self.graphs[-2 * self.held_out : -self.held_out]
        else:
            self.test = self.graphs[-self.held_out :]

    def loader(self, graphs: list[Data]) -> DataLoader:
        return DataLoader(self.kind(graphs), batch_size=4, shuffle=self.kind is list and graphs is self.train)

    def train_dataloader(self) -> DataLoader:
        return self.loader(self.train)

    def val_dataloader(self) -> DataLoader:
        return self.loader(self.val)

    def test_dataloader(self) -> DataLoader:
        return self.loader(self.test)

    predict_dataloader = test_dataloader


class Jittered(list):
    """Graphs with noise drawn anew whenever one is read."""

    def __getitem__(self, number: int) -> Data:
        graph = copy(super().__getitem__(number))
        return graph.update({"x": graph.x + torch.rand(5, 3) + float(np.random.rand())})


class Streamed(IterableDataset):
    """Graphs without numbers."""

    def __init__(self, graphs: list[Data]) -> None:
        self.graphs = graphs

    def __iter__(self) -> Iterator[Data]:
        return iter(self.graphs)


class Labelled(list):
    """Items that nothing can be said of."""

    def __getitem__(self, number: int) -> object:
        return object()


def read(datamodule: GraphDataModule) -> Fingerprint | None:
    datamodule.setup("fit")
    return of_content(datamodule)


@pytest.mark.parametrize("kind", [list, Jittered])
def test_datamodules_from_the_root_are_known_by_what_they_read(kind: type) -> None:
    before = torch.get_rng_state()
    one = read(Numbered(kind=kind))
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(1), np.random.rand()
    assert one == read(Numbered("elsewhere", kind=kind))
    assert one is not None
    other, split = read(Numbered(seed=1, kind=kind)), read(Numbered(held_out=3, kind=kind))
    assert other is not None
    assert split is not None
    assert (one["graphs"] == other["graphs"], one["split"] == other["split"]) == (False, True)
    assert one["split"] != split["split"]


@pytest.mark.parametrize(("kind", "reason"), [(Streamed, "cannot be numbered"), (Labelled, "it holds a object")])
def test_data_that_cannot_be_hashed_is_told(kind: type, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert read(Numbered(kind=kind)) is None
    assert reason in capsys.readouterr().err


def test_a_run_on_a_datamodule_from_the_root_is_not_continued_on_other_data(
    words: list[str], refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(f"data: {{class_path: {__name__}.Numbered}}\n")
    own = [*(word for word in words if word != "--data.name=MINE"), "--config", str(config)]
    assert main(own) == 0
    monkeypatch.setattr(Numbered, "offset", 1.0)
    assert "other data: own has other graphs" in refused(*own)


@pytest.mark.parametrize("scheme", ["dq_int8", "ptq_int8"])
def test_the_scaling_of_features_is_kept_with_the_run_and_its_program(tmp_path: Path, scheme: str) -> None:
    nodes = np.arange(60)
    x = np.stack([1000.0 + nodes, nodes % 2], axis=1)
    edges = np.stack([np.concatenate([nodes, (nodes + 1) % 60]), np.concatenate([(nodes + 1) % 60, nodes])])
    np.savez(tmp_path / "mine.npz", x=x, edge_index=edges, y=nodes % 2)
    data = ["--data.name=mine", f"--data.root={tmp_path}", "--trainer.enable_progress_bar=false"]
    common = ["--runs-root", str(tmp_path / "runs"), *data]
    assert main(["fit", "--cell", "graph/gcn/fp32", *common, "--trainer.max_epochs=1"]) == 0
    epochs = [] if scheme.startswith("ptq") else ["--trainer.max_epochs=1"]
    fp32 = tmp_path / "runs/graph-mine/gcn/fp32/seed=0"
    assert main(["fit", "--cell", f"graph/gcn/{scheme}", *common, *epochs, "--init-from", str(fp32)]) == 0
    run = Run(tmp_path / f"runs/graph-mine/gcn/{scheme}/seed=0")
    kept = json.loads(run.data.read_text())["scaling"]
    assert kept == read_program(run.program).manifest["scaling"]
    assert (kept["mean"][1], kept["deviation"][1]) == (0.0, 1.0)
    assert 1000.0 < kept["mean"][0] < 1060.0
