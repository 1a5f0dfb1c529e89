from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from app.config.cells import Cell
from app.runs.experiment import Experiment

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
    settings = {"data": {"class_path": "x"}, "trainer": {"enable_progress_bar": False}}
    sibling = Experiment.of_cell(CELL, 3, name=f"{CELL}+tuned", overrides=["--model.lr=0.1"]).sibling("fp32", settings)
    assert (sibling.name, sibling.seed) == ("synthetic/gcn/fp32", 3)
    assert sibling.overrides == ('--data={"class_path": "x"}', "--trainer.enable_progress_bar=false")
