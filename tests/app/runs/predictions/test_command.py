from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

from app.cli.main import main
from app.engine.program.io import read_program, save_program
from app.runs.loading import load_run
from app.runs.run_folder import Run

CELL = "synthetic/gcn/dq_int8"
KEPT = Path(__file__).parents[3] / "data" / "programs" / "gin_int8"
Refused = Callable[..., str]
Rows = list[dict[str, str]]


def predicted(path: Path, *words: object) -> Rows:
    """The rows that `predict` writes."""
    assert main(["predict", *map(str, words), "--output", str(path)]) == 0
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def predictions(dq_run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rows]:
    """What `predict` writes from the checkpoint of a run and from its program."""
    folder = tmp_path_factory.mktemp("predictions") / "new"
    words = ("--run", dq_run.directory)
    return {
        "checkpoint": predicted(folder / "c.csv", *words),
        "program": predicted(folder / "p.csv", *words, "--program", dq_run.program),
    }


def test_checkpoint_and_program_of_an_exact_run_predict_the_same(dq_run: Run, predictions: dict[str, Rows]) -> None:
    exactness = dq_run.read_result()["exactness"]
    assert exactness is not None
    assert exactness["codes_differing"] == 0
    assert predictions["checkpoint"] == predictions["program"]


def test_a_run_is_named_by_its_cell_or_by_its_folder(
    predictions: dict[str, Rows], trained_root: Path, tmp_path: Path
) -> None:
    words = ("--cell", CELL, "--seed", 3, "--runs-root", trained_root)
    assert predicted(tmp_path / "p.csv", *words) == predictions["checkpoint"]


def test_rows_say_split_and_target_and_agree_with_the_result(dq_run: Run, predictions: dict[str, Rows]) -> None:
    rows = predictions["checkpoint"]
    data = load_run(dq_run).datamodule
    data.setup()
    graph = data.graph_data
    assert [int(row["node"]) for row in rows] == list(range(300))
    for part in ("train", "val", "test"):
        assert [row["split"] == part for row in rows] == graph[f"{part}_mask"].tolist()
    for row, label in zip(rows, graph.y.tolist(), strict=True):
        assert row["target"] == (str(label) if row["split"] else "")
        assert row[f"score_{row['class']}"] == max((row[f"score_{i}"] for i in range(7)), key=float)
    tested = [row["class"] == row["target"] for row in rows if row["split"] == "test"]
    assert sum(tested) / len(tested) == pytest.approx(dq_run.read_result()["metrics"]["test/accuracy"])


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_split_has_its_rows_of_all(dq_run: Run, predictions: dict[str, Rows], tmp_path: Path, part: str) -> None:
    rows = predicted(tmp_path / "p.csv", "--run", dq_run.directory, "--split", part)
    assert rows == [row for row in predictions["checkpoint"] if row["split"] == part]


@pytest.fixture(scope="module")
def molecules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with thirty small graphs in TU files, labelled in words."""
    root = tmp_path_factory.mktemp("own")
    (root / "MINE").mkdir()
    parts = {"A": [], "graph_indicator": [], "graph_labels": []}
    first = 1
    for graph in range(30):
        leaves = range(first + 1, first + 3 + graph % 5)
        parts["A"] += [f"{first}, {leaf}" for leaf in leaves] + [f"{leaf}, {first}" for leaf in leaves]
        parts["graph_indicator"] += [str(graph + 1)] * (1 + len(leaves))
        first += 1 + len(leaves)
        parts["graph_labels"].append(("toxic", "harmless")[graph % 2])
    for part, lines in parts.items():
        (root / "MINE" / f"MINE_{part}.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def variant(molecules: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of a table's variant on that data, where `reproduce` puts it."""
    root = tmp_path_factory.mktemp("variants")
    grid = root / "mine.yaml"
    data = f'data.name: MINE, data.root: "{molecules}", data.batch_size: 7'
    grid.write_text(
        "entries:\n  - cells: tudataset/gin/fp32\n    variant: short\n"
        f"    overrides: {{{data}, trainer.max_epochs: 1, trainer.enable_progress_bar: false}}\n"
    )
    assert main(["reproduce", str(grid), "--runs-root", str(root)]) == 0
    return Run(root / "tudataset/gin/fp32+short/seed=0")


def test_graphs_of_a_variant_have_the_numbers_and_labels_of_the_files(variant: Run, tmp_path: Path) -> None:
    rows = predicted(tmp_path / "p.csv", "--run", variant.directory)
    assert [row["graph"] for row in rows] == [str(number) for number in range(1, 31)]
    assert [row["target"] for row in rows] == ["toxic", "harmless"] * 15
    assert {row["class"] for row in rows} <= {"toxic", "harmless"}
    assert [row["split"] for row in rows].count("test") == 3


def test_a_graph_is_predicted_alike_in_any_split(variant: Run, tmp_path: Path) -> None:
    everything = predicted(tmp_path / "all.csv", "--run", variant.directory)
    tested = predicted(tmp_path / "test.csv", "--run", variant.directory, "--split", "test")
    assert [row["graph"] for row in tested] == [row["graph"] for row in everything if row["split"] == "test"]
    of_all = {row["graph"]: float(row["score_toxic"]) for row in everything}
    for row in tested:
        assert float(row["score_toxic"]) == pytest.approx(of_all[row["graph"]], rel=1e-5)


@pytest.mark.parametrize("ids", ["words", "numbers"])
def test_nodes_have_the_user_s_names_and_unlabelled_ones_no_target(tmp_path: Path, ids: str) -> None:
    names = [f"p{i}" for i in range(40)] if ids == "words" else torch.arange(40) * 10
    edges = torch.stack([torch.arange(40), torch.arange(40).roll(1)])
    y = torch.arange(40).float() % 2
    y[[3, 11]] = float("nan")
    torch.save(Data(x=torch.rand(40, 3), edge_index=edges, y=y, id=names).to_dict(), tmp_path / "mine.pt")
    words = ("--data.name", "mine", "--data.root", str(tmp_path), "--runs-root", str(tmp_path / "runs"))
    quick = ("--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false")
    assert main(["fit", "--cell", "graph/gcn/fp32", *words, *quick]) == 0
    rows = predicted(tmp_path / "p.csv", "--run", tmp_path / "runs/graph-mine/gcn/fp32/seed=0")
    assert [row["node"] for row in rows] == [str(name) for name in (names if ids == "words" else names.tolist())]
    assert [number for number, row in enumerate(rows) if not row["target"]] == [3, 11]
    assert [number for number, row in enumerate(rows) if not row["split"]] == [3, 11]


def test_a_program_is_given_features_as_in_its_training(refused: Refused, tmp_path: Path) -> None:
    edges = torch.stack([torch.arange(60), torch.arange(60).roll(1)])
    graph = Data(x=3 + 2 * torch.randn(60, 3), edge_index=edges, y=torch.arange(60) % 2)
    torch.save(graph.to_dict(), tmp_path / "mine.pt")
    words = ["--cell", "graph/gcn/dq_int8", "--data.name", "mine", "--data.root", str(tmp_path)]
    quick = ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false", "--runs-root", str(tmp_path)]
    assert main(["fit", *words, *quick]) == 0
    run = Run(tmp_path / "graph-mine/gcn/dq_int8/seed=0")
    program = ["--program", str(run.program), *words]
    rows = predicted(tmp_path / "p.csv", *program)
    assert rows == predicted(tmp_path / "q.csv", "--program", run.program, "--run", run.directory)
    there = read_program(run.program)
    scaling = {name: [number * (1 + 1e-12) for number in column] for name, column in there.manifest["scaling"].items()}
    save_program(replace(there, manifest={**there.manifest, "scaling": scaling}), tmp_path / "of_another_machine")
    named = ["--program", tmp_path / "of_another_machine/manifest.json", "--run", run.directory]
    assert rows == predicted(tmp_path / "m.csv", *named)
    out = ["--output", str(tmp_path / "r.csv")]
    assert "reads features made so: x standardised: " in refused("predict", *program, *out, "--data.features", "raw")
    other = refused("predict", *program, *out, "--data.val_size", "0.4")
    assert "standardised by other numbers than those of mine" in other
    torch.save({**graph.to_dict(), "x": 4 * graph.x}, tmp_path / "mine.pt")
    for words in (named, ["--run", run.directory]):
        told = refused("predict", *words, *out)
        assert told.startswith(f"{run.directory}: was trained on other data: mine has other scales of features now; ")
    assert not (tmp_path / "r.csv").exists()


def test_what_is_misspelt_is_named_before_what_is_missing(refused: Refused) -> None:
    assert refused("predict", "--cell", CELL, "--outputt", "p.csv").startswith(
        "no option '--outputt'; did you mean '--output'?"
    )
    assert refused("predict", "--cell", CELL).startswith("--output: has to be given")
    assert refused("reproduce", "--jbs", 3).startswith("no option '--jbs'")
    assert refused("tune", "--cell", CELL).startswith("--storage, --output: has to be given")


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


def test_predictions_replace_no_file_of_the_program(refused: Refused, tmp_path: Path) -> None:
    program = Path(shutil.copytree(KEPT, tmp_path / "program"))
    manifest = (program / "manifest.json").read_bytes()
    told = refused("predict", "--cell", CELL, "--program", program, "--output", program / "manifest.json")
    assert told == f"--output {program}/manifest.json: is a file of --program {program}, give another file"
    assert (program / "manifest.json").read_bytes() == manifest


@pytest.mark.parametrize("file", ["MINE/MINE_A.txt", "MINE/MINE_graph_labels.txt", "link"])
@pytest.mark.parametrize("command", ["predict", "sensitivity", "report", "benchmark"])
def test_an_output_replaces_no_file_of_the_data(
    refused: Refused, variant: Run, molecules: Path, command: str, file: str
) -> None:
    if file == "link" and not (molecules / file).exists():
        (molecules / file).symlink_to(molecules / "MINE/MINE_A.txt")
    before = (molecules / file).read_text()
    told = refused(command, "--run", variant.directory, "--output", molecules / file)
    assert told == f"--output {molecules / file}: is data that this command reads; name another file"
    assert (molecules / file).read_text() == before


def test_a_file_of_predictions_may_lie_beside_the_data(variant: Run, molecules: Path) -> None:
    for _ in range(2):
        predicted(molecules / "MINE" / "predictions.csv", "--run", variant.directory)


def test_a_program_of_another_width_is_refused(refused: Refused, dq_run: Run, tmp_path: Path) -> None:
    words = ["predict", "--cell", CELL, "--runs-root", tmp_path, "--output", tmp_path / "x.csv"]
    told = refused(*words, "--program", dq_run.program)
    assert told == f"--program {dq_run.program}: reads 120 features per node, synthetic has 1433"
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ({"name": "other"}, "was trained on data with name other, not synthetic: give --cell or --run of that data"),
        ({"task": "node_regression"}, "was trained on data with task node_regression, not node_classification"),
        ({"classes": ["a", "b"]}, "was trained on data with classes ['a', 'b'], not 7"),
    ],
)
def test_a_program_of_other_data_is_refused(
    refused: Refused, dq_run: Run, tmp_path: Path, card: dict[str, object], told: str
) -> None:
    program = read_program(dq_run.program)
    data = {**program.manifest["data"], **card}
    save_program(replace(program, manifest={**program.manifest, "data": data}), tmp_path / "program")
    words = ("predict", "--run", dq_run.directory, "--program", tmp_path / "program", "--output", tmp_path / "p.csv")
    assert refused(*words).startswith(f"--program {tmp_path / 'program'}: {told}")
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("--trainer.precision=bf16-mixed", "trainer.precision: has no effect beside --program"),
        ("--model.scheme.bits=4", "what was trained cannot be changed here"),
    ],
)
def test_settings_that_a_program_does_not_read_are_refused(
    refused: Refused, dq_run: Run, tmp_path: Path, word: str, told: str
) -> None:
    words = ("predict", "--run", dq_run.directory, "--program", dq_run.program, "--output", tmp_path / "p.csv")
    assert told in refused(*words, word)


def test_a_folder_is_no_output_of_predictions(refused: Refused, trained_root: Path, tmp_path: Path) -> None:
    words = ["predict", "--cell", CELL, "--seed", 3, "--runs-root", trained_root]
    assert "is a folder" in refused(*words, "--output", tmp_path)


def test_predictions_of_several_processes_which_have_a_part_each_are_refused(
    refused: Refused, trained_root: Path, tmp_path: Path, small: Callable[..., list[str]]
) -> None:
    words = ("--cell", "synthetic/gcn/fp32", "--runs-root", trained_root, "--output", tmp_path / "p.csv")
    told = refused("predict", *words, "--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp")
    assert told == "trainer.devices: predictions are written by one process, not by 2"
    assert not (tmp_path / "p.csv").exists()
