"""The base of all tasks: network, optimizer, metrics, and reproducible randomness."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from math import inf
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LightningCLI, LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau as TorchPlateau
from torch_geometric.data import Data
from torch_geometric.data.data import BaseData
from torchmetrics import Metric

from app.engine.memory import keep_freed_memory
from models.architectures.network import Network
from models.architectures.overrides import check_scheme
from models.hyper_parameters import hyper_parameters
from models.quantization.control import has_ranges, named_weights, step_sizes
from models.quantization.qconfig import QuantScheme
from models.seeds import derived_seed
from models.tasks import named
from models.tasks.checks import check_features, check_rows
from models.tasks.devices import on_device
from models.tasks.distillation import Distillation, Teacher
from models.tasks.metrics import chosen
from models.tasks.targets import Target

STAGES = ("train", "val", "test")

TRAINED_ON = "trained_on"
"""In a checkpoint: the kinds of devices (`cpu`, `cuda`) that it was trained on, in their order."""


class GraphTask(pl.LightningModule):
    """Trains a network on graphs or batches of graphs.

    A subclass says what is learned of a row (`target`: loss and metrics) and, unless all rows count, the rows that
    count in a stage (`select`). It logs `<stage>/loss` and `<stage>/<metric>`, over all
    processes, for the stages train, val and test.

    Args:
        architecture: builds the network from (in_features, out_features, scheme); None where `network` is given.
        in_features: width of the rows of features; the command line takes it from the datamodule.
        out_features: number of logits; the command line takes it from the datamodule.
        scheme: how the network is quantized; the default is FP32.
        network: a network of one's own instead, `package.module:Name`: a class or function that makes one of layers of
            torch and PyG (see `prepare`).
        network_args: its arguments, beside the widths of features and logits.
        network_weights: whether it reads weights of edges that its forward takes with a default; None: it does if its
            forward does not do without (see `prepare`).
        network_source: a hash of the files of `network`; the command line sets it. None: it is not compared.
        lr: learning rate.
        weight_decay: of the weights; learned step sizes have none.
        optimizer: makes the optimizer (`torch.optim.AdamW`, ...) at `lr` and `weight_decay`; None: Adam.
        lr_scheduler: makes the learning-rate scheduler of an optimizer, stepped after every epoch
            (`torch.optim.lr_scheduler.StepLR`, `pytorch_lightning.cli.ReduceLROnPlateau`, ...); None: constant.
        monitor: the validation metric that chooses the epoch (`val/f1`, `val/loss`); None: the first of `metrics`.
        metrics: names of the metrics to log, the one that tables show first; None: the task's own.
        distillation: trains the network to agree with a teacher in FP32; None: there is no teacher.

    Shapes:
        batch.x [N, F], batch.edge_index [2, E], batch.degree_cdf [N]; of a batch of graphs also batch.batch [N]
        and batch.num_graphs.

    Raises:
        ValueError: for an `lr` or `weight_decay` below 0; for a `monitor` or a metric that the task does not have; for
            a rule of the scheme that changes nothing; for a network with another number of logits, or that does to
            them what the target does not take; when training starts with a teacher that has no weights.
    """

    kind: ClassVar[str] = ""
    """The `task` of the datamodules that it is for; empty: of any."""

    target: ClassVar[Target]
    """What is learned of a row."""

    def __init__(
        self,
        architecture: Callable[[int, int, QuantScheme], Network] | None,
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        *,
        network: str | None = None,
        network_args: dict[str, Any] | None = None,
        network_weights: bool | None = None,
        network_source: str | None = None,
        lr: float = 0.01,
        weight_decay: float = 5e-4,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
        monitor: str | None = None,
        metrics: list[str] | None = None,
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__()
        given = {name: value for name, value in locals().items() if name in signature(GraphTask.__init__).parameters}
        self.save_hyperparameters(hyper_parameters({n: v for n, v in given.items() if n != "self"}), logger=False)
        keep_freed_memory()
        for setting, value in (("lr", lr), ("weight_decay", weight_decay)):
            if not 0.0 <= value < inf:
                raise ValueError(f"{setting}: expected a number from 0 on, got {value}")
        self.scheme = scheme or QuantScheme()
        make = maker_of(architecture, network, network_args, weights=network_weights, source=network_source)
        self.network = make(in_features, out_features, self.scheme)
        self.network.check_logits(out_features)
        self.network.check_ending(self.target.endings)
        check_scheme(self.network, self.scheme)
        self.distillation = distillation
        self.teacher = Teacher(make(in_features, out_features, QuantScheme())) if distillation else None
        self.out_features = out_features
        self.trained_on: list[str] = []
        self.lr, self.weight_decay, self.optimizer, self.lr_scheduler = lr, weight_decay, optimizer, lr_scheduler
        found, self.monitor = chosen(self.target.choices, metrics, monitor)
        self.metric_names = tuple(found)
        made = {f"{stage}/{name}": choice.make(out_features) for stage in STAGES for name, choice in found.items()}
        self.metrics = nn.ModuleDict(made)

    def make_metric(self) -> Metric:
        """Returns the first of its metrics, which tables show."""
        return self.target.choices[self.metric_names[0]].make(self.out_features)

    def criterion(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Returns the loss, averaged over what is known."""
        return self.target.loss(predictions, targets)

    def select(self, predictions: Tensor, batch: Data, stage: str) -> tuple[Tensor, Tensor]:
        """Returns predictions and targets of the rows that count in a stage."""
        return predictions, self.target.aligned(batch.y, predictions)

    def forward(self, batch: Data) -> Tensor:
        """Returns the logits of a batch: of its nodes, or of its graphs."""
        check_features(self.network, batch.x)
        logits: Tensor = self.network(**network_inputs(batch), **self._edge_weights(batch))
        check_rows(self.network, logits, batch, self.kind.partition("_")[0])
        return logits

    def _edge_weights(self, batch: Data) -> dict[str, Tensor]:
        return {"edge_weight": batch.edge_weight} if self.network.reads_edge_weights and "edge_weight" in batch else {}

    def loss(self, batch: Data, stage: str) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the loss of the rows of a stage, and their predictions and targets.

        A part of a graph that is trained on in parts says by `label_share` and `node_share` how much its labels and
        its nodes count beside those of other parts; it may have no labels.
        """
        logits = self(batch)
        predictions, targets = self.select(logits, batch, stage)
        loss = self.criterion(predictions, targets) if len(targets) else predictions.sum()  # 0, with gradients of 0
        shares = stage == "train" and "label_share" in batch
        loss = loss * batch.label_share if shares else loss
        if stage == "train" and self.distillation and self.teacher:
            teacher_logits = self.teacher(**network_inputs(batch), **self._edge_weights(batch))
            distance = self.target.distance(logits, teacher_logits, self.distillation.temperature)
            loss = torch.lerp(loss, distance * batch.node_share if shares else distance, self.distillation.weight)
        return loss, predictions, targets

    def training_step(self, batch: Data, batch_idx: int) -> Tensor:
        """Returns the loss of the training rows, and logs it and the metric."""
        return self._step(batch, "train")

    def validation_step(self, batch: Data, batch_idx: int) -> None:
        """Logs loss and metric of the validation rows; skipped in a sanity check while ranges are unknown."""
        if not self.trainer.sanity_checking or has_ranges(self):
            self._step(batch, "val")

    def test_step(self, batch: Data, batch_idx: int) -> None:
        """Logs loss and metric of the test rows."""
        self._step(batch, "test")

    def predict_step(self, batch: Data, batch_idx: int) -> Tensor:
        """Returns the logits of all rows."""
        logits: Tensor = self(batch)
        return logits

    def _step(self, batch: Data, stage: str) -> Tensor:
        loss, predictions, targets = self.loss(batch, stage)
        weight = 1 if stage == "train" and "label_share" in batch else len(targets)  # shares are in the loss already
        common: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": weight}
        shown = {"train/loss", f"{stage}/{self.metric_names[0]}", self.monitor[0]}
        self.log(f"{stage}/loss", loss, sync_dist=True, prog_bar=f"{stage}/loss" in shown, **common)
        for name in (f"{stage}/{name}" for name in self.metric_names):
            metric = self.metrics[name]
            if len(targets):
                metric.update(predictions.detach(), targets)  # type: ignore[operator]
            self.log(name, metric, prog_bar=name in shown, **common)  # type: ignore[arg-type]
        return loss

    def configure_optimizers(self) -> Any:
        """Returns the optimizer of all parameters (learned step sizes have no weight decay) and its scheduler.

        Groups have names, so that the learning rate of the weights is logged as `lr-Adam/weights`, whether there is a
        second group of learned steps or not.

        Raises:
            ValueError: for an optimizer with a rate or decay of its own, or a scheduler that watches nothing.
        """
        steps = step_sizes(self)
        groups: list[dict[str, Any]] = [{"params": list(named_weights(self).values()), "name": "weights"}]
        groups += [{"params": steps, "weight_decay": 0.0, "name": "steps"}] if steps else []
        optimizer = self._make_optimizer(groups)
        scheduler = self.lr_scheduler and self.lr_scheduler(optimizer)
        if isinstance(scheduler, TorchPlateau) and not isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError(
                "model.lr_scheduler: torch's ReduceLROnPlateau does not say what it watches: "
                "use pytorch_lightning.cli.ReduceLROnPlateau with a monitor"
            )
        return LightningCLI.configure_optimizers(self, optimizer, scheduler)

    def _make_optimizer(self, groups: list[dict[str, Any]]) -> Optimizer:
        if self.optimizer is None:
            return torch.optim.Adam(groups, lr=self.lr, weight_decay=self.weight_decay)
        for group in groups:
            group.setdefault("lr", self.lr)
            group.setdefault("weight_decay", self.weight_decay)
        optimizer = self.optimizer(groups)
        arguments = signature(type(optimizer)).parameters
        for name in ("lr", "weight_decay"):
            if name not in arguments and getattr(self, name):
                raise ValueError(f"model.optimizer: {type(optimizer).__name__} has no {name}: set model.{name} to 0")
            if name in arguments and optimizer.defaults.get(name) != arguments[name].default:
                raise ValueError(f"model.optimizer.{name}: set model.{name} instead")
        return optimizer

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Returns the batch on a device; PyG objects stay where they are, see `on_device`."""
        if isinstance(batch, BaseData):
            return on_device(batch, device)
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Notes in a checkpoint on which kinds of devices it was trained, in their order (`trained_on`)."""
        before, now = self.trained_on, self.device.type
        checkpoint[TRAINED_ON] = before if before[-1:] == [now] else [*before, now]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes over what a checkpoint says it was trained on; older ones say nothing."""
        self.trained_on = checkpoint.get(TRAINED_ON, [])

    def on_fit_start(self) -> None:
        """Checks that the teacher, if there is one, has weights."""
        if self.teacher is not None and not self.teacher.known:
            raise ValueError("distillation: the teacher has no weights; `init_from` names the run they are of")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seeds the random numbers of a batch (dropout, masks, samples) by the run's seed, the rank and the batch.

        So a resumed run draws the same numbers as an uninterrupted one. Batches are counted over all epochs; steps
        would not do, as the batches that share one (gradient accumulation) would draw the same numbers.
        """
        torch.manual_seed(derived_seed(self.global_rank, self.trainer.fit_loop.total_batch_idx))


def maker_of(
    architecture: Callable[[int, int, QuantScheme], Network] | None,
    network: str | None,
    args: dict[str, Any] | None,
    *,
    weights: bool | None,
    source: str | None,
) -> Callable[[int, int, QuantScheme], Network]:
    """Returns what builds the network: an architecture, or one's own network by its name.

    Raises:
        ValueError: unless there is exactly one of both; for arguments without a network, or one that has changed.
    """
    if network is None:
        if architecture is None:
            raise ValueError("model: give an architecture, or a network of your own by model.network")
        for setting, given in (("network_args", args), ("network_weights", weights)):
            if given:
                raise ValueError(f"model.{setting}: has no effect without model.network")
        return architecture
    if architecture is not None:
        raise ValueError("model.architecture: has no effect beside model.network; leave one of them out")
    if source is not None and source != named.source_of(network):
        raise ValueError(
            f"model.network: the file of {network}, or one beside it that it imports, has changed since this run "
            "began; restore it, or train again with `train.py fit --overwrite`"
        )
    return named.maker(network, args, edge_weight=weights)


def network_inputs(batch: Data) -> dict[str, Any]:
    """Returns the arguments of a network's forward from a batch of one graph or of many."""
    names = ("x", "edge_index", "degree_cdf", "batch")
    graphs = {"num_graphs": batch.num_graphs} if batch.batch is not None else {}
    return {name: batch[name] for name in names if name in batch} | graphs
