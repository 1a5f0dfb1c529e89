"""Where the weights are that a run begins with, and whether they fit it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from app.config.cells import available
from app.config.checkpoints import read_checkpoint
from app.config.lightning_cli import CellCLI
from app.config.settings import differing_settings, first_of, leaves
from app.errors import UserError
from app.runs.experiment import OF_ONE_RUN, Experiment
from app.runs.provenance import differing_parts, digest, fingerprint, same
from app.runs.run_folder import Run


class NotTrainedError(UserError):
    """The run to start from is not finished, and is not trained on the way."""


def is_scheme(experiment: Experiment, source: str) -> bool:
    """Whether `init_from` names a scheme or a variant of one (`fp32`, `fp32+25epochs`), and not a place."""
    return experiment.cell is not None and source.partition("+")[0] in available("scheme")


def place_of_start(experiment: Experiment, run: Run, settings: Mapping[str, Any]) -> Path:
    """Returns the folder of the run that `init_from` names, or the checkpoint, whether it is there or not."""
    source: str = settings["init_from"]
    if not is_scheme(experiment, source):
        return Path(source)
    root = run.root(experiment.name)
    if "+" not in source:
        return experiment.sibling(source, settings).run_in(root).directory
    assert experiment.cell is not None
    name = f"{experiment.cell.dataset}/{experiment.cell.architecture}/{source}"
    return Run.of(root, name, experiment.seed).directory


def checkpoint_in(path: Path) -> Path:
    """Returns the best checkpoint of a run's folder; a file is one."""
    return Run(path).best_checkpoint if path.is_dir() else path


def digest_of(checkpoint: Path) -> str:
    """Returns a hash of the weights in a checkpoint."""
    return digest(read_checkpoint(checkpoint)["state_dict"])


def check_variant(experiment: Experiment, other: Run, source: str) -> None:
    """Checks that the run of a variant of a table, `source`, is there to start from: `fp32+25epochs`.

    Only the table knows its settings, so it is not trained on the way.

    Raises:
        UserError: if it is the run itself.
        NotTrainedError: if it is not finished.
        TakenError: if another process is training it.
    """
    assert experiment.cell is not None
    name = f"{experiment.cell.dataset}/{experiment.cell.architecture}/{source}"
    if name == experiment.name:
        raise UserError(f"init_from: {source} is {name} itself; name another, or a run")
    if other.progress != "finished":
        if other.directory.is_dir():
            with other.exclusive():  # not while somebody is at it
                pass
        raise NotTrainedError(
            f"init_from: {name} seed {experiment.seed} is not trained; put its entry in front of this one"
        )


def check_network(sibling: Experiment, other: Run, source: str) -> None:
    """Raises UserError if the finished run `other`, where that of a sibling belongs, is of another network."""
    now = network_in(yaml.safe_load(sibling.build(other.directory).resolved()))
    if differences := differing_settings(network_in(other.read_config()), now):
        raise UserError(
            f"init_from: {source} is {other.directory}, a run of another network ({first_of(differences)}): "
            "give another --runs-root, or name a run of this network"
        )


def network_in(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a resolved configuration says of the network, by dotted name."""
    model = settings["model"].get("init_args") or {}
    parts = {name: model.get(name) for name in ("architecture", "network", "network_args", "network_source")}
    return {key: value for key, value in leaves(parts, "model") if key.rpartition(".")[2] not in OF_ONE_RUN}


def check_data_of_weights(source: Run, built: CellCLI, name: str) -> None:
    """Compares the data of the run that initial weights come from with what would be read now.

    Raises:
        UserError: if it read a data set of the same name with another content or split.
    """
    kept = source.read_fingerprint()
    if kept is None or not built.trainer.is_global_zero:
        return
    now = fingerprint(built)
    if now is None or same(kept, now):
        return
    if kept["name"] != now["name"]:
        print(f"--init-from {name}: these weights are of other data ({kept['name']})", file=sys.stderr)
        return
    raise UserError(
        f"--init-from {name}: was trained on other data: its {now['name']} has other {differing_parts(kept, now)}"
    )
