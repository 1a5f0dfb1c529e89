"""ZINC-12k: molecules with a chemical property to predict."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch._utils import _rebuild_tensor_v2
from torch_geometric.data import Data

from datamodules.batched import BatchedDataModule, Split
from datamodules.cache import cached
from datamodules.errors import DataError
from datamodules.folders import cache_root, dataset_folder
from datamodules.raw.local_files import load_tensors, read_file
from datamodules.raw.unpickle import unpickle
from datamodules.storage import GraphStore

URL = "https://www.dropbox.com/s/feo9qle74kg48gy/molecules.zip?dl=1"
INDEX_URL = "https://raw.githubusercontent.com/graphdeeplearning/benchmarking-gnns/master/data/molecules"

SIZES = {"train": 10000, "val": 1000, "test": 1000}
NUM_ATOM_TYPES = 28

# SHA-256 of a file of other ZINC molecules, used where the published training molecules are not available.
SUBSTITUTES = {
    "476860378d10a222ba1c0c2aec1eca1f5ab10b25cc6080d079296248edb2f87d": "training molecules are a substitute"
}

# What the pickles may call: they hold lists of dictionaries of tensors.
ALLOWED = {
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor_v2,
    "torch.storage._load_from_bytes": load_tensors,
    "collections.OrderedDict": OrderedDict,
}


class ZincDataModule(BatchedDataModule):
    """12,000 molecules; the target is their constrained solubility (logP - SA - cycles, standardised).

    Dwivedi et al. 2020, "Benchmarking Graph Neural Networks" (arXiv 2003.00982). The feature of a node is the type of
    its atom (0 to 27, for an embedding). Edges are bonds in both directions; the types of bonds are not used.

    The raw files are those of PyG's `ZINC`: `{train,val,test}.pickle`, and `{train,val,test}.index` with the numbers
    of the molecules that belong to the 12,000, in `<root>/raw` or `<root>/pyg/raw`. They are read once, then the
    graphs are in the cache.

    Args:
        root: default `$DEGREE_QUANT_DATA/zinc`, without that variable `data/zinc`.
        cache: folder of built graphs, see `cache_root`.
        batch_size, num_workers: see `BatchedDataModule`.

    Raises:
        DataError: for missing or damaged files, or other numbers of molecules than the published ones.
    """

    name = "ZINC"
    task = "graph_regression"
    num_features = NUM_ATOM_TYPES
    features_are = "the type of each atom, numbered as in ZINC-12k"
    num_classes = 1

    def __init__(
        self, root: str | None = None, *, cache: str | None = None, batch_size: int = 128, num_workers: int = 0
    ) -> None:
        super().__init__(batch_size, num_workers)
        self.root, self.cache = root, cache

    @property
    def raw_folder(self) -> Path:
        """The folder where the raw files are, or belong."""
        root = dataset_folder(self.root, "zinc")
        folders = (root / "raw", root / "pyg" / "raw")
        return next((folder for folder in folders if folder.is_dir()), folders[0])

    def missing(self) -> list[str]:
        """See `GraphDataModule`."""
        folder = self.raw_folder
        sources = {}
        for part in SIZES:
            sources[f"{part}.pickle"] = f"molecules/{part}.pickle of {URL}"
            sources[f"{part}.index"] = f"{INDEX_URL}/{part}.index"
        return [f"{source} into {folder}" for file, source in sources.items() if not (folder / file).is_file()]

    def prepare_data(self) -> None:
        """Fills the cache once, before several processes read it."""
        self.load()

    def load(self) -> tuple[GraphStore, Split]:
        """Reads the graphs from the cache, or builds them if it has none of these raw files."""
        if missing := self.missing():
            raise DataError(f"{self.name}: files are missing: put {missing[0]}")
        contents = {
            f"{part}.{ending}": self._read(f"{part}.{ending}") for part in SIZES for ending in ("pickle", "index")
        }
        digests = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
        self.substitute = SUBSTITUTES.get(digests["train.pickle"], "")
        identity = hashlib.sha256("".join(digests.values()).encode()).hexdigest()[:16]
        store = cached(cache_root(self.cache) / f"zinc-{identity}.safetensors", lambda: self._build(contents))
        return store, Split(*torch.split(torch.arange(len(store)), list(SIZES.values())))

    def _build(self, contents: dict[str, bytes]) -> GraphStore:
        graphs: list[Data] = []
        for part, size in SIZES.items():
            molecules = self._molecules(part, contents[f"{part}.pickle"])
            chosen = self._chosen(part, contents[f"{part}.index"], len(molecules))
            if len(chosen) != size:
                raise self._error(f"{part}.index", f"names {len(chosen)} molecules, expected {size}")
            graphs += [self._graph(part, number, molecules[number]) for number in chosen]
        return GraphStore.of(self.name, graphs)

    def _molecules(self, part: str, content: bytes) -> list[dict[str, Any]]:
        try:
            molecules = unpickle(content, ALLOWED)
        except ValueError as error:
            raise self._error(f"{part}.pickle", f"is cut or damaged ({error})") from error
        if not isinstance(molecules, list):
            raise self._error(f"{part}.pickle", f"holds a {type(molecules).__name__}, expected a list of molecules")
        return molecules

    def _chosen(self, part: str, content: bytes, count: int) -> list[int]:
        words = content.decode(errors="replace").strip().strip(",").split(",")
        wrong = [word for word in words if not word.strip().isdecimal() or int(word) >= count]
        if wrong:
            raise self._error(f"{part}.index", f"names molecule {wrong[0][:20]!r}, expected 0 to {count - 1}")
        return [int(word) for word in words]

    def _graph(self, part: str, number: int, molecule: dict[str, Any]) -> Data:
        try:
            atoms, edges = molecule["atom_type"].long().view(-1, 1), molecule["bond_type"].nonzero().T
            target = molecule["logP_SA_cycle_normalized"].float()
        except (KeyError, TypeError, AttributeError):
            raise self._error(f"{part}.pickle", f"molecule {number} lacks atoms, bonds or target") from None
        if not bool(((atoms >= 0) & (atoms < NUM_ATOM_TYPES)).all()):
            raise self._error(f"{part}.pickle", f"molecule {number} has atoms outside 0..{NUM_ATOM_TYPES - 1}")
        return Data(x=atoms, edge_index=edges, y=target)

    def _read(self, file: str) -> bytes:
        try:
            return read_file(self.raw_folder / file)
        except OSError as error:
            raise self._error(file, f"cannot be read ({error.strerror})") from error

    def _error(self, file: str, problem: str) -> DataError:
        return DataError(
            f"{self.name}: {file} {problem}: put {URL} and {INDEX_URL}/*.index into {self.raw_folder} again"
        )
