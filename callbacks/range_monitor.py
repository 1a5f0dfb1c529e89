"""Logs ranges and clipping of the quantizers to TensorBoard."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from app.engine.program.grid import quantize
from models.quantization.control import quantizers
from models.quantization.fake_quantize import FakeQuantize
from models.quantization.sparse import Features, SparseRows


class RangeMonitor(pl.Callback):
    """Logs scale, zero point and clipping of every site, and histograms of the weights.

    Logged per site are `scale`, `zero_point`, `clipped` (share of the entries of the first validation batch whose
    code was clamped) and `collapsed` (how often its percentile was zero at both ends). Without a TensorBoard logger
    nothing is logged.

    Args:
        every_n_epochs: number of epochs from one log to the next.

    Raises:
        ValueError: if `every_n_epochs` is below 1.
    """

    def __init__(self, every_n_epochs: int = 20) -> None:
        if every_n_epochs < 1:
            raise ValueError(f"RangeMonitor: every_n_epochs must be at least 1, got {every_n_epochs}")
        self.every_n_epochs = every_n_epochs
        self._hooks: list[RemovableHandle] = []
        self._clipped: dict[str, float] = {}

    def due(self, epoch: int) -> bool:
        """Whether an epoch is logged."""
        return epoch % self.every_n_epochs == 0

    def on_validation_batch_start(  # noqa: PLR0917 - Lightning's
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Starts measuring clipping in the first batch of an epoch that is logged."""
        if batch_idx == 0 and not trainer.sanity_checking and self.due(trainer.current_epoch):
            self._hooks = [q.register_forward_hook(self._measure) for q in quantizers(pl_module)]

    def on_validation_batch_end(  # noqa: PLR0917 - Lightning's
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stops measuring, and logs."""
        if not self._hooks:
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        logger = trainer.logger
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            self._write(logger.experiment, pl_module, trainer.current_epoch)

    def _measure(self, site: FakeQuantize, inputs: tuple[Features, ...], output: Features) -> None:
        x = inputs[0].values if isinstance(inputs[0], SparseRows) else inputs[0]
        self._clipped[site.name] = clipped_share(site, x)

    def _write(self, board: Any, pl_module: pl.LightningModule, epoch: int) -> None:
        for site in quantizers(pl_module):
            grid = site.grid()
            board.add_scalar(f"scale/{site.name}", grid.scale, epoch)
            board.add_scalar(f"zero_point/{site.name}", grid.zero_point, epoch)
            board.add_scalar(f"collapsed/{site.name}", int(site.observer.collapsed), epoch)
            if site.name in self._clipped:
                board.add_scalar(f"clipped/{site.name}", self._clipped[site.name], epoch)
        for name, parameter in pl_module.named_parameters():
            board.add_histogram(f"weights/{name}", parameter.detach(), epoch)


def clipped_share(site: FakeQuantize, x: Tensor) -> float:
    """Returns the share of the entries of `x` beyond the ends of the site's grid by more than half a step."""
    if not x.numel():
        return 0.0
    grid = site.grid()
    first, last = grid.qmin - 1, grid.qmax + 1  # one more code at each end: for what the grid would clamp
    codes = quantize(x.detach(), grid.scale, grid.zero_point, first, last)
    return float(((codes == first) | (codes == last)).float().mean())
