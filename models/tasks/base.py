"""What all tasks share: the network, its optimizer, and reproducible randomness."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch_geometric.data import Data

from models.architectures import Architecture
from models.quantization.qconfig import QuantScheme


class GraphTask(pl.LightningModule):
    """A network in training.

    Args:
        architecture: builds the network from (in_features, out_features, scheme).
        in_features, out_features: taken from the datamodule on the command line.
        scheme: what is quantized how; the default is FP32.
        lr, weight_decay: of Adam.

    Attributes:
        monitor: the validation metric that chooses the epoch, and its direction.
    """

    monitor: ClassVar[tuple[str, str]]

    def __init__(
        self,
        architecture: Callable[[int, int, QuantScheme], Architecture],
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        lr: float = 0.01,
        weight_decay: float = 5e-4,
    ) -> None:
        super().__init__()
        self.scheme = scheme or QuantScheme()
        self.network = architecture(in_features, out_features, self.scheme)
        self.lr, self.weight_decay = lr, weight_decay

    def forward(self, batch: Data) -> Tensor:
        """Logits of a batch."""
        return self.network(batch.x, batch.edge_index, batch.degree_cdf)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over all parameters."""
        return torch.optim.Adam(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Draws of a step (dropout, masks, samples) depend on seed, rank and step alone.

        So a run that was killed and resumed draws what it would have drawn.
        """
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        torch.manual_seed(hash((seed, self.global_rank, self.global_step)) % 2**63)
