"""Changes the protection probabilities of Degree-Quant over the epochs."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_warn

from models.quantization.control import protections
from models.quantization.protection import check_probabilities


class MaskSchedule(pl.Callback):
    """Changes p_min and p_max linearly from the scheme's values to the given ones.

    Args:
        p_min, p_max: final probabilities; with 0 and 0 no node is protected in the end.
        start_epoch: last epoch with the scheme's values.
        end_epoch: first epoch with the final values.

    Raises:
        ValueError: unless 0 <= p_min <= p_max <= 1 and 0 <= start_epoch < end_epoch.
    """

    def __init__(self, p_min: float, p_max: float, *, start_epoch: int, end_epoch: int) -> None:
        check_probabilities(p_min, p_max)
        if not 0 <= start_epoch < end_epoch:
            raise ValueError(f"MaskSchedule: expected 0 <= start_epoch < end_epoch, got {start_epoch}, {end_epoch}")
        self.final = (p_min, p_max)
        self.start_epoch, self.end_epoch = start_epoch, end_epoch

    def probabilities(self, epoch: int, initial: tuple[float, float]) -> tuple[float, float]:
        """Returns (p_min, p_max) of an epoch, given the scheme's values."""
        share = min(max((epoch - self.start_epoch) / (self.end_epoch - self.start_epoch), 0.0), 1.0)
        low, high = (first + share * (last - first) for first, last in zip(initial, self.final, strict=True))
        return low, high

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Warns if training ends before anything changes."""
        epochs = trainer.max_epochs or -1
        if 0 < epochs <= self.start_epoch + 1:
            rank_zero_warn(
                f"MaskSchedule: has no effect, changes begin after epoch {self.start_epoch} (start_epoch), "
                f"the last of {epochs} is {epochs - 1}"
            )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sets the probabilities of the epoch in all masks."""
        for protection in protections(pl_module):
            low, high = self.probabilities(trainer.current_epoch, protection.initial)
            protection.p_min.fill_(low)
            protection.p_max.fill_(high)
