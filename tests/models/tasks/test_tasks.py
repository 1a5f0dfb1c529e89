"""Tasks: what is minimised, what is counted, what chooses the epoch, and the learning rate."""

from __future__ import annotations

import warnings

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor
from pytorch_lightning.cli import ReduceLROnPlateau
from pytorch_lightning.loggers import CSVLogger
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from models.architectures import GIN
from models.layers import ReadoutConfig
from models.quantization.protection import degree_cdf
from models.tasks import GraphClassification, GraphRegression, NodeClassification


def graph_gin(i, o, scheme):
    return GIN(i, o, scheme, hidden=6, layers=2, dropout=0.0, readout=ReadoutConfig("sum"))


def node_gin(i, o, scheme):
    return GIN(i, o, scheme, hidden=6, dropout=0.0)


@pytest.fixture
def graphs():
    """Ten graphs; the label is whether there are more than five nodes, the number how many."""
    result = []
    for nodes in range(1, 11):
        edges = torch.randint(nodes, (2, 3 * nodes))
        label = {"y": torch.tensor([int(nodes > 5)]), "number": torch.tensor([nodes / 10])}
        result.append(Data(x=torch.randn(nodes, 4), edge_index=edges, degree_cdf=degree_cdf(edges, nodes), **label))
    return result


def regression_on(graphs):
    for graph in graphs:
        graph.y = graph.number
    return graphs


@pytest.fixture
def fit(tmp_path):
    """fit(task, graphs, epochs, callbacks, loader) -> the trainer."""

    def run(task, graphs, epochs=2, callbacks=(), batch_size=4, ckpt_path=None, sanity_steps=0):
        loaders = [DataLoader(graphs, batch_size=batch_size) for _ in range(2)]
        trainer = pl.Trainer(
            accelerator="cpu", devices=1, max_epochs=epochs, callbacks=list(callbacks),
            num_sanity_val_steps=sanity_steps, logger=CSVLogger(str(tmp_path)),
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(task, *loaders, ckpt_path=ckpt_path, weights_only=True)
        return trainer

    return run


@pytest.mark.parametrize("batch_size", [10, 4])
def test_metrics_of_an_epoch_count_every_graph_once(batch_size, graphs, fit):
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


def test_regression_minimises_and_counts_the_absolute_error(graphs, fit):
    graphs = regression_on(graphs)
    task = GraphRegression(graph_gin, 4, 1, lr=0.0)
    metrics = fit(task, graphs, 1).callback_metrics
    batch = Batch.from_data_list(graphs)
    with torch.no_grad():
        expected = (task.eval()(batch)[:, 0] - batch.y).abs().mean()
    torch.testing.assert_close(metrics["val/mae"], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(metrics["val/loss"], expected, rtol=1e-5, atol=1e-6)
    assert task.monitor == ("val/mae", "min")
    assert fit(GraphRegression(graph_gin, 4, 1, lr=0.05), graphs, 60).callback_metrics["train/mae"] < 0.6 * expected


def test_nodes_of_a_stage_are_those_of_its_mask(graphs):
    batch = graphs[9]
    batch.y = torch.randint(3, (10,))
    for stage, rows in (("train", [0, 1]), ("val", [2, 3, 4]), ("test", [9])):
        batch[f"{stage}_mask"] = torch.zeros(10, dtype=torch.bool).index_fill(0, torch.tensor(rows), True)
        task = NodeClassification(node_gin, 4, 3).eval()
        loss, predictions, targets = task.loss(batch, stage)
        assert torch.equal(predictions, task(batch)[rows])
        assert torch.equal(targets, batch.y[rows])
        assert loss == torch.nn.functional.cross_entropy(predictions, targets)


@pytest.mark.parametrize("scheme", ["dq", "lsq", "fp32"])
def test_lightning_s_sanity_check_evaluates_what_can_be_evaluated(scheme, make_scheme, graphs, fit, monkeypatch):
    task = GraphClassification(graph_gin, 4, 2, make_scheme(scheme))
    evaluated = []
    step = GraphClassification._step
    monkeypatch.setattr(GraphClassification, "_step", lambda self, *of: (evaluated.append(of[1]), step(self, *of))[1])
    fit(task, graphs, 1, sanity_steps=2)
    assert evaluated == ["val"] * (2 if scheme == "fp32" else 0) + ["train"] * 3 + ["val"] * 3
    evaluated.clear()
    fit(task, graphs, 1, sanity_steps=2)  # ranges are known by now
    assert evaluated[:3] == ["val", "val", "train"]


def test_what_chooses_the_epoch():
    assert NodeClassification(node_gin, 4, 3).monitor == ("val/accuracy", "max")
    assert GraphClassification(graph_gin, 4, 3, monitor="val/accuracy").monitor == ("val/accuracy", "max")
    assert GraphClassification(graph_gin, 4, 3, monitor="val/loss").monitor == ("val/loss", "min")
    with pytest.raises(ValueError, match="monitor: expected one of val/mae, val/loss, got 'val/accuracy'"):
        GraphRegression(graph_gin, 4, 1, monitor="val/accuracy")


def rates(trainer, tmp_path):
    rows = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("lr-Adam/weights")
    return [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]]


def test_the_learning_rate_falls_by_steps(graphs, fit, tmp_path):
    task = GraphClassification(
        graph_gin, 4, 2, lr=0.01, lr_scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5)
    )
    trainer = fit(task, graphs, 5, [LearningRateMonitor("epoch")])
    assert rates(trainer, tmp_path) == [0.01, 0.01, 0.005, 0.005, 0.0025]


@pytest.mark.parametrize("scheme", ["fp32", "lsq"])
def test_a_plateau_halves_the_learning_rate_until_training_stops(scheme, graphs, fit, make_scheme, tmp_path):
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


def test_without_a_scheduler_there_is_adam_alone():
    task = GraphClassification(graph_gin, 4, 2, lr=0.02, weight_decay=0.1)
    optimizer = task.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.02, 0.1)


def test_a_resumed_run_has_the_weights_statistics_and_rates_of_an_undisturbed_one(graphs, fit, make_scheme, tmp_path):
    def network(i, o, scheme):
        readout = ReadoutConfig("mean", [4])
        return GIN(i, o, scheme, hidden=6, batch_norm="before", residual=True, embedding="linear", readout=readout)

    def build():
        torch.manual_seed(1)
        plateau = lambda o: ReduceLROnPlateau(o, "val/loss", factor=0.5, patience=0)  # noqa: E731
        return GraphClassification(network, 4, 2, make_scheme("dq"), lr_scheduler=plateau)

    whole, halves = build(), build()
    fit(whole, graphs, 6)
    fit(halves, graphs, 3).save_checkpoint(tmp_path / "half.ckpt", weights_only=False)
    resumed = build()
    trainer = fit(resumed, graphs, 6, ckpt_path=tmp_path / "half.ckpt")
    assert trainer.current_epoch == 6
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert trainer.optimizers[0].param_groups[0]["lr"] == whole.trainer.optimizers[0].param_groups[0]["lr"]
