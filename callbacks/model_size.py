"""Prints the size of each layer in FP32 and quantized."""

from __future__ import annotations

import pytorch_lightning as pl
from rich.table import Table
from torch import nn

from app.cli.console import standard_output
from models.quantization.fake_quantize import Site


class ModelSize(pl.Callback):
    """Prints before training the parameters of every layer and their bytes, in FP32 and as they will be exported.

    Prints nothing in a run without a progress bar, which is meant to be quiet.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the table, on rank 0 only."""
        if trainer.is_global_zero and trainer.progress_bar_callback is not None:
            standard_output().print(size_table(pl_module))


def layer_sizes(module: nn.Module) -> list[tuple[str, str, int, int, int]]:
    """Returns (name, kind, parameters, FP32 bytes, quantized bytes) of every layer that has parameters of its own.

    A parameter is stored at the bits of its site, two codes to a byte up to four bits; without a site in float32.
    """
    rows: list[tuple[str, str, int, int, int]] = []
    for path, layer in module.named_modules():
        own = dict(layer.named_parameters(recurse=False))
        if not own or isinstance(layer, Site):
            continue
        bits = {site.parameter: site.bits for site in layer.children() if isinstance(site, Site)}
        stored = sum(bytes_at(parameter.numel(), bits.get(name, 32)) for name, parameter in own.items())
        total = sum(parameter.numel() for parameter in own.values())
        rows.append((path, type(layer).__name__, total, 4 * total, stored))
    return rows


def bytes_at(numel: int, bits: int) -> int:
    """Returns the bytes of `numel` numbers: half a byte each up to 4 bits, one byte up to 8, four for float32."""
    return 4 * numel if bits == 32 else numel if bits > 4 else (numel + 1) // 2


def size_table(module: nn.Module) -> Table:
    """Returns the sizes of all layers, and their sums, as a rich table."""
    table = Table(title="Model size")
    for column in ("layer", "kind"):
        table.add_column(column)
    for column in ("parameters", "FP32 bytes", "quantized bytes"):
        table.add_column(column, justify="right")
    rows = layer_sizes(module)
    for name, kind, parameters, full, quantized in rows:
        table.add_row(name, kind, f"{parameters:,}", f"{full:,}", f"{quantized:,}")
    table.add_section()
    table.add_row("total", "", *(f"{sum(numbers):,}" for numbers in list(zip(*rows, strict=True))[2:]))
    return table
