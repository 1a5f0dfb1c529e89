"""What all tasks share: the network, its optimizer, its metrics, and reproducible randomness."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LightningCLI, LRSchedulerCallable
from torch import Tensor, nn
from torch_geometric.data import Data
from torchmetrics import Metric

from models.architectures import Architecture
from models.quantization.control import has_ranges, named_weights, step_sizes
from models.quantization.qconfig import QuantScheme
from models.quantization.seeds import derived_seed
from models.tasks.distillation import Distillation, Teacher

STAGES = ("train", "val", "test")


class GraphTask(pl.LightningModule, ABC):
    """A network in training on graphs or batches of graphs.

    A task says what its metric is (`metric`, `make_metric`), what it minimises (`criterion`) and, if it is not
    everything, which rows count in a stage (`select`). Logged are `<stage>/loss` and `<stage>/<metric>`, over all
    processes, for the stages train, val and test.

    Args:
        architecture: builds the network from (in_features, out_features, scheme).
        in_features, out_features: taken from the datamodule on the command line.
        scheme: what is quantized how; the default is FP32.
        lr, weight_decay: of Adam.
        lr_scheduler: makes the learning-rate scheduler of an optimizer, stepped after every epoch
            (`torch.optim.lr_scheduler.StepLR`, `pytorch_lightning.cli.ReduceLROnPlateau`, ...); None: constant.
        monitor: the validation metric that chooses the epoch; None: that of the task.
        distillation: how far a teacher in FP32 decides what training minimises; None: there is none.

    Shapes:
        batch.x [N, F], batch.edge_index [2, E], batch.degree_cdf [N]; of a batch of graphs also batch.batch [N]
        and batch.num_graphs.

    Raises:
        ValueError: for a `monitor` that is not logged; where training begins with a teacher that has no weights.
    """

    metric: ClassVar[tuple[str, str]]
    """The metric's name, and `max` or `min`, whichever is better."""

    def __init__(
        self,
        architecture: Callable[[int, int, QuantScheme], Architecture],
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        lr: float = 0.01,
        weight_decay: float = 5e-4,
        lr_scheduler: LRSchedulerCallable | None = None,
        monitor: str | None = None,
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__()
        self.scheme = scheme or QuantScheme()
        self.network = architecture(in_features, out_features, self.scheme)
        self.distillation = distillation
        self.teacher = Teacher(architecture(in_features, out_features, QuantScheme())) if distillation else None
        self.out_features = out_features
        self.lr, self.weight_decay, self.lr_scheduler = lr, weight_decay, lr_scheduler
        name, best = self.metric
        self.metrics = nn.ModuleDict({f"{stage}/{name}": self.make_metric() for stage in STAGES})
        modes: Mapping[str, str] = {f"val/{name}": best, "val/loss": "min"}
        metric = monitor or f"val/{name}"
        if metric not in modes:
            raise ValueError(f"monitor: expected one of {', '.join(modes)}, got {monitor!r}")
        self.monitor = metric, modes[metric]

    @abstractmethod
    def make_metric(self) -> Metric:
        """The metric called `metric`, of (predictions, targets)."""

    @abstractmethod
    def criterion(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """What training minimises: the mean over rows."""

    def disagreement(self, answers: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """What distillation minimises: how far a student's answers are from its teacher's; the mean over rows."""
        return self.criterion(answers, wanted)

    def select(self, predictions: Tensor, batch: Data, stage: str) -> tuple[Tensor, Tensor]:
        """Predictions and targets of the rows that count in a stage."""
        return predictions, batch.y

    def forward(self, batch: Data) -> Tensor:
        """Logits of a batch: of its nodes, or of its graphs."""
        return self.network(*inputs_of(batch))

    def loss(self, batch: Data, stage: str) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of a stage's rows, their predictions and targets."""
        answers = self(batch)
        predictions, targets = self.select(answers, batch, stage)
        loss = self.criterion(predictions, targets)
        if stage == "train" and self.distillation and self.teacher:
            wanted = self.teacher(*inputs_of(batch))
            apart = self.disagreement(answers, wanted, self.distillation.temperature)
            loss = torch.lerp(loss, apart, self.distillation.weight)
        return loss, predictions, targets

    def training_step(self, batch: Data, batch_idx: int) -> Tensor:
        """Loss on the training rows."""
        return self._step(batch, "train")

    def validation_step(self, batch: Data, batch_idx: int) -> None:
        """Metrics on the validation rows; none in a sanity check before any range is known."""
        if not self.trainer.sanity_checking or has_ranges(self):
            self._step(batch, "val")

    def test_step(self, batch: Data, batch_idx: int) -> None:
        """Metrics on the test rows."""
        self._step(batch, "test")

    def predict_step(self, batch: Data, batch_idx: int) -> Tensor:
        """Logits of all rows."""
        return self(batch)

    def _step(self, batch: Data, stage: str) -> Tensor:
        loss, predictions, targets = self.loss(batch, stage)
        name = f"{stage}/{self.metric[0]}"
        metric = self.metrics[name]
        metric(predictions, targets)
        common: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": len(targets)}
        self.log(f"{stage}/loss", loss, sync_dist=True, **common)
        self.log(name, metric, prog_bar=True, **common)  # type: ignore[arg-type]
        return loss

    def configure_optimizers(self) -> Any:
        """Adam over all parameters, learned step sizes without weight decay; and the scheduler.

        Groups have names, so that the rate of the weights is called `lr-Adam/weights` with and without steps.
        """
        steps = step_sizes(self)
        groups: list[dict[str, Any]] = [{"params": list(named_weights(self).values()), "name": "weights"}]
        groups += [{"params": steps, "weight_decay": 0.0, "name": "steps"}] if steps else []
        adam = torch.optim.Adam(groups, lr=self.lr, weight_decay=self.weight_decay)
        return LightningCLI.configure_optimizers(self, adam, self.lr_scheduler and self.lr_scheduler(adam))

    def on_fit_start(self) -> None:
        """See the class."""
        if self.teacher is not None and not self.teacher.known:
            raise ValueError("distillation: the teacher has no weights; `init_from` names the run they are of")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Draws of a step (dropout, masks, samples) depend on seed, rank and step alone.

        So a run that was killed and resumed draws what it would have drawn.
        """
        torch.manual_seed(derived_seed(self.global_rank, self.global_step))


def inputs_of(batch: Data) -> tuple[Any, ...]:
    """What a network takes of a batch: of many graphs, also which they are."""
    graphs = (batch.batch, batch.num_graphs) if batch.batch is not None else ()
    return batch.x, batch.edge_index, batch.degree_cdf, *graphs
