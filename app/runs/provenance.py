"""Finds out what a result is made with: versions of packages, the git revision of this code, the content of data."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import copy
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch_geometric
from pytorch_lightning.__version__ import version as lightning_version
from torch import Tensor
from torch_geometric.data.data import BaseData

from app import __version__
from app.config.lightning_cli import CellCLI
from app.runs.result import Fingerprint, is_scaling
from datamodules import GraphDataModule
from datamodules.features import Known

KNOWN: WeakKeyDictionary[GraphDataModule, Fingerprint | None] = WeakKeyDictionary()
"""The fingerprints of the datamodules of this process: each is computed once."""

ROUNDING = 1e-6
"""By which part of the deviation mean and deviation of the same features may differ; they are computed in float64."""


def versions() -> dict[str, str]:
    """Returns the versions of Python, of this program and of the packages that it computes with."""
    return {
        "degree-quant": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch-lightning": lightning_version,
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
    """Reads the data of a run and returns its fingerprint; None, and a word about it, of data that cannot be hashed."""
    data = built.datamodule
    if data not in KNOWN:
        read = data if built.trainer.world_size == 1 else copy(data)  # each of several processes checks its own share
        read.prepare_data()
        read.setup("fit")
        KNOWN[data] = of_content(read)
    return KNOWN[data]


def of_content(data: GraphDataModule) -> Fingerprint | None:
    """Returns the fingerprint of a datamodule after `setup`; None, and a word about it, if it cannot be hashed."""
    try:
        content = data.content()
        if content is None:
            raise TypeError("the items of a loader's data set cannot be numbered")
        found = Fingerprint(name=data.name, graphs=digest(content.graphs), split=digest(content.split))
        if data.scaling is not None:
            found["scaling"] = data.scaling.as_numbers()
        known = Known(data.num_features, data.output_names(), data.categories, data.scaling, data.preparation)
        found |= known.as_json()  # type: ignore[typeddict-item]
        return found
    except TypeError as problem:
        print(f"{data.name}: its content is not compared ({problem}): implement `content`", file=sys.stderr)
        return None


def digest(content: Any) -> str:
    """Returns a hash of nested mappings and sequences of tensors, arrays, PyG's graphs, numbers and texts.

    Raises:
        TypeError: for anything else.
    """
    total = hashlib.sha256()
    for name, value in flat(content):
        if not isinstance(value, Tensor):
            total.update(f"{name} {value!r}\0".encode())
            continue
        sparse = value.layout is torch.sparse_csr
        for part in (value.crow_indices(), value.col_indices(), value.values()) if sparse else (value,):
            total.update(f"{name} {part.dtype} {tuple(part.shape)}\0".encode())
            total.update(part.detach().cpu().contiguous().numpy().data)
    return total.hexdigest()[:32]


def flat(content: Any, name: str = "") -> Iterator[tuple[str, Tensor | float | str | None]]:
    """Yields what is nested in a content, each with its dotted name; for what it raises see `digest`."""
    if isinstance(content, np.ndarray | np.generic) and content.dtype != object:
        content = torch.from_numpy(np.atleast_1d(content)) if content.dtype.kind in "biufc" else content.tolist()
    if isinstance(content, BaseData):
        content = dict(sorted(content.to_dict().items()))
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from flat(value, f"{name}.{key}" if name else str(key))
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            yield from flat(value, f"{name}.{number}" if name else str(number))
    elif isinstance(content, Tensor) and content.layout not in (torch.strided, torch.sparse_csr):
        yield from flat({"indices": content.coalesce().indices(), "values": content.coalesce().values()}, name)
    elif content is None or isinstance(content, Tensor | int | float | str):
        yield name, content
    else:
        raise TypeError(f"it holds a {type(content).__name__}")


def same(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two runs read the same graphs and the same split, in the same units."""
    return not differing_parts(one, other)


def differing_parts(one: Fingerprint, other: Fingerprint) -> str:
    """Returns in words what two runs did not read alike; empty if nothing.

    Graphs are compared as they are read, standardised: so of the same graphs the scales of features may differ.
    """
    graphs, kept = one["graphs"] != other["graphs"], "scaling" in one and "scaling" in other
    parts = {
        "graphs": graphs,
        "splits": one["split"] != other["split"],
        "scales of features": not graphs and kept and not alike(one["scaling"], other["scaling"]),
    }
    return " and ".join(part for part, differs in parts.items() if differs)


def alike(one: Any, other: Any) -> bool:
    """Whether two scalings, as files keep them, are the same but for rounding, which differs between machines."""
    if not (is_scaling(one) and is_scaling(other)) or len(one["mean"]) != len(other["mean"]):
        return bool(one == other)
    allowed = ROUNDING * np.abs(one["deviation"])
    differences = [np.abs(np.subtract(one[name], other[name])) for name in ("mean", "deviation")]
    return all((difference <= allowed).all() for difference in differences)


def tell_not_compared(place: object, reason: object) -> None:
    """Says on standard error that the data of a finished run is not here."""
    print(f"{place}: its data was not compared ({reason})", file=sys.stderr)
