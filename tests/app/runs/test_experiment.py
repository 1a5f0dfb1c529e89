from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml

from app.config.cells import Cell
from app.errors import UserError
from app.runs.experiment import Experiment, experiments
from app.runs.run_folder import Run

CELL = Cell("synthetic", "gcn", "dq_int8")


def test_the_experiment_of_a_cell_has_its_configs_and_name() -> None:
    experiment = Experiment.of_cell(CELL, 3, overrides=["--model.lr=0.1"])
    assert (experiment.name, experiment.seed, experiment.cell) == ("synthetic/gcn/dq_int8", 3, CELL)
    assert experiment.configs == tuple(CELL.config_files)
    assert experiment.overrides == ("--model.lr=0.1",)


def test_a_variant_has_a_folder_of_its_own(tmp_path: Path) -> None:
    experiment = Experiment.of_cell(CELL, 3, name=f"{CELL}+tuned")
    assert experiment.run_in(tmp_path).directory == tmp_path / "synthetic/gcn/dq_int8+tuned/seed=3"


@pytest.mark.filterwarnings("ignore:.*")
def test_a_quiet_experiment_differs_only_in_the_progress_bar(tmp_path: Path) -> None:
    loud = Experiment.of_cell(CELL, 3)
    before, after = (yaml.safe_load(e.build(tmp_path).resolved()) for e in (loud, loud.quiet()))
    assert after["trainer"].pop("enable_progress_bar") is False
    assert before["trainer"].pop("enable_progress_bar") is not False
    assert before == after


def test_a_sibling_has_another_scheme_and_the_same_data() -> None:
    settings = {"data": {"class_path": "datamodules.SyntheticDataModule"}, "trainer": {"enable_progress_bar": False}}
    settings["model"] = {"class_path": "models.tasks.NodeMultilabel", "init_args": {"lr": 0.1}}
    sibling = Experiment.of_cell(CELL, 3, name=f"{CELL}+tuned", overrides=["--model.lr=0.1"]).sibling("fp32", settings)
    assert (sibling.name, sibling.seed) == ("synthetic/gcn/fp32", 3)
    assert sibling.overrides == (
        '--data={"class_path": "datamodules.SyntheticDataModule"}',
        "--trainer.enable_progress_bar=false",
        "--model=models.tasks.NodeMultilabel",
    )


def test_a_seed_in_a_file_that_has_no_effect_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("seed_everything: 77")
    with pytest.raises(UserError, match="seed_everything: 77 has no effect beside --seed"):
        experiments(argparse.Namespace(cell=[str(CELL)], seed="0-3", config=[str(file)]), [])
    assert experiments(argparse.Namespace(cell=[str(CELL)], seed="77", config=[str(file)]), [])


def test_a_folder_that_the_run_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.default_root_dir: has no effect"):
        Experiment.of_cell(CELL, 0, overrides=[f"--trainer.default_root_dir={tmp_path}"]).build(tmp_path)


def tudataset(root: Path, word: str) -> Experiment:
    options = argparse.Namespace(cell=["tudataset/gin/fp32"], seed="0", config=[])
    (found,) = experiments(options, [word, f"--data.root={root}"])
    return found


@pytest.fixture
def older(tmp_path: Path) -> Run:
    """A run of the data set A that an older version named by its cell alone."""
    run = Run.of(tmp_path, "tudataset/gin/fp32", 0)
    run.directory.mkdir(parents=True)
    network = {"architecture": {"class_path": "models.architectures.GIN"}, "scheme": {"name": "fp32"}}
    settings = {
        "data": {"class_path": "datamodules.TUDataModule", "init_args": {"name": "A"}},
        "model": {"class_path": "models.tasks.GraphClassification", "init_args": network},
        "trainer": {},
    }
    run.config.write_text(yaml.safe_dump(settings))
    return run


def test_two_data_sets_have_two_folders(tmp_path: Path) -> None:
    one, other = (tudataset(tmp_path, f"--data.name={name}") for name in "AB")
    assert one.run_in(tmp_path).directory == tmp_path / "tudataset-A/gin/fp32/seed=0"
    assert other.run_in(tmp_path).directory == tmp_path / "tudataset-B/gin/fp32/seed=0"


def test_a_run_that_an_older_version_named_by_its_cell_is_found(older: Run, tmp_path: Path) -> None:
    assert tudataset(tmp_path, "--data.name=A").run_in(tmp_path) == older
    assert tudataset(tmp_path, "--data.name=B").run_in(tmp_path) != older


def test_a_sibling_is_of_the_same_data_set(tmp_path: Path) -> None:
    data = {"class_path": "datamodules.TUDataModule", "init_args": {"name": "A"}}
    task = {"class_path": "models.tasks.GraphClassification"}
    settings = {"data": data, "model": task, "trainer": {"enable_progress_bar": False}}
    assert tudataset(tmp_path, "--data.name=A").sibling("dq_int8", settings).name == "tudataset-A/gin/dq_int8"
