"""What all tasks share: metrics of an epoch, sanity check, choice of the epoch, learning rate, resuming."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor
from pytorch_lightning.cli import ReduceLROnPlateau
from torch_geometric.data import Batch

from models.architectures import GIN
from models.layers import ReadoutConfig
from models.tasks import GraphClassification, GraphRegression


@pytest.mark.parametrize("batch_size", [10, 4])
def test_metrics_of_an_epoch_count_every_graph_once(batch_size, graphs, fit, graph_gin):
    """Batches of 4, 4 and 2 weigh as much as their graphs."""
    task = GraphClassification(graph_gin, 4, 2, lr=0.0)
    metrics = fit(task, graphs, 1, batch_size=batch_size).callback_metrics
    batch = Batch.from_data_list(graphs)
    with torch.no_grad():
        logits = task.eval()(batch)
    expected = torch.nn.functional.cross_entropy(logits, batch.y)
    for stage in ("train", "val"):
        torch.testing.assert_close(metrics[f"{stage}/loss"], expected, rtol=1e-5, atol=1e-6)
        assert metrics[f"{stage}/accuracy"] == (logits.argmax(1) == batch.y).float().mean()


@pytest.fixture
def staged():
    """A classification that lists the stages whose loss it is asked for."""

    class Staged(GraphClassification):
        def loss(self, batch, stage):
            self.stages.append(stage)
            return super().loss(batch, stage)

    def build(*arguments):
        task = Staged(*arguments)
        task.stages = []
        return task

    return build


@pytest.mark.parametrize(("scheme", "checks"), [("dq", 0), ("lsq", 0), ("fp32", 2)])
def test_the_sanity_check_is_skipped_while_ranges_are_unknown(
    scheme, checks, make_scheme, graph_gin, graphs, fit, staged
):
    task = staged(graph_gin, 4, 2, make_scheme(scheme))
    fit(task, graphs, 1, sanity_steps=2)
    assert task.stages == ["val"] * checks + ["train"] * 3 + ["val"] * 3


@pytest.mark.parametrize("scheme", ["dq", "lsq", "fp32"])
def test_the_sanity_check_of_a_trained_network_evaluates_it(scheme, make_scheme, graph_gin, graphs, fit, staged):
    task = staged(graph_gin, 4, 2, make_scheme(scheme))
    fit(task, graphs, 1)
    task.stages.clear()
    fit(task, graphs, 1, sanity_steps=2)
    assert task.stages[:3] == ["val", "val", "train"]


@pytest.mark.parametrize(("monitor", "mode"), [("val/accuracy", "max"), ("val/loss", "min")])
def test_the_loss_may_choose_the_epoch_instead_of_the_metric(monitor, mode, graph_gin):
    assert GraphClassification(graph_gin, 4, 3, monitor=monitor).monitor == (monitor, mode)


def test_a_monitor_that_is_not_logged_is_refused(graph_gin):
    with pytest.raises(
        ValueError, match="monitor: expected one of val/loss, val/mae, val/rmse, val/r2, got 'val/accuracy'"
    ):
        GraphRegression(graph_gin, 4, 1, monitor="val/accuracy")


def rates(trainer, tmp_path):
    rows = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("lr-Adam/weights")
    return [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]]


def test_the_learning_rate_falls_by_steps(graphs, fit, tmp_path, graph_gin):
    task = GraphClassification(
        graph_gin, 4, 2, lr=0.01, lr_scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5)
    )
    trainer = fit(task, graphs, 5, [LearningRateMonitor("epoch")])
    assert rates(trainer, tmp_path) == [0.01, 0.01, 0.005, 0.005, 0.0025]


@pytest.mark.parametrize("scheme", ["fp32", "lsq"])
def test_a_plateau_halves_the_learning_rate_until_training_stops(scheme, graphs, fit, make_scheme, tmp_path, graph_gin):
    """lr 0 in effect: the monitored loss never improves, and the threshold on the rate ends the run.

    The rate has the same name where learned steps have a group of their own.
    """
    task = GraphClassification(
        graph_gin,
        4,
        2,
        make_scheme(scheme),
        lr=1e-9,
        lr_scheduler=lambda o: ReduceLROnPlateau(o, "val/loss", factor=0.5, patience=0, eps=0.0),
    )
    settings = {"mode": "min", "patience": 10**6, "check_on_train_epoch_end": True}
    stop = EarlyStopping("lr-Adam/weights", stopping_threshold=2e-10, **settings)
    trainer = fit(task, graphs, 50, [LearningRateMonitor("epoch"), stop])
    assert trainer.current_epoch < 10
    assert rates(trainer, tmp_path)[-1] < 2e-10 <= rates(trainer, tmp_path)[-2]


def test_without_a_scheduler_there_is_adam_alone(graph_gin):
    task = GraphClassification(graph_gin, 4, 2, lr=0.02, weight_decay=0.1)
    optimizer = task.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.02, 0.1)


def test_weights_alone_decay_where_steps_are_learned(graph_gin, make_scheme):
    task = GraphClassification(graph_gin, 4, 2, make_scheme("lsq"), weight_decay=0.1)
    groups = {group["name"]: group for group in task.configure_optimizers().param_groups}
    assert {name: group["weight_decay"] for name, group in groups.items()} == {"weights": 0.1, "steps": 0.0}
    assert sum(len(group["params"]) for group in groups.values()) == len(list(task.parameters()))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_has_the_weights_statistics_and_rates_of_an_undisturbed_one(
    graphs, fit, make_scheme, tmp_path, accumulate
):
    def network(i, o, scheme):
        readout = ReadoutConfig("mean", [4])
        return GIN(i, o, scheme, hidden=6, batch_norm="before", residual=True, embedding="linear", readout=readout)

    def build():
        torch.manual_seed(1)
        plateau = lambda o: ReduceLROnPlateau(o, "val/loss", factor=0.5, patience=0)  # noqa: E731
        return GraphClassification(network, 4, 2, make_scheme("dq"), lr_scheduler=plateau)

    whole, halves = build(), build()
    fit(whole, graphs, 6, accumulate=accumulate)
    fit(halves, graphs, 3, accumulate=accumulate).save_checkpoint(tmp_path / "half.ckpt", weights_only=False)
    resumed = build()
    trainer = fit(resumed, graphs, 6, ckpt_path=tmp_path / "half.ckpt", accumulate=accumulate)
    assert trainer.current_epoch == 6
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert trainer.optimizers[0].param_groups[0]["lr"] == whole.trainer.optimizers[0].param_groups[0]["lr"]


@pytest.fixture
def drawing():
    """A classification that draws a number in every training step, and keeps them in `drawn`."""

    class Drawing(GraphClassification):
        def training_step(self, batch, batch_idx):
            self.drawn.append(float(torch.rand(())))
            return super().training_step(batch, batch_idx)

    def build(*arguments):
        task = Drawing(*arguments)
        task.drawn = []
        return task

    return build


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_every_batch_draws_its_own_numbers_and_the_same_however_many_make_a_step(
    accumulate, drawing, graph_gin, graphs, fit
):
    task, one_each = drawing(graph_gin, 4, 2), drawing(graph_gin, 4, 2)
    fit(task, graphs, 3, accumulate=accumulate)
    fit(one_each, graphs, 3)
    assert len(set(task.drawn)) == len(task.drawn) == 9
    assert task.drawn == one_each.drawn


def test_a_resumed_run_under_accumulation_draws_what_an_undisturbed_one_draws(
    drawing, graph_gin, graphs, fit, tmp_path
):
    whole, half, rest = (drawing(graph_gin, 4, 2) for _ in range(3))
    fit(whole, graphs, 4, accumulate=2)
    fit(half, graphs, 2, accumulate=2).save_checkpoint(tmp_path / "half.ckpt", weights_only=False)
    fit(rest, graphs, 4, accumulate=2, ckpt_path=tmp_path / "half.ckpt")
    assert half.drawn + rest.drawn == whole.drawn


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.zeros(6, 1, dtype=torch.int64), "each node has one category, .*model.architecture.embedding"),
        (torch.zeros(6, 3), "nodes have 3 features, the network reads 4"),
    ],
)
def test_features_that_the_network_does_not_read_are_named(graph_gin, graphs, x, sentence):
    task = GraphClassification(graph_gin, 4, 2)
    batch = Batch.from_data_list(graphs[5:6])
    batch.x = x
    with pytest.raises(ValueError, match=f"^data: {sentence}"):
        task(batch)


def test_another_optimizer_keeps_rate_decay_and_groups(graph_gin, make_scheme):
    task = GraphClassification(
        graph_gin, 4, 2, make_scheme("lsq"), lr=0.02, weight_decay=0.1, optimizer=torch.optim.AdamW
    )
    optimizer = task.configure_optimizers()
    assert type(optimizer) is torch.optim.AdamW
    groups = {group["name"]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups}
    assert groups == {"weights": (0.02, 0.1), "steps": (0.02, 0.0)}


@pytest.mark.parametrize(("setting", "value"), [("lr", 0.5), ("weight_decay", 0.5)])
def test_a_rate_or_decay_of_the_optimizer_s_own_is_refused(graph_gin, setting, value):
    task = GraphClassification(graph_gin, 4, 2, optimizer=partial(torch.optim.AdamW, **{setting: value}))
    with pytest.raises(ValueError, match=rf"model.optimizer.{setting}: set model.{setting} instead"):
        task.configure_optimizers()


def test_an_optimizer_without_decay_is_refused_where_there_is_some(graph_gin):
    task = GraphClassification(graph_gin, 4, 2, weight_decay=0.1, optimizer=torch.optim.Rprop)
    with pytest.raises(ValueError, match=r"Rprop has no weight_decay: set model.weight_decay to 0"):
        task.configure_optimizers()


def test_torch_s_plateau_which_watches_nothing_is_refused(graph_gin):
    task = GraphClassification(graph_gin, 4, 2, lr_scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau)
    with pytest.raises(ValueError, match=r"model.lr_scheduler: torch's ReduceLROnPlateau does not say what it watches"):
        task.configure_optimizers()
