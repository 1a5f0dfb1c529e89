"""Experiments: descriptions of runs, from which they are built and by which their folders are found."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.cli.words import as_words
from app.config.cells import BASE, Cell, seeds_of, select
from app.config.chosen_classes import Identity
from app.config.layers import Layer, find, layers_of
from app.config.lightning_cli import CellCLI
from app.config.settings import read_yaml
from app.errors import UserError
from app.runs.run_folder import Run

OF_ONE_RUN = {"dropout", "attention_dropout", "attention_start", "roundings"}
"""Settings of an architecture that training or rounding alone reads: networks that differ in them compute the same."""


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

    def __str__(self) -> str:
        return f"{self.name} seed {self.seed}"

    @property
    def words(self) -> list[str]:
        """Everything but the seed as words of the command line."""
        return [*(word for path in self.configs for word in ("--config", str(path))), *self.overrides]

    def quiet(self) -> Experiment:
        """Returns the same experiment without progress bars, for commands that train many runs."""
        return replace(self, overrides=(*self.overrides, "--trainer.enable_progress_bar=false"))

    def sibling(self, scheme: str, settings: Mapping[str, Any]) -> Experiment:
        """Returns the experiment of the same cell, seed and network in another scheme.

        Args:
            settings: the resolved configuration of this experiment; the sibling learns the same task of the same data.
        """
        assert self.cell is not None
        bar = json.dumps(settings["trainer"]["enable_progress_bar"])
        words = (
            f"--data={json.dumps(settings['data'])}",
            f"--trainer.enable_progress_bar={bar}",
            f"--model={settings['model']['class_path']}",
            *self.words_of_network(),
        )
        cell = replace(self.cell, scheme=scheme)
        return Experiment.of_cell(cell, self.seed, overrides=words, name=name_of(cell, words))

    def words_of_network(self) -> list[str]:
        """Returns, as words of the command line, what is set on top of the cell and makes another network of it."""
        assert self.cell is not None
        files = self.configs[len(self.cell.config_files) :]
        words = [*(f"--config={path}" for path in files), *self.overrides]
        return [word for layer in layers_of(words) for word in as_words(dict(_of_network(layer.settings)))]

    def run_in(self, root: Path) -> Run:
        """Returns the folder of the run below the root of all runs.

        Older versions named a run by its cell alone; such a run of the same data, network and scheme is this one.
        """
        run = Run.of(root, self.name, self.seed)
        if self.cell is None or self.name.partition("+")[0] == str(self.cell) or run.config.exists():
            return run
        older = Run.of(root, str(self.cell), self.seed)
        if not older.config.is_file():
            return run
        kept = Identity.of([Layer(older.read_config())])
        parts = kept.named(("", "", ""), Identity.of(layers_of(self.words)))
        return older if parts == ("", "", "") else run

    def build(self, directory: Path) -> CellCLI:
        """Builds trainer, model and datamodule; checkpoints and log go to `directory`.

        Raises:
            UserError: if a setting is wrong.
        """
        return CellCLI([*self.words, f"--seed_everything={self.seed}"], directory)


def _of_network(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields what settings say of the network, by dotted name."""
    yield from _apart(find(settings, ("model", "architecture")), "model.architecture")
    if (network := find(settings, ("model", "network"))) is not None:
        yield "model.network", network
    for name, value in (find(settings, ("model", "network_args")) or {}).items():
        yield f"model.network_args.{name}", value


def _apart(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yields the settings below a class and its arguments, as words name them; none of `OF_ONE_RUN`."""
    if not isinstance(node, Mapping):
        if node is not None:
            yield path, node
        return
    for name, value in node.items():
        if name not in OF_ONE_RUN:
            yield from _apart(value, path if name in ("class_path", "init_args") else f"{path}.{name}")


def name_of(cell: Cell, changes: Sequence[str]) -> str:
    """Returns the name of the runs of a cell with changes: the cell's, unless they change what it names.

    Args:
        changes: words of the command line.
    """
    own = [Layer(read_yaml(path, str(path)), path) for path in cell.config_files]
    parts = Identity.of(own).named(
        (cell.dataset, cell.architecture, cell.scheme), Identity.of([*own, *layers_of(changes)])
    )
    return "/".join(parts)


def experiments(options: argparse.Namespace, overrides: Sequence[str]) -> list[Experiment]:
    """Returns the experiments that --cell, --config and --seed name.

    Raises:
        UserError: if they name nothing, or a file that is missing or not YAML.
    """
    extra = tuple(Path(path) for path in options.config)
    seeds = seeds_of(options)
    for path in extra:
        seed = read_yaml(path, f"--config {path}").get("seed_everything")
        if seed is not None and seed not in seeds:
            raise UserError(f"--config {path}: seed_everything: {seed} has no effect beside --seed; give --seed {seed}")
    weights = getattr(options, "init_from", None)
    words = (*overrides, f"--init_from={weights}") if weights else tuple(overrides)
    cells = [cell for pattern in options.cell for cell in select(pattern)]
    if cells:
        changes = [*(word for path in extra for word in ("--config", str(path))), *words]
        return [
            Experiment(name, seed, (*cell.config_files, *extra), words, cell)
            for cell, name in ((cell, name_of(cell, changes)) for cell in cells)
            for seed in seeds
        ]
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
