from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from app.cli.main import main
from app.config.cells import Cell
from app.config.chosen_classes import takes_arguments_of
from app.runs.experiment import name_of
from models.tasks import GraphClassification

CORA = Cell("cora", "gcn", "dq_int8")


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    capsys.readouterr()
    assert main(["fit", "--print_config", *words]) == 0
    settings: dict[str, object] = yaml.safe_load(capsys.readouterr().out)
    return settings


def other_data(tmp_path: Path) -> list[str]:
    (tmp_path / "mine.yaml").write_text(
        "data: {class_path: datamodules.SyntheticDataModule, init_args: {num_nodes: 2800}}"
    )
    return ["--config", str(tmp_path / "mine.yaml")]


ON_THE_COMMAND_LINE = (
    ["--data=datamodules.SyntheticDataModule"],
    ["--data", "SyntheticDataModule"],
    ["--data.class_path", "datamodules.SyntheticDataModule"],
    ['--data={"class_path": "datamodules.SyntheticDataModule"}'],
)


@pytest.fixture
def cora_is_raw(tmp_path: Path) -> list[str]:
    """A file that sets an argument which both classes of data take, to what is not the default."""
    (tmp_path / "raw.yaml").write_text("data: {init_args: {features: raw}}")
    return ["--cell", str(CORA), "--config", str(tmp_path / "raw.yaml")]


@pytest.mark.parametrize("words", ON_THE_COMMAND_LINE, ids=str)
def test_another_class_on_the_command_line_takes_no_arguments_of_the_cells(
    capsys: pytest.CaptureFixture[str], cora_is_raw: list[str], words: list[str]
) -> None:
    data = printed(capsys, *cora_is_raw, *words)["data"]
    assert data["class_path"] == "datamodules.SyntheticDataModule"  # type: ignore[index]
    assert data["init_args"]["features"] == "row_normalized"  # type: ignore[index]


def test_another_class_in_a_file_takes_no_arguments_of_the_cells(
    capsys: pytest.CaptureFixture[str], cora_is_raw: list[str], tmp_path: Path
) -> None:
    data = printed(capsys, *cora_is_raw, *other_data(tmp_path))["data"]
    assert data["init_args"]["features"] == "row_normalized"  # type: ignore[index]
    assert data["init_args"]["num_nodes"] == 2800  # type: ignore[index]


def test_the_same_class_again_keeps_the_arguments(capsys: pytest.CaptureFixture[str], cora_is_raw: list[str]) -> None:
    same = "--data.class_path=datamodules.datasets.citation.CitationDataModule"
    data = printed(capsys, *cora_is_raw, same)["data"]
    assert data["init_args"]["features"] == "raw"  # type: ignore[index]


@pytest.mark.parametrize(
    ("word", "place", "argument", "default"),
    [
        ("--model.architecture=models.architectures.GraphSAGE", "architecture", "dropout", 0.5),
        ("--model.lr_scheduler=torch.optim.lr_scheduler.ExponentialLR", "lr_scheduler", "gamma", None),
    ],
)
def test_networks_and_schedulers_take_no_arguments_of_others(
    capsys: pytest.CaptureFixture[str], word: str, place: str, argument: str, default: object
) -> None:
    words = [word, "--model.lr_scheduler.gamma=0.9"] if default is None else [word]
    settings = printed(capsys, "--cell", "digits/gin/fp32", *words)["model"]["init_args"][place]  # type: ignore[index]
    assert settings["class_path"] == word.partition("=")[2]
    assert settings["init_args"][argument] == (default or 0.9)
    assert "patience" not in settings["init_args"]


class OwnTask(GraphClassification):
    """A task of one's own."""


def test_a_task_of_another_class_keeps_network_and_scheme(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--cell", "digits/gin/dq_int8", f"--model={__name__}.OwnTask")
    settings = printed(capsys, *words)["model"]["init_args"]  # type: ignore[index]
    assert settings["scheme"]["name"] == "dq"


def test_settings_behind_an_added_callback_are_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss")
    callbacks = printed(capsys, "--cell", "digits/gin/dq_int8", *words)["trainer"]["callbacks"]  # type: ignore[index]
    assert len(callbacks) > 1
    assert callbacks[-1]["init_args"]["monitor"] == "val/loss"


def test_a_network_of_one_s_own_takes_the_place_of_the_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--cell", "digits/gin/dq_int8", "--model.network=examples.networks:GIN", "--model.network_args.hidden=8")
    settings = printed(capsys, *words)["model"]["init_args"]  # type: ignore[index]
    assert (settings["architecture"], settings["network_args"]) == (None, {"hidden": 8})
    assert len(settings["network_source"]) == 32


def test_a_word_about_the_architecture_beside_a_network_is_refused(refused: Callable[..., str]) -> None:
    words = ("--model.network=examples.networks:GIN", "--model.architecture.hidden=8")
    told = refused("fit", "--cell", "digits/gin/dq_int8", *words)
    assert told == "model.architecture: has no effect beside model.network; give model.network_args"


@pytest.mark.parametrize(
    "words", [["--model.network.hidden=8"], ["--model.network=examples.networks:GIN", "--model.network.hidden=8"]]
)
def test_arguments_below_the_network_itself_are_refused(words: list[str], refused: Callable[..., str]) -> None:
    told = refused("fit", "--cell", "digits/gin/dq_int8", *words)
    assert told.startswith("model.network: expected the path of a class or function (module:Name)")


@pytest.mark.parametrize(
    ("new", "old", "same"),
    [
        ("models.architectures.GCN", "models.architectures.gcn.GCN", True),
        ("GCN", "models.architectures.GCN", True),
        ("models.architectures.GCN", "models.architectures.base.Architecture", True),
        ("models.architectures.base.Architecture", "models.architectures.GCN", False),
        ("nowhere.GCN", "models.architectures.GCN", False),
    ],
)
def test_classes_and_those_derived_from_them_take_the_same_arguments(new: str, old: str, *, same: bool) -> None:
    assert takes_arguments_of(new, old) is same


PYG = "--data=datamodules.PyGNodeDataModule"
NAMES = {
    (): "cora/gcn/dq_int8",
    ("--data.root=/x", "--model.lr=0.1", "--model.scheme.bits=6"): "cora/gcn/dq_int8",
    ("--data.name=Cora",): "cora/gcn/dq_int8",
    ("--data.name=CiteSeer",): "cora-CiteSeer/gcn/dq_int8",
    ("--data.init_args.name", "a/b"): "cora-a_b/gcn/dq_int8",
    ("--data=datamodules.SyntheticDataModule",): "SyntheticDataModule/gcn/dq_int8",
    ("--data=datamodules.TUDataModule", "--data.name=MINE"): "TUDataModule-MINE/gcn/dq_int8",
    ("--data=datamodules.ImageDataModule", "--data.path=some/pics/"): "ImageDataModule-pics/gcn/dq_int8",
    ("--data=datamodules.ImageDataModule", "--data.path=some/pics.npz"): "ImageDataModule-pics/gcn/dq_int8",
    (PYG, "--data.dataset=torch_geometric.datasets.WebKB"): "PyGNodeDataModule-WebKB/gcn/dq_int8",
    (PYG, "--data.dataset=torch_geometric.datasets.WebKB", "--data.dataset.name=Texas"): (
        "PyGNodeDataModule-WebKB-Texas/gcn/dq_int8"
    ),
    (PYG, "--data.dataset={class_path: a.B, init_args: {name: x/y}}"): "PyGNodeDataModule-B-x_y/gcn/dq_int8",
    ("--model.architecture=models.architectures.GAT",): "cora/GAT/dq_int8",
    ("--model.network=examples.networks:GIN", "--model.network_args.hidden=3"): "cora/GIN/dq_int8",
    ("--model.scheme.name=mine",): "cora/gcn/dq_int8-mine",
}


@pytest.mark.parametrize("words", NAMES, ids=str)
def test_the_name_of_a_run_says_what_differs_from_the_cell(words: tuple[str, ...]) -> None:
    assert name_of(CORA, words) == NAMES[words]


def test_a_default_of_a_class_that_is_a_word_of_an_enumeration_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = printed(capsys, "--cell", str(CORA), "--trainer.callbacks=Timer")["trainer"]
    assert trainer["callbacks"]["init_args"]["interval"] == "step"  # type: ignore[index]
