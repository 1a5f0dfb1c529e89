"""An experiment: one run to do, as data."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.config.cells import BASE, Cell, parse_seeds, select
from app.config.lightning_cli import CellCLI
from app.config.settings import read_yaml
from app.errors import UserError
from app.runs.run_folder import Run


@dataclass(frozen=True)
class Experiment:
    """One run to do: its name below the runs' root, its seed, its configs and overrides."""

    name: str
    seed: int
    configs: tuple[Path, ...]
    overrides: tuple[str, ...]
    cell: Cell | None = None

    def sibling(self, scheme: str, settings: Mapping[str, Any]) -> Experiment:
        """The same cell and seed in another scheme, on the data of these resolved settings."""
        assert self.cell is not None
        cell = replace(self.cell, scheme=scheme)
        bar = settings["trainer"]["enable_progress_bar"]
        words = f"--data={json.dumps(settings['data'])}", f"--trainer.enable_progress_bar={json.dumps(bar)}"
        return Experiment(str(cell), self.seed, tuple(cell.config_files), words, cell)

    def run_in(self, root: Path) -> Run:
        """Its folder."""
        return Run.of(root, self.name, self.seed)

    def build(self, directory: Path) -> CellCLI:
        """Trainer, model and datamodule."""
        words = [word for path in self.configs for word in ("--config", str(path))]
        return CellCLI([*words, *self.overrides, f"--seed_everything={self.seed}"], directory)


def experiments(options: argparse.Namespace, overrides: list[str]) -> list[Experiment]:
    """What --cell, --config and --seed name.

    Raises:
        UserError: if they name nothing, or a file that is not there or not YAML.
    """
    extra = tuple(Path(path) for path in options.config)
    for path in extra:
        read_yaml(path, f"--config {path}")
    weights = getattr(options, "init_from", None)
    words = (*overrides, f"--init_from={weights}") if weights else tuple(overrides)
    numbers = parse_seeds(options.seed)
    cells = [cell for pattern in options.cell for cell in select(pattern)]
    if cells:
        return [Experiment(str(c), k, (*c.config_files, *extra), words, c) for c in cells for k in numbers]
    if extra:
        name = "+".join(path.stem for path in extra)
        return [Experiment(name, k, (BASE, *extra), words) for k in numbers]
    raise UserError("say what to run: --cell DATASET/ARCHITECTURE/SCHEME (see `train.py list`) or --config FILE")


def single(options: argparse.Namespace, overrides: list[str]) -> Experiment:
    """The one experiment that is named.

    Raises:
        UserError: if several are.
    """
    chosen = experiments(options, overrides)
    if len(chosen) != 1:
        raise UserError(f"expected one cell and one --seed here, got {len(chosen)} runs")
    return chosen[0]
