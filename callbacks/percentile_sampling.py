"""Changes the sample size of the percentile observers over the epochs."""

from __future__ import annotations

import pytorch_lightning as pl

from models.quantization.control import quantizers
from models.quantization.qconfig import ObserverConfig, default_of


class PercentileSampling(pl.Callback):
    """Sets how many entries of a tensor percentile observers sample; tensors with fewer are used whole.

    Observers whose settings have another `sample` than the default keep that.

    A sample bounds the cost of a percentile of a large tensor. It can be small while weights change fast, and
    larger later.

    Args:
        first: entries in the first epoch.
        last: entries from epoch `epochs` on; in between the number grows geometrically.
        epochs: length of the transition.

    Raises:
        ValueError: unless all are at least 1.
    """

    def __init__(self, first: int = 100_000, last: int = 100_000, epochs: int = 1) -> None:
        if min(first, last, epochs) < 1:
            raise ValueError(f"PercentileSampling: all arguments must be at least 1, got {first}, {last}, {epochs}")
        self.first, self.last, self.epochs = first, last, epochs

    def sample_in(self, epoch: int) -> int:
        """Returns the number of entries to sample in an epoch."""
        entries: float = self.first * (self.last / self.first) ** min(epoch / self.epochs, 1.0)
        return round(entries)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sets the sample size of the epoch."""
        for quantizer in quantizers(pl_module):
            if quantizer.observer.config.sample == default_of(ObserverConfig, "sample"):
                quantizer.observer.sample = self.sample_in(trainer.current_epoch)
