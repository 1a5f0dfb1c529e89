"""Experiments: descriptions of runs, from which they are built and by which their folders are found."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
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
    """Everything that defines a run.

    Attributes:
        name: of the folder of its seeds below the runs' root.
        seed: of all random numbers.
        configs: YAML files, from general to particular.
        overrides: settings on top of them, as on the command line.
        cell: the cell that the run is of, if it is of one.
    """

    name: str
    seed: int
    configs: tuple[Path, ...]
    overrides: tuple[str, ...]
    cell: Cell | None = None

    @classmethod
    def of_cell(cls, cell: Cell, seed: int, *, overrides: Sequence[str] = (), name: str | None = None) -> Experiment:
        """Returns the experiment of a cell and a seed; `name` is that of the cell where nothing is given."""
        return cls(name or str(cell), seed, tuple(cell.config_files), tuple(overrides), cell)

    def quiet(self) -> Experiment:
        """Returns the same experiment without progress bars, for commands that train many runs."""
        return replace(self, overrides=(*self.overrides, "--trainer.enable_progress_bar=false"))

    def sibling(self, scheme: str, settings: Mapping[str, Any]) -> Experiment:
        """Returns the experiment of the same cell and seed in another scheme.

        Args:
            settings: the resolved configuration of this experiment; the sibling is trained on the same data.
        """
        assert self.cell is not None
        bar = settings["trainer"]["enable_progress_bar"]
        words = f"--data={json.dumps(settings['data'])}", f"--trainer.enable_progress_bar={json.dumps(bar)}"
        return Experiment.of_cell(replace(self.cell, scheme=scheme), self.seed, overrides=words)

    def run_in(self, root: Path) -> Run:
        """Returns the folder of the run below the root of all runs."""
        return Run.of(root, self.name, self.seed)

    def build(self, directory: Path) -> CellCLI:
        """Builds trainer, model and datamodule; checkpoints and log go to `directory`.

        Raises:
            UserError: if a setting is wrong.
        """
        words = [word for path in self.configs for word in ("--config", str(path))]
        return CellCLI([*words, *self.overrides, f"--seed_everything={self.seed}"], directory)


def experiments(options: argparse.Namespace, overrides: Sequence[str]) -> list[Experiment]:
    """Returns the experiments that --cell, --config and --seed name.

    Raises:
        UserError: if they name nothing, or a file that is missing or not YAML.
    """
    extra = tuple(Path(path) for path in options.config)
    for path in extra:
        read_yaml(path, f"--config {path}")
    weights = getattr(options, "init_from", None)
    words = (*overrides, f"--init_from={weights}") if weights else tuple(overrides)
    seeds = parse_seeds(options.seed)
    cells = [cell for pattern in options.cell for cell in select(pattern)]
    if cells:
        return [Experiment(str(c), seed, (*c.config_files, *extra), words, c) for c in cells for seed in seeds]
    if extra:
        name = "+".join(path.stem for path in extra)
        return [Experiment(name, seed, (BASE, *extra), words) for seed in seeds]
    raise UserError("say what to run: --cell DATASET/ARCHITECTURE/SCHEME (see `train.py list`) or --config FILE")


def single(options: argparse.Namespace, overrides: Sequence[str]) -> Experiment:
    """Returns the one experiment that is named.

    Raises:
        UserError: if several are.
    """
    chosen = experiments(options, overrides)
    if len(chosen) != 1:
        raise UserError(f"expected one cell and one --seed here, got {len(chosen)} runs")
    return chosen[0]
