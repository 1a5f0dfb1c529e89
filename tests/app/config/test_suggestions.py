from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from app.config.suggestions import errors_in_one_line

CELL = "synthetic/gcn/dq_int8"
Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--trainer.max_epoch 5", "trainer.max_epoch: no such setting; did you mean trainer.max_epochs?"),
        ("--trainer.max_epochs abc", "trainer.max_epochs: expected int, got 'abc'"),
        ("--trainer.max_epochs -5", "max_epochs"),
        ("--trainer.devices 0", "devices"),
        ("--trainer.accelerator gpuu", "accelerator"),
        ("--trainer.callbacks+=callbacks.RangeTrackr", "RangeTrackr; did you mean RangeTracker?"),
        ("--model.scheme.bits four", "model.scheme.bits: expected int, got 'four'"),
        ("--model.scheme.bits 9", "bits: expected a whole number from 2 to 8, got 9"),
        ("--model.scheme.bitz 4", "model.scheme.bitz: no such setting; did you mean model.scheme.bits?"),
        ("--model.scheme.gradient xyz", "model.scheme.gradient: expected one of ste, gc, got 'xyz'"),
        ("--model.scheme.observer.statistic max", "expected one of minmax, percentile, got 'max'"),
        ("--model.scheme.observer.percentile 99", "expected per cent from 0 to below 50, got 99.0"),
        ("--model.scheme.protection.p_min 0.5", "expected 0 <= p_min <= p_max <= 1, got p_min=0.5, p_max=0.1"),
        ("--model.scheme dq", "model.scheme: expected settings by name, got 'dq'"),
        ("--model.lr abc", "model.lr: expected float, got 'abc'"),
        ("--model.lr", "a value is missing"),
        ("--model.lrr 3", "model.lrr: no such setting; did you mean model.lr?"),
        ("--model.architecture GCNN", "model.architecture: no class 'GCNN'; there are models.architectures.GCN"),
        ("--model.architecture models.architectures.GCNN", "has no GCNN; did you mean GCN?"),
        ("--model.architecture.hidden 0", "layers and hidden must be at least 1"),
        ("--model.architecture.norm edg", "model.architecture.norm: expected one of edge, factored, got 'edg'"),
        ("--model NodeClasification", "no class 'NodeClasification'; there are models.tasks.NodeClassification"),
        ("--data Cora", "there are datamodules.CitationDataModule, datamodules.DigitsDataModule, "),
        ("--data.features words", "data.features: expected one of row_normalized, raw, got 'words'"),
        ("--data.num_nodes 5", "the split needs at least"),
        ("--data.name Cora", "data.name: not a setting of the class chosen there"),
        ("--model.lr -1", "model.lr: expected a number from 0 on, got -1.0"),
        ("--model.weight_decay .nan", "model.weight_decay: expected a number from 0 on, got nan"),
        ("--model.scheme.bits 1", "model.scheme.bits: expected a whole number from 2 to 8, got 1"),
        (
            "--model NodeRegression",
            "model: NodeRegression is for node_regression, but synthetic has the task node_",
        ),
        ("--data TUDataModule", "data.name: has to be given"),
        ("surplus", "'surplus': a word that no option takes"),
    ],
)
def test_a_wrong_setting_is_one_line_naming_it(refused: Refused, tmp_path: Path, words: str, told: str) -> None:
    assert told in refused("fit", "--cell", CELL, "--runs-root", tmp_path, *words.split())


@pytest.mark.parametrize("callback", ["EarlyStopping", "ModelCheckpoint"])
def test_a_callback_that_waits_for_what_nobody_logs_is_one_line(callback, refused, tmp_path):
    words = f"[{{class_path: pytorch_lightning.callbacks.{callback}, init_args: {{monitor: val/none}}}}]"
    settings = ("--trainer.max_epochs", 1, "--trainer.enable_progress_bar", "false", "--trainer.callbacks+", words)
    told = refused("fit", "--cell", CELL, "--runs-root", tmp_path, *settings)
    assert told.startswith("trainer: ")
    assert "val/none" in told


@pytest.mark.parametrize("problem", [torch.OutOfMemoryError("CUDA out of memory"), NotImplementedError("no kernel")])
def test_what_is_no_mistake_in_a_setting_passes_as_it_is(problem: RuntimeError) -> None:
    with pytest.raises(type(problem)) as raised, errors_in_one_line():
        raise problem
    assert raised.value is problem
