"""Finds out what a result is made with: versions of packages, the git revision of this code, the content of data."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from collections.abc import Mapping
from copy import copy
from importlib.metadata import version
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
import torch_geometric
from torch import Tensor

from app import __version__
from app.config.lightning_cli import CellCLI
from app.runs.result import Fingerprint
from datamodules import BatchedDataModule, FullBatchDataModule, GraphDataModule
from datamodules.graph_checks import MASKS

KNOWN: WeakKeyDictionary[GraphDataModule, Fingerprint | None] = WeakKeyDictionary()
"""The fingerprints of the datamodules of this process: each is computed once."""


def versions() -> dict[str, str]:
    """Returns the versions of Python, of this program and of the packages that it computes with."""
    return {
        "degree-quant": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch-lightning": version("pytorch-lightning"),
        "torch-geometric": torch_geometric.__version__,
    }


def revision() -> str | None:
    """Returns the git revision of this code, with `-dirty` if files are changed; None outside a checkout."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def fingerprint(built: CellCLI) -> Fingerprint | None:
    """Reads the data of a run and returns its fingerprint; None of datamodules that keep their data in other ways."""
    data = built.datamodule
    if data not in KNOWN:
        read = data if built.trainer.world_size == 1 else copy(data)  # each of several processes checks its own share
        read.prepare_data()
        read.setup("fit")
        KNOWN[data] = of_content(read)
    return KNOWN[data]


def of_content(data: GraphDataModule) -> Fingerprint | None:
    """Returns the fingerprint of a datamodule after `setup`, without what is computed from the rest (`degree_cdf`)."""
    if isinstance(data, FullBatchDataModule) and data.graph_data is not None:
        graph = data.graph_data
        graphs = {part: graph[part] for part in ("x", "edge_index", "y")}
        split = {part: graph[part] for part in MASKS}
    elif isinstance(data, BatchedDataModule) and data.store is not None:
        graphs = {part: value for part, value in data.store.tensors().items() if part != "degree_cdf"}
        split = vars(data.split)
    else:
        return None
    return Fingerprint(name=data.name, graphs=digest(graphs), split=digest(split))


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Returns a hash of names, types, shapes and values of tensors."""
    total = hashlib.sha256()
    for name, tensor in tensors.items():
        sparse = tensor.layout is torch.sparse_csr
        parts = (tensor.crow_indices(), tensor.col_indices(), tensor.values()) if sparse else (tensor,)
        for part in parts:
            total.update(f"{name} {part.dtype} {tuple(part.shape)}\0".encode())
            total.update(part.detach().cpu().contiguous().numpy().data)
    return total.hexdigest()[:32]


def same(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two runs read the same graphs and the same split."""
    return (one["graphs"], one["split"]) == (other["graphs"], other["split"])


def differing_parts(one: Fingerprint, other: Fingerprint) -> str:
    """Returns in words what two runs did not read alike."""
    parts = {"graphs": one["graphs"] != other["graphs"], "splits": one["split"] != other["split"]}
    return " and ".join(part for part, differs in parts.items() if differs)


def tell_not_compared(place: object, reason: object) -> None:
    """Says on standard error that the data of a finished run is not here."""
    print(f"{place}: its data was not compared ({reason})", file=sys.stderr)
