"""Logs ranges and clipping of the quantizers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from app.engine.program.grid import quantize
from callbacks.run_log import naming
from models.quantization.control import quantizers, takes_blocks
from models.quantization.fake_quantize import FakeQuantize
from models.quantization.sparse import Features, SparseRows

LOGS = 10
"""How often a training is logged at least, for a curve of its ranges; one of fewer epochs, in every epoch."""

LARGEST = 1e20
"""Largest weight of which TensorBoard has a bin: it refuses a histogram of larger ones alone."""

CHARTS = ("scale", "zero_point", "clipped", "collapsed")
"""What is logged of a site."""


class RangeMonitor(pl.Callback):
    """Logs scale, zero point and clipping of every site to every log; to TensorBoard also histograms of the weights.

    An epoch that is not validated is logged at its end, without clipping.

    Logged per site are `scale`, `zero_point`, `clipped` (share of the entries of the first validation batch whose
    code was clamped) and `collapsed` (how often its percentile was zero at both ends), at the step of the metrics of
    their epoch. In TensorBoard's custom scalars, the sites of one layer share a chart of each.

    Args:
        every_n_epochs: number of epochs from one log to the next, at most: a short training is logged `LOGS` times.

    Raises:
        ValueError: if `every_n_epochs` is below 1.
    """

    def __init__(self, every_n_epochs: int = 20) -> None:
        if every_n_epochs < 1:
            raise ValueError(f"RangeMonitor: every_n_epochs must be at least 1, got {every_n_epochs}")
        self.every_n_epochs = every_n_epochs
        self._hooks: list[RemovableHandle] = []
        self._clipped: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._grouped, self._logged = False, -1

    def due(self, epoch: int, epochs: int | None) -> bool:
        """Whether an epoch is logged, of a training of so many; -1 or None: their number is unknown."""
        several = epochs // LOGS if epochs is not None and epochs > 0 else self.every_n_epochs
        interval = min(self.every_n_epochs, several)
        return epoch % max(1, interval) == 0

    def on_validation_batch_start(  # noqa: PLR0917 - Lightning's
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Starts measuring clipping in the first batch of an epoch that is logged."""
        if batch_idx == 0 and not trainer.sanity_checking and self.due(trainer.current_epoch, trainer.max_epochs):
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
        if trainer.is_global_zero and trainer.state.fn == TrainerFn.FITTING:
            self._log(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Logs an epoch that was not validated."""
        if (
            trainer.is_global_zero
            and self.due(trainer.current_epoch, trainer.max_epochs)
            and self._logged != trainer.current_epoch
        ):
            self._log(trainer, pl_module)

    @takes_blocks
    def _measure(self, site: FakeQuantize, inputs: tuple[Features, ...], output: Features) -> None:
        x = inputs[0].values if isinstance(inputs[0], SparseRows) else inputs[0]
        self._clipped[site.name] += Counter(clipped=count_clipped(site, x), entries=x.numel())

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        step = max(0, trainer.global_step - 1)  # that of Lightning's metrics after the same batch
        shares = {name: seen["clipped"] / max(1, seen["entries"]) for name, seen in self._clipped.items()}
        self._clipped.clear()
        self._logged = trainer.current_epoch
        scalars: dict[str, float] = {}
        for site in quantizers(pl_module):
            grid = site.grid()
            values = (site.limits()[2], grid.zero_point, shares.get(site.name), int(site.observer.collapsed))
            named = zip(CHARTS, values, strict=True)
            scalars |= {f"{chart}/{site.name}": value for chart, value in named if value is not None}
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step)
            if isinstance(logger, TensorBoardLogger):
                with naming(logger.log_dir):
                    self._log_weights(logger.experiment, pl_module, step)

    def _log_weights(self, board: Any, pl_module: pl.LightningModule, step: int) -> None:
        if not self._grouped:
            board.add_custom_scalars(layout([site.name for site in quantizers(pl_module)]))
            self._grouped = True
        for name, parameter in pl_module.named_parameters():
            if parameter.abs().max() < LARGEST:  # with others, or NaN, the training is about to end and says why
                board.add_histogram(f"weights/{name}", parameter.detach(), step)


def layout(sites: Iterable[str]) -> dict[str, dict[str, list[Any]]]:
    """Returns the charts of TensorBoard's custom scalars: for every layer one of each kind, with its sites as lines."""
    layers: dict[str, list[str]] = {}
    for site in sites:
        layers.setdefault(site.rpartition(".")[0] or site, []).append(site)
    return {
        layer: {chart: ["Multiline", [f"{chart}/{name}$" for name in names]] for chart in CHARTS}
        for layer, names in layers.items()
    }


def count_clipped(site: FakeQuantize, x: Tensor) -> int:
    """Returns how many entries of `x` are beyond the ends of the site's grid by more than half a step."""
    grid = site.grid()
    first, last = grid.qmin - 1, grid.qmax + 1  # one more code at each end: for what the grid would clamp
    codes = quantize(site.aligned(x.detach()), grid.scale, grid.zero_point, first, last)
    return int(((codes == first) | (codes == last)).sum())
