from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

optuna = pytest.importorskip("optuna")

from app.cli.main import main  # noqa: E402
from app.config.grids import load_grid  # noqa: E402
from app.grids.tuning import Pruning, fixed_settings  # noqa: E402
from app.runs.completion import initialize  # noqa: E402


def test_fixed_settings_are_those_that_change_what_is_computed() -> None:
    words = ["--model.lr", "1", "--trainer.max_epochs=2", "--data.root", "x", "--trainer.enable_progress_bar=false"]
    assert fixed_settings(words) == {"model.lr": "1", "trainer.max_epochs": "2"}


def test_trials_start_where_the_cell_does(
    small: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[Any] = []
    monkeypatch.setattr("app.grids.tuning.initialize", lambda run, built, place, settings: (
        initialize(run, built, place, settings), taught.append(built.model.teacher.network.convs[0].weight.clone())
    ))  # fmt: skip
    words = ["tune", "--cell", "synthetic/gcn/distil_int4", "--seed", "0", "--storage", str(tmp_path / "journal")]
    assert main([*words, "--output", str(tmp_path / "best.yaml"), "--trials", "2", *small(2)]) == 0
    assert len(taught) == 2
    assert taught[0].equal(taught[1]), "the FP32 run is trained once"


def test_a_study_is_continued_and_its_best_is_an_entry_of_a_table(
    small: Callable[..., list[str]], tmp_path: Path
) -> None:
    journal, output = tmp_path / "new" / "journal", tmp_path / "best.yaml"
    words = ["tune", "--cell", "synthetic/gcn/dq_int8", "--seed", "0-1", "--storage", str(journal)]
    words += ["--output", str(output), *small(2)]
    for trials in (1, 2):
        assert main([*words, "--trials", str(trials)]) == 0
        best = yaml.safe_load(output.read_text())
        assert sum(best["study"]["trials"].values()) == trials
        if trials == 1:
            assert best["overrides"]["model.lr"] == 0.01, "the first trial is the cell as it is"
            first = best["study"]["validation"]
    assert best["study"]["validation"] >= first
    assert best["overrides"]["trainer.max_epochs"] == 2
    assert "trainer.enable_progress_bar" not in best["overrides"]
    (tmp_path / "grid.yaml").write_text("entries: [best.yaml]")
    (slot,) = load_grid(str(tmp_path / "grid.yaml")).slots
    assert (slot.column, slot.name) == ("dq_int8+tuned", "synthetic/gcn/dq_int8+tuned")
    assert f"--model.lr={best['overrides']['model.lr']}" in slot.overrides


def test_a_space_of_ones_own_is_searched_and_trials_are_printed(
    small: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.yaml").write_text("model.architecture.hidden: [4, 16]")
    words = ["tune", "--cell", "synthetic/gcn/dq_int8", "--seed", "0", "--storage", str(tmp_path / "journal")]
    words += ["--output", str(tmp_path / "best.yaml"), "--space", str(tmp_path / "space.yaml"), *small(1)]
    assert main([*words, "--trials", "2"]) == 0
    first, second, _ = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"trial 1: 0\.\d{4}  \(best 0\.\d{4} of trial 1\)  model.architecture.hidden 16", first)
    assert re.fullmatch(r"trial 2: \S+  \(best 0\.\d{4} of trial [12]\)  model.architecture.hidden (4|16)", second)
    best = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert best["study"]["range"] == {"model.architecture.hidden": [4, 16]}
    assert best["overrides"]["model.architecture.hidden"] in {4, 16}
    assert "model.lr" not in best["overrides"]


def test_a_study_of_a_cell_whose_file_was_changed_is_not_continued(
    refused: Callable[..., str], small: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEGREE_QUANT_CONFIGS", "")
    scheme = tmp_path / "mine/scheme/own.yaml"
    scheme.parent.mkdir(parents=True)
    scheme.write_text("model: {init_args: {scheme: {name: own, bits: 8}}}")
    words = ["tune", "--config-dir", str(tmp_path / "mine"), "--cell", "synthetic/gcn/own", "--trials", "1", *small(2)]
    words += ["--storage", str(tmp_path / "j"), "--output", str(tmp_path / "o"), "--trainer.check_val_every_n_epoch=2"]
    assert main(words) == 0, "pruning waits for the validation of the second epoch"
    scheme.write_text("model: {init_args: {scheme: {name: own, bits: 2}}}")
    told = refused(*words)
    assert told.startswith(
        f"--storage {tmp_path / 'j'}: the trials of this study have other settings (model.scheme.bits"
    )
    assert "8 -> 2" in told


def test_a_space_may_name_settings_only(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("model.architecture.hiden: [4, 16]")
    words = ("--storage", tmp_path / "j", "--output", tmp_path / "o", "--space", tmp_path / "space.yaml")
    assert "model.architecture.hiden: no such setting" in refused("tune", "--cell", "synthetic/gcn/dq_int8", *words)


def test_a_value_out_of_the_range_that_is_searched_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    words = ("--storage", tmp_path / "j", "--output", tmp_path / "o", "--model.lr=0.3")
    told = refused("tune", "--cell", "synthetic/gcn/dq_int8", *words)
    assert told.startswith("model.lr: is searched from 0.0001 to 0.05, so that 0.3 has no effect")


def test_tune_wants_one_cell(refused: Callable[..., str], tmp_path: Path) -> None:
    words = ("--storage", tmp_path / "j", "--output", tmp_path / "o")
    assert "expected one cell, got 2" in refused("tune", "--cell", "synthetic/gcn/dq_*", *words)


def test_there_is_nothing_to_tune_where_nothing_is_trained(refused: Callable[..., str], tmp_path: Path) -> None:
    words = ("--storage", tmp_path / "j", "--output", tmp_path / "o")
    told = refused("tune", "--cell", "synthetic/gcn/ptq_int8", *words)
    assert told == "trainer.max_epochs is 0: nothing is trained, so there is nothing to tune"


class Trial:
    """Says what is reported, and prunes on the third report."""

    def __init__(self) -> None:
        self.reports: list[tuple[float, int]] = []

    def report(self, value: float, step: int) -> None:
        self.reports.append((value, step))

    def should_prune(self) -> bool:
        return len(self.reports) == 3


def test_pruning_sees_the_mean_over_seeds_at_their_best_epochs() -> None:
    trial, task = Trial(), SimpleNamespace(monitor=("val/loss", "min"))
    pruning = Pruning(trial, [1.0])

    def epoch(number: int, loss: float) -> None:
        trainer: Any = SimpleNamespace(callback_metrics={"val/loss": loss}, max_epochs=10, current_epoch=number)
        pruning.on_train_epoch_end(trainer, task)

    epoch(0, 3.0)
    epoch(1, 5.0)
    with pytest.raises(optuna.TrialPruned):
        epoch(2, 2.0)
    assert trial.reports == [(2.0, 10), (2.0, 11), (1.5, 12)]
