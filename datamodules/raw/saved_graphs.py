"""Makes the data sets of PyG without letting their files run anything, or wait for ever."""

from __future__ import annotations

import os
import pickle
import stat
import sys
import tarfile
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache, partial
from pickle import UnpicklingError
from tarfile import TarError, TarFile
from typing import IO, Any, NoReturn
from unittest.mock import patch
from zipfile import BadZipFile

import numpy as np
import scipy.sparse as sp
import torch
from torch.serialization import safe_globals
from torch_geometric.data import Data, Dataset
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import EdgeStorage, GlobalStorage, NodeStorage

from datamodules.errors import DataError
from datamodules.raw.local_files import load_tensors, without_advice
from datamodules.raw.unpickle import ARRAYS, ElementType, unpickle

PYG = (Data, DataEdgeAttr, DataTensorAttr, GlobalStorage, NodeStorage, EdgeStorage)
"""What a saved graph consists of."""

FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""A variable of torch: whatever `torch.load` is asked for, it makes tensors and registered classes only."""

HARMLESS = {"/dev/null", "/dev/random", "/dev/urandom"}
"""Devices that libraries open for themselves."""

WATCHED: ContextVar[bool] = ContextVar("watched", default=False)
"""Whether `nothing_runs` is open in this thread."""


def made(dataset: Callable[[], Dataset]) -> Dataset:
    """Returns the data set; its files run nothing.

    Raises:
        DataError: if it cannot be made, or a file of it holds more than tensors, arrays and PyG's own classes.
    """
    try:
        with nothing_runs(), safe_globals(list(PYG)):
            return dataset()
    except UnpicklingError as error:
        problem = without_advice(error) if "GLOBAL" in str(error) or not str(error).startswith("it ") else str(error)
        raise DataError(f"dataset: a file of it cannot be read ({problem}): fetch or make it again") from error
    except (OSError, RuntimeError, TarError, BadZipFile) as error:
        raise DataError(f"dataset: cannot be loaded ({error}): fetch it where there is a network") from error


def loaded(dataset: Dataset) -> Iterator[object]:
    """Yields the graphs of a data set, which may read each from a file of its own; see `made`."""
    for number in range(len(dataset)):
        yield made(partial(dataset.__getitem__, number))


def name_of(dataset: Dataset) -> str:
    """Returns the name of a data set, or of its class."""
    return str(getattr(dataset, "name", None) or type(dataset).__name__)


@contextmanager
def nothing_runs() -> Iterator[None]:
    """While it is open, files make nothing but tensors, arrays and what PyG registered; tar files stay in their folder.

    `torch.load` is forbidden to load everything, which PyG's own reader falls back to; `pickle.load` makes what is in
    `PICKLED`; any other way to unpickle is refused, and so are pipes and devices, which may never end.
    """
    watch()
    token = WATCHED.set(True)
    try:
        with (
            patch.dict(os.environ, {FORCE: "1"}),
            tar_files_in_their_folder(),
            patch.object(pickle, "load", load_pickle),
            patch.object(pickle, "loads", loads_pickle),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", "Weights only load failed")  # the error that follows says it
            yield
    finally:
        WATCHED.reset(token)


def tar_files_in_their_folder() -> AbstractContextManager[object]:
    """Lets tar files write into the folder that they are unpacked in, and nowhere else, during a block.

    Pythons before 3.10.12 and 3.11.4 cannot tell; there no tar file is unpacked.
    """
    data_filter = getattr(tarfile, "data_filter", None)
    if data_filter is None:
        return patch.multiple(TarFile, extract=refuse_to_extract, extractall=refuse_to_extract)
    return patch.object(TarFile, "extraction_filter", staticmethod(data_filter), create=True)


def refuse_to_extract(*_: object, **__: object) -> NoReturn:
    """Raises TarError."""
    raise TarError("it is a tar file, which this Python cannot keep in its folder: use Python 3.10.12, 3.11.4 or 3.12")


@cache
def watch() -> None:
    """Has Python call `check_event` from now on; there is no way back, so it does nothing unless `WATCHED`."""
    sys.addaudithook(check_event)


def check_event(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuses what must not happen while `nothing_runs` is open.

    Raises:
        UnpicklingError: when a pickle names a class or a function.
        OSError: when a pipe or a device is opened.
    """
    if event not in ("pickle.find_class", "open") or not WATCHED.get():
        return
    if event == "pickle.find_class":
        raise UnpicklingError(f"it names {arguments[0]}.{arguments[1]}, which no tensor needs")
    path = arguments[0]
    if isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path) not in HARMLESS:
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            return  # whoever opens it is told
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode):
            raise OSError(f"{os.fsdecode(path)} is a pipe or a device, not a regular file")


def load_pickle(file: IO[bytes], **options: Any) -> Any:
    """Stands for `pickle.load`: makes what is in `PICKLED`, whatever text is encoded in.

    Raises:
        UnpicklingError: if the pickle is damaged or names anything else.
    """
    return loads_pickle(file.read())


def loads_pickle(content: bytes, /, **options: Any) -> Any:
    """Stands for `pickle.loads`; see `load_pickle`."""
    try:
        return unpickle(bytes(content), PICKLED)
    except ValueError as error:
        raise UnpicklingError(f"it is damaged or hostile: {error}") from error


class CheckedMatrix(sp.csr_matrix):  # type: ignore[misc]  # SciPy has no types
    """A sparse matrix of a pickle: its indices are inside of it."""

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Takes its parts, and checks that they fit.

        Raises:
            UnpicklingError: if they do not.
        """
        parts = {name.removeprefix("_"): value for name, value in state.items()}
        matrix = sp.csr_matrix(tuple(np.asarray(parts[name]) for name in ("data", "indices", "indptr")), parts["shape"])
        try:
            matrix.check_format(full_check=True)
        except ValueError as error:
            raise UnpicklingError(f"holds a sparse matrix that is none ({error})") from error
        self.__dict__.update(vars(matrix))


def scalar(kind: ElementType, content: bytes | str) -> Any:
    """Stands for what a pickle calls to make one number of NumPy."""
    data = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(data, dtype=kind.code)[0]


STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")

PICKLED: Mapping[str, Any] = {
    **ARRAYS,
    "numpy.core.multiarray.scalar": scalar,
    "numpy._core.multiarray.scalar": scalar,
    "scipy.sparse.csr.csr_matrix": CheckedMatrix,
    "scipy.sparse._csr.csr_matrix": CheckedMatrix,
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": defaultdict,
    **{f"{module}.{kind.__name__}": kind for module in ("__builtin__", "builtins")
       for kind in (list, dict, set, frozenset, tuple, int, float, bool, complex, str, bytes, slice)},
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
    "torch.storage._load_from_bytes": load_tensors,
    "torch.Size": torch.Size,
    **{f"torch.{kind}Storage": getattr(torch, f"{kind}Storage") for kind in STORAGES},
}  # fmt: skip
"""What the pickles of PyG's data sets call, by full name."""
