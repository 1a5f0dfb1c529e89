"""`fit`: trains the runs of cells and seeds, each to a finished folder, whatever interrupts it."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch_geometric
import yaml
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from app import __version__
from app.cells import BASE, Cell, available, seeds, select
from app.cli import UserError
from app.console import standard_output
from app.degrees import error_by_degree
from app.exactness import compare
from app.lightning_cli import CellCLI, complaints_in_one_line, prepare_process, read_checkpoint
from app.post_training import calibrate_run, load_network
from app.runs import Run, differing_settings, leaves, read_yaml, write_atomically
from datamodules import FullBatchDataModule, GraphDataModule


class OtherSettingsError(UserError):
    """The folder holds a run with other settings."""


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
    numbers = seeds(options.seed)
    cells = [cell for pattern in options.cell for cell in select(pattern)]
    if cells:
        return [Experiment(str(c), k, (*c.config_files, *extra), words, c) for c in cells for k in numbers]
    if extra:
        name = "+".join(path.stem for path in extra)
        return [Experiment(name, k, (BASE, *extra), words) for k in numbers]
    raise UserError("say what to run: --cell DATASET/ARCHITECTURE/SCHEME (see `train.py list`) or --config FILE")


def fit(options: argparse.Namespace, overrides: list[str]) -> int:
    """The command: trains, tests and exports every run that is not finished."""
    prepare_process()
    torch.set_num_threads(options.threads)
    console = standard_output()
    for experiment in experiments(options, overrides):
        run = experiment.run_in(Path(options.runs_root))
        with run.exclusive() if getattr(rank_zero_only, "rank", 0) == 0 else nullcontext():  # all ranks train one run
            result = complete(experiment, run, options.overwrite)
        console.print(summary(run, result), soft_wrap=True, highlight=False)
    return 0


def single(options: argparse.Namespace, overrides: list[str]) -> Experiment:
    """The one experiment that is named.

    Raises:
        UserError: if several are.
    """
    chosen = experiments(options, overrides)
    if len(chosen) != 1:
        raise UserError(f"expected one cell and one --seed here, got {len(chosen)} runs")
    return chosen[0]


def print_config(options: argparse.Namespace, overrides: list[str]) -> int:
    """`--print_config`: the resolved configuration as YAML, and nothing else."""
    prepare_process()
    print(single(options, overrides).build(Path(options.runs_root)).resolved(), end="")
    return 0


def help_all(options: argparse.Namespace, overrides: list[str]) -> int:
    """`--help-all`: every setting there is."""
    prepare_process()
    CellCLI(["--help"], Path(options.runs_root))
    return 0


def complete(experiment: Experiment, run: Run, overwrite: bool = False) -> dict[str, Any]:
    """Brings a run to its end from wherever it stands, and returns its result.

    Raises:
        OtherSettingsError: if the folder holds a run with other settings and `overwrite` is not given.
    """
    built = experiment.build(run.directory)
    check_devices(built)
    resolved = built.resolved()
    if overwrite:
        clear(run)
    settings = yaml.safe_load(resolved)
    if run.result.exists() or run.last_checkpoint.exists():
        check_settings(run, settings)
    if run.result.exists():
        return run.read_result()
    write_atomically(run.config, resolved)
    if not run.last_checkpoint.exists():
        start(experiment, built, run, settings)
    result = _train(experiment, built, run)
    run.failure.unlink(missing_ok=True)
    return result


def clear(run: Run) -> None:
    """Removes what training left in the folder."""
    for path in (run.result, run.config, run.failure):
        path.unlink(missing_ok=True)
    for folder in (run.directory / "checkpoints", run.program, run.board):
        shutil.rmtree(folder, ignore_errors=True)


def check_devices(built: CellCLI) -> None:
    """Raises UserError where several devices can do nothing together, before they are started."""
    devices = built.trainer.world_size
    if devices > 1 and built.trainer.max_epochs == 0:
        raise UserError(f"trainer.devices: ranges are calibrated by one process, not by {devices}; use 1")
    if devices > 1 and isinstance(built.datamodule, FullBatchDataModule):
        raise UserError(
            f"trainer.devices: {built.datamodule.name} is one graph, which {devices} devices cannot share; "
            "use 1 and run seeds side by side"
        )


def check_settings(run: Run, settings: dict[str, Any]) -> None:
    """Raises OtherSettingsError if the run in the folder was started with other settings."""
    differences = differing_settings(run.read_config(), settings)
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise OtherSettingsError(
            f"{run.directory} holds a run with other settings ({'; '.join(differences[:3])}{more}): "
            "give another --runs-root, or --overwrite to replace it"
        )


def start(experiment: Experiment, built: CellCLI, run: Run, settings: Mapping[str, Any]) -> None:
    """Gives a new run the weights that `init_from` names, a setting.

    Raises:
        UserError: if they are not there, or are of another network.
        TakenError: if another process is training them.
    """
    source = settings["init_from"]
    if source is None:
        if built.model.teacher is not None:
            raise UserError("model.distillation: init_from (--init-from) has to name the teacher's run")
        if built.trainer.max_epochs == 0:
            raise UserError(
                "trainer.max_epochs is 0: nothing is trained, so init_from (--init-from) has to name weights"
            )
        return
    if experiment.cell is not None and source in available("scheme"):
        sibling = experiment.sibling(source, settings)
        other = sibling.run_in(run.root(experiment.name))
        if other == run:
            raise UserError(f"init_from: {source} is the scheme of {sibling.name} itself; name another, or a run")
        if not other.result.exists():
            if built.trainer.world_size > 1:
                raise UserError(f"init_from: train {sibling.name} first; several processes cannot do so on the way")
            with other.exclusive():
                complete(sibling, other)
        source = str(other.directory)
    load_network(built.model, source)


def _train(experiment: Experiment, built: CellCLI, run: Run) -> dict[str, Any]:
    trainer, task, data = built.trainer, built.model, built.datamodule
    resume = run.last_checkpoint if run.last_checkpoint.exists() else None
    if resume:
        read_checkpoint(run.best_checkpoint)  # needed at the end: better refused before training
    started = time.perf_counter()
    if trainer.max_epochs == 0:
        calibrate_run(built, run)
    else:
        with complaints_in_one_line():
            trainer.fit(task, data, ckpt_path=str(resume) if resume else None, weights_only=True)
    trained = time.perf_counter()
    if trainer.interrupted:
        raise KeyboardInterrupt
    best = str(run.best_checkpoint)
    metrics: dict[str, float] = {}
    for evaluate in (trainer.validate, trainer.test):
        (values,) = evaluate(task, data, ckpt_path=best, verbose=False, weights_only=True)
        metrics |= values
    if not trainer.is_global_zero:
        return {}
    tested = time.perf_counter()
    exactness = compare(task, data, run.program) if task.scheme.quantizes else None
    epoch = read_checkpoint(run.best_checkpoint)["epoch"]
    result = {
        "cell": experiment.name,
        "seed": experiment.seed,
        "metrics": metrics,
        "epoch": epoch,
        "epochs": trainer.current_epoch,
        "exactness": exactness,
        "bits": task.scheme.bits,
        "data": describe(data),
        "error_by_degree": error_by_degree(task, data),
        "durations": {"fit": trained - started, "evaluate": tested - trained, "resumed": resume is not None},
        "versions": versions(),
        "revision": revision(),
        "config": str(run.config.name),
    }
    log_hyperparameters(trainer, run, experiment, metrics)
    write_atomically(run.result, json.dumps(result, indent=2) + "\n")
    return result


def describe(data: GraphDataModule) -> dict[str, str]:
    """Which data it was, and what of it is not the published original."""
    return {"name": data.name, "substitute": data.substitute}


def log_hyperparameters(trainer: pl.Trainer, run: Run, experiment: Experiment, metrics: dict[str, float]) -> None:
    """The settings of the model and the final metrics, for TensorBoard's table of runs."""
    if isinstance(trainer.logger, TensorBoardLogger):
        settings = dict(leaves(run.read_config()["model"]["init_args"]))
        final = {f"final/{name}": value for name, value in metrics.items()}
        trainer.logger.log_hyperparams({"cell": experiment.name, "seed": experiment.seed, **settings}, final)
        trainer.logger.finalize("success")


def summary(run: Run, result: dict[str, Any]) -> str:
    """One line about a finished run."""
    if not result:
        return ""
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in result["metrics"].items() if "loss" not in name)
    return f"{result['cell']} seed {result['seed']}: {metrics}  (epoch {result['epoch']}; {run.directory})"


def versions() -> dict[str, str]:
    """What the run was made with."""
    return {
        "degree-quant": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch-lightning": pl.__version__,
        "torch-geometric": torch_geometric.__version__,
    }


def revision() -> str | None:
    """The git revision of this code, with `-dirty` if files are changed; None outside a checkout."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
