"""Cora and Citeseer in the public split of Planetoid, read from the published files."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from torch_geometric.data import Data

from datamodules.errors import DataError, check_choice
from datamodules.features import sparse_tensor
from datamodules.folders import dataset_folder
from datamodules.one_graph.base import FullBatchDataModule
from datamodules.raw.raw_files import RawFile
from datamodules.raw.unpickle import ARRAYS, unpickle

URL = "https://github.com/kimiyoung/planetoid/raw/master/data"
NUM_VAL = 500


@dataclass(frozen=True)
class Statistics:
    """Counts of a node-classification graph; `edges` are directed, without self-loops and repeats."""

    nodes: int
    edges: int
    features: int
    classes: int
    train: int
    val: int
    test: int

    @classmethod
    def of(cls, data: Data) -> Statistics:
        """Counts nodes, edges, features, classes and the nodes of each split in a graph."""
        return cls(
            nodes=data.num_nodes,
            edges=data.edge_index.size(1),
            features=data.x.size(1),
            classes=len(data.y.unique()),
            train=int(data.train_mask.sum()),
            val=int(data.val_mask.sum()),
            test=int(data.test_mask.sum()),
        )


# Nodes, features, classes: Tailor et al. 2021, Table 7. Split: Yang et al. 2016 (Planetoid), section 5.
# Edges: both directions of the citations in ind.*.graph, self-citations and repeats dropped.
STATISTICS = {
    "Cora": Statistics(2708, 10556, 1433, 7, train=140, val=500, test=1000),
    "Citeseer": Statistics(3327, 9104, 3703, 6, train=120, val=500, test=1000),
}

# Folder names under the root: ours, and the other usual spelling.
FOLDERS = {"Cora": ("Cora",), "Citeseer": ("Citeseer", "CiteSeer")}

# Size in bytes and SHA-256 of every published file.
FILES = {
    "Cora": {
        "x": (22119, "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab"),
        "tx": (148025, "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a"),
        "allx": (257305, "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543"),
        "y": (4054, "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1"),
        "ty": (28135, "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad"),
        "ally": (47959, "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71"),
        "graph": (59847, "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d"),
        "test.index": (5000, "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875"),
    },
    "Citeseer": {
        "x": (31087, "d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6"),
        "tx": (260321, "539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21"),
        "allx": (595021, "2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668"),
        "y": (3014, "8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924"),
        "ty": (24135, "55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce"),
        "ally": (55623, "f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95"),
        "graph": (61987, "d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7"),
        "test.index": (5000, "2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4"),
    },
}

# What the pickles may call: they hold sparse matrices, arrays and a dictionary of lists, as written in 2016.
ALLOWED = {
    **ARRAYS,
    "scipy.sparse.csr.csr_matrix": sp.csr_matrix,
    "collections.defaultdict": defaultdict,
    "__builtin__.list": list,
}


class CitationDataModule(FullBatchDataModule):
    """A citation network: nodes are papers, features are the words in them (0/1), classes are topics.

    Yang et al. 2016, "Revisiting Semi-Supervised Learning with Graph Embeddings" (arXiv 1603.08861).

    The files `ind.<name>.*` are read from `<root>/<name>/raw`; missing ones are downloaded there.

    Fifteen nodes of Citeseer have no words, no edges and no label: they get class 0 and are in no split.

    Args:
        name: "Cora" or "Citeseer".
        root: default `$DEGREE_QUANT_DATA/planetoid`, without that variable `data/planetoid`.
        features: "row_normalized" or "raw" (0/1), see `FullBatchDataModule`.
        inductive, parts, parts_per_step, neighbours, nodes_per_step: see `FullBatchDataModule`.

    Raises:
        ValueError: for an unknown `name` or `features`.
        DataError: for missing, cut or altered files, in `prepare_data` and `setup`.
    """

    def __init__(
        self,
        name: Literal["Cora", "Citeseer"],
        root: str | None = None,
        features: Literal["row_normalized", "raw"] = "row_normalized",
        **settings: Any,
    ) -> None:
        super().__init__(features, **settings)
        check_choice("name", name, tuple(STATISTICS))
        self.name = name
        self.root = root
        self.num_features = STATISTICS[name].features
        self.num_classes = STATISTICS[name].classes

    @property
    def raw_folder(self) -> Path:
        """The folder where the raw files are, or where they will be downloaded to."""
        root = dataset_folder(self.root, "planetoid")
        folders = [root / folder / "raw" for folder in FOLDERS[self.name]]
        return min(folders, key=lambda folder: len(self._missing(folder)))

    @property
    def _files(self) -> dict[str, RawFile]:
        names = {part: f"ind.{self.name.lower()}.{part}" for part in FILES[self.name]}
        return {
            part: RawFile(self.name, names[part], f"{URL}/{names[part]}", size, sha256)
            for part, (size, sha256) in FILES[self.name].items()
        }

    def _missing(self, folder: Path) -> list[RawFile]:
        return [file for file in self._files.values() if not (folder / file.name).exists()]

    def missing(self) -> list[str]:
        """See `GraphDataModule`."""
        folder = self.raw_folder
        return [f"{file.url} into {folder}" for file in self._missing(folder)]

    def prepare_data(self) -> None:
        """Downloads the raw files that are not there."""
        folder = self.raw_folder
        for file in self._missing(folder):
            file.download(folder)

    def load_graph(self) -> Data:
        """Reads the raw files, verifies them by SHA-256, and checks the counts of the graph."""
        folder = self.raw_folder
        data = read_planetoid({part: file.read(folder) for part, file in self._files.items()})
        if (found := Statistics.of(data)) != STATISTICS[self.name]:
            raise DataError(f"{self.name}: loaded {found} from {folder}, expected {STATISTICS[self.name]}")
        return data


def read_planetoid(contents: dict[str, bytes]) -> Data:
    """Returns the graph in the contents of the eight Planetoid files, by the ending of their names.

    Rows of `allx` and `ally` are the nodes 0, 1, ...; row k of `tx` and `ty` is the node in line k of
    `test.index`. Nodes in neither (in Citeseer) have no words.

    Raises:
        ValueError: if a file is damaged or calls anything but `ALLOWED`.
    """
    test_nodes = np.array(contents["test.index"].split(), dtype=np.int64)
    allx, ally, tx, ty, y_train = (unpickle(contents[part], ALLOWED) for part in ("allx", "ally", "tx", "ty", "y"))
    graph: dict[int, list[int]] = unpickle(contents["graph"], ALLOWED)
    num_nodes, num_train = len(graph), len(y_train)

    nodes = np.concatenate([np.arange(allx.shape[0]), test_nodes])
    words = sp.vstack([allx, tx]).tocoo()
    x = sp.csr_matrix((words.data, (nodes[words.row], words.col)), shape=(num_nodes, words.shape[1]))
    y = torch.zeros(num_nodes, dtype=torch.int64)
    y[nodes] = torch.from_numpy(np.concatenate([ally, ty]).argmax(axis=1))
    edges = {(node, other) for node, others in graph.items() for other in others if node != other}
    every = torch.arange(num_nodes)
    return Data(
        x=sparse_tensor(x),
        edge_index=torch.tensor(sorted(edges)).T.contiguous(),
        y=y,
        train_mask=every < num_train,
        val_mask=(every >= num_train) & (every < num_train + NUM_VAL),
        test_mask=torch.isin(every, torch.from_numpy(test_nodes)),
    )
