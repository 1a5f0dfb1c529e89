"""Classes of nodes on one graph, full batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data
from torchmetrics.classification import MulticlassAccuracy

from models.architectures import Architecture
from models.quantization.qconfig import QuantScheme
from models.tasks.base import GraphTask


class NodeClassification(GraphTask):
    """Cross-entropy on the training nodes; accuracy (a fraction) of validation and test nodes.

    Logs `train/loss`, `train/accuracy`, `val/loss`, `val/accuracy`, `test/loss`, `test/accuracy`.

    Shapes:
        batch.x [N, F], batch.edge_index [2, E], batch.y [N], batch.{train,val,test}_mask [N],
        batch.degree_cdf [N].
    """

    monitor: ClassVar[tuple[str, str]] = ("val/accuracy", "max")

    def __init__(
        self,
        architecture: Callable[[int, int, QuantScheme], Architecture],
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        lr: float = 0.01,
        weight_decay: float = 5e-4,
    ) -> None:
        super().__init__(architecture, in_features, out_features, scheme, lr, weight_decay)
        self.train_accuracy = MulticlassAccuracy(out_features, average="micro")
        self.val_accuracy = MulticlassAccuracy(out_features, average="micro")
        self.test_accuracy = MulticlassAccuracy(out_features, average="micro")

    def loss(self, batch: Data, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy over the nodes of `mask`, and their logits."""
        logits = self(batch)[mask]
        return cross_entropy(logits, batch.y[mask]), logits

    def training_step(self, batch: Data, batch_idx: int) -> Tensor:
        """Loss on the training nodes."""
        return self._step(batch, "train", batch.train_mask, self.train_accuracy)

    def validation_step(self, batch: Data, batch_idx: int) -> None:
        """Metrics on the validation nodes."""
        self._step(batch, "val", batch.val_mask, self.val_accuracy)

    def test_step(self, batch: Data, batch_idx: int) -> None:
        """Metrics on the test nodes."""
        self._step(batch, "test", batch.test_mask, self.test_accuracy)

    def predict_step(self, batch: Data, batch_idx: int) -> Tensor:
        """Logits [N, C] of all nodes."""
        return self(batch)

    def _step(self, batch: Data, stage: str, mask: Tensor, accuracy: MulticlassAccuracy) -> Tensor:
        loss, logits = self.loss(batch, mask)
        accuracy(logits, batch.y[mask])
        size = int(mask.sum())
        self.log(f"{stage}/loss", loss, on_step=False, on_epoch=True, batch_size=size)
        self.log(f"{stage}/accuracy", accuracy, on_step=False, on_epoch=True, batch_size=size, prog_bar=True)
        return loss
