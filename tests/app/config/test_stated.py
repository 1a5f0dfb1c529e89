from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from app.config.cells import select
from app.config.settings import computing_settings
from app.config.stated import contradictions, stated
from app.runs.experiment import Experiment

SCHEDULER = "--model.lr_scheduler"
CHANGES = {
    "plain": (),
    "a number as text": ("--model.lr=1e-3",),
    "a class by its short name": (f"{SCHEDULER}=StepLR", f"{SCHEDULER}.step_size=3"),
    "a class with arguments": (
        f'{SCHEDULER}={{"class_path": "torch.optim.lr_scheduler.CosineAnnealingLR", "init_args": {{"T_max": 12}}}}',
    ),
    "added callbacks": ("--trainer.callbacks+=callbacks.MaskSchedule", "--trainer.callbacks.p_min=0",
                        "--trainer.callbacks.p_max=0", "--trainer.callbacks.start_epoch=1",
                        "--trainer.callbacks.end_epoch=2"),
    "an added override": ('--model.scheme.overrides+=[{"site": "convs.0.*", "bits": 6}]',),
    "another network": ("--model.architecture=models.architectures.GAT",),
}  # fmt: skip


def resolved(words: tuple[str, ...], folder: Path) -> tuple[list[str], dict[str, object]]:
    """What a cell with changes states, and what it resolves to."""
    experiment = Experiment.of_cell(select("synthetic/gcn/dq_int8")[0], 3, overrides=words)
    return experiment.words, computing_settings(yaml.safe_load(experiment.build(folder).resolved()))


@pytest.mark.parametrize("case", CHANGES)
def test_a_run_has_what_was_stated(tmp_path: Path, case: str) -> None:
    words, settings = resolved(CHANGES[case], tmp_path)
    assert list(contradictions(stated(words), settings)) == []


def test_a_run_with_changes_is_not_what_its_cell_states(tmp_path: Path) -> None:
    _, settings = resolved(("--model.lr=0.5", "--trainer.max_epochs=1"), tmp_path)
    words = Experiment.of_cell(select("synthetic/gcn/dq_int8")[0], 0).words
    assert sorted(contradictions(stated(words), settings)) == [
        "model.lr is 0.5 instead of 0.01",
        "trainer.max_epochs is 1 instead of 200",
    ]


def test_differences_are_named_with_both_values() -> None:
    said = stated(["--trainer.max_epochs=99", "--model.lr=0.1", "--data.root=here"])
    settings = {"trainer.max_epochs": 2, "model.init_args.lr": 0.1, "data.init_args.root": "there"}
    assert list(contradictions(said, settings)) == ["trainer.max_epochs is 2 instead of 99"]


def test_what_older_runs_lack_had_its_default_and_what_nobody_knows_is_as_stated() -> None:
    said = stated(["--model.architecture.roundings=needed", "--model.new=1"])
    assert list(contradictions(said, {})) == ["model.architecture.roundings is all instead of needed"]


@pytest.mark.parametrize(("value", "had"), [("runs/a/seed=0", "runs/a/seed=K"), ("StepLR", "torch.optim.StepLR")])
def test_values_that_mean_the_same_are_no_difference(value: str, had: str) -> None:
    assert list(contradictions({"a": value}, {"a": had})) == []


def test_values_with_one_ending_are_different() -> None:
    assert list(contradictions({"a": "x.yaml"}, {"a": "y.yaml"})) == ["a is y.yaml instead of x.yaml"]
