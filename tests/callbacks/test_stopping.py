from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from callbacks.stopping import DivergedError, Divergence


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["train/loss", "val/loss"])
def test_a_loss_that_is_not_finite_stops_training(name, value):
    trainer = SimpleNamespace(callback_metrics={name: torch.tensor(value)}, current_epoch=7)
    with pytest.raises(DivergedError, match=f"diverged: {name} is {value} in epoch 7"):
        Divergence().on_train_epoch_end(trainer, None)


def test_other_metrics_and_finite_losses_do_not():
    metrics = {"val/accuracy": torch.tensor(float("nan")), "train/loss": torch.tensor(1e30)}
    Divergence().on_train_epoch_end(SimpleNamespace(callback_metrics=metrics, current_epoch=7), None)


def test_a_fit_ends_in_the_epoch_that_diverges(make_task, fit):
    task = make_task("fp32")
    task.lr = float("inf")
    with pytest.raises(DivergedError, match=r"loss is nan in epoch [01]"):
        fit(task, [Divergence()], epochs=5)
