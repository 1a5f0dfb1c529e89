"""Graphs in the text format of the TUDatasets: any by name, and REDDIT-BINARY as the paper uses it."""

from __future__ import annotations

from http.client import HTTPException
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from app.engine.files import write_atomically
from datamodules.base import DataError, check_choice
from datamodules.batched import BatchedDataModule, Split, check_at_least
from datamodules.folders import dataset_folder
from datamodules.raw.raw_files import fetch, reason_of
from datamodules.raw.tu_files import Integers, TextFiles, read_graphs, read_nodes, read_topology
from datamodules.splits import cross_validation, fold_of_run, given_folds, stratified_folds
from datamodules.storage import GraphStore, starts


class TUDataModule(BatchedDataModule):
    """A TUDataset by name: `<root>/<name>/<name>_A.txt` and the rest, or `<root>/<name>.zip`.

    Node features are the node attributes and the one-hot node labels, as far as the data has them; else the
    in-degree, standardised by mean and deviation over the nodes of the training graphs. Ten folds: fold i is
    the test set, the one before it chooses the epoch, the rest is trained on.

    The number of classes and the width of the features stand in the files, so these must be there when the
    object is made.

    Args:
        root: default `$DEGREE_QUANT_DATA/tudataset`, without that variable `data/tudataset`.
        task: "graph_classification" (of `graph_labels`) or "graph_regression" (of `graph_attributes`).
        target: which column of `graph_attributes`.
        folds: "stratified" (drawn once for all), or "given" in `<root>/<name>_10fold_idx/test_idx-<k>.txt`.
        fold: 1 to 10; None: the run's seed plus one, modulo 10, so that seeds 0-9 are the ten folds.

    Raises:
        ValueError: for values outside their range.
        DataError: for missing or damaged files.
    """

    def __init__(
        self,
        name: str,
        root: str | None = None,
        task: Literal["graph_classification", "graph_regression"] = "graph_classification",
        target: int = 0,
        folds: Literal["stratified", "given"] = "stratified",
        fold: int | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, num_workers)
        check_choice("task", task, ("graph_classification", "graph_regression"))
        check_choice("folds", folds, ("stratified", "given"))
        check_at_least("target", target, 0)
        fold_of_run(fold)
        self.name, self.task, self.target, self.folds, self.fold = name, task, target, folds, fold
        self.files = TextFiles(name, dataset_folder(root, "tudataset"))
        num_attributes, self.node_labels, self.graph_labels = self.header()
        self.num_features = num_attributes + len(self.node_labels) or 1
        self.num_classes = len(self.graph_labels) or 1

    def header(self) -> tuple[int, Integers, Integers]:
        """How many attributes nodes have, and the labels nodes and graphs have, ascending; of none where none are."""
        graphs = self.files.numbers("graph_labels", columns=1) if self.task == "graph_classification" else None
        if graphs is None and self.task == "graph_classification":
            raise DataError(f'{self.name}: no {self.name}_graph_labels.txt: add it, or choose task "graph_regression"')
        nodes = self.files.numbers("node_labels", columns=1)
        return self.files.width("node_attributes"), distinct(nodes), distinct(graphs)

    def missing(self) -> list[str]:
        """See `GraphDataModule`."""
        return [f"{self.files.url} into {self.files.root}"] if self.files.missing else []

    def load(self) -> tuple[GraphStore, Split]:
        """Reads and checks the files."""
        num_nodes, num_edges, edge_index = read_topology(self.files)
        y = self._targets(len(num_nodes))
        split = cross_validation(self._folds(y), fold_of_run(self.fold))
        features = self._features(int(num_nodes.sum()))
        sizes, counts, edges = map(torch.from_numpy, (num_nodes, num_edges, edge_index))
        x = standardised_degree(edges, sizes, counts, split.train) if features is None else features
        return GraphStore.build(self.name, x, edges, y, sizes, counts), split

    def _targets(self, num_graphs: int) -> Tensor:
        if self.task == "graph_classification":
            labels = read_graphs(self.files, "graph_labels", num_graphs)[:, 0]
            return torch.from_numpy(self._positions("graph_labels", labels, self.graph_labels))
        values = read_graphs(self.files, "graph_attributes", num_graphs, np.float32)
        if self.target >= values.shape[1]:
            raise DataError(f"{self.name}: target {self.target}, but graphs have {values.shape[1]} attributes")
        return torch.from_numpy(values[:, self.target].copy())

    def _features(self, num_nodes: int) -> Tensor | None:
        attributes = read_nodes(self.files, "node_attributes", num_nodes, np.float32)
        labels = read_nodes(self.files, "node_labels", num_nodes)
        parts = [] if attributes is None else [torch.from_numpy(attributes)]
        if labels is not None:
            positions = torch.from_numpy(self._positions("node_labels", labels[:, 0], self.node_labels))
            parts.append(torch.nn.functional.one_hot(positions, len(self.node_labels)).float())
        return torch.cat(parts, dim=1) if parts else None

    def _positions(self, part: str, labels: Integers, known: Integers) -> Integers:
        unknown = ~np.isin(labels, known)
        if unknown.any():
            line = int(unknown.argmax())
            raise self.files.error(part, line + 1, f"label {labels[line]}, expected one of {known.tolist()}")
        return np.searchsorted(known, labels)

    def _folds(self, y: Tensor) -> list[Integers]:
        if self.folds == "given":
            return given_folds(self.name, self.files.root / f"{self.name}_10fold_idx", len(y))
        return stratified_folds(self.name, y, self.task == "graph_classification")


class RedditBinaryDataModule(TUDataModule):
    """REDDIT-BINARY: 2,000 discussions, users joined where one answered the other; question-answer or debate.

    Yanardag & Vishwanathan 2015, "Deep Graph Kernels" (https://doi.org/10.1145/2783258.2783417). Nodes have no
    features: they get their standardised degree. Arguments as in `TUDataModule`.
    """

    num_graphs, num_nodes, num_edges = 2000, 859254, 1991016  # in all; means 429.6 and 995.5

    def __init__(
        self,
        root: str | None = None,
        folds: Literal["stratified", "given"] = "stratified",
        fold: int | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
    ) -> None:
        super().__init__("REDDIT-BINARY", root, folds=folds, fold=fold, batch_size=batch_size, num_workers=num_workers)

    def header(self) -> tuple[int, Integers, Integers]:
        """Known without the files."""
        return 0, distinct(None), np.array([-1, 1])

    def prepare_data(self) -> None:
        """Downloads the zip if nothing is there."""
        if not self.files.missing:
            return
        try:
            write_atomically(self.files.archive, fetch(self.files.url))
        except (OSError, HTTPException) as error:
            raise DataError(
                f"{self.name}: {self.files.archive.name} is missing and its download failed ({reason_of(error)}): "
                f"put {self.files.url} into {self.files.root}"
            ) from error

    def load(self) -> tuple[GraphStore, Split]:
        """Reads the files and checks the known counts."""
        store, split = super().load()
        found = (len(store), len(store.x), store.edge_index.size(1))
        if found != (expected := (self.num_graphs, self.num_nodes, self.num_edges)):
            raise DataError(
                f"{self.name}: {found} graphs, nodes and edges, expected {expected}: get {self.files.url} again"
            )
        return store, split


def distinct(labels: Integers | None) -> Integers:
    """The values there are, ascending."""
    return np.unique(labels) if labels is not None else np.zeros(0, dtype=np.int64)


def standardised_degree(edge_index: Tensor, num_nodes: Tensor, num_edges: Tensor, graphs: Tensor) -> Tensor:
    """In-degree of every node [N, 1], with mean 0 and deviation 1 over the nodes of `graphs`."""
    targets = edge_index[1] + torch.repeat_interleave(starts(num_nodes), num_edges)
    degree = torch.bincount(targets, minlength=int(num_nodes.sum())).float()
    chosen = torch.isin(torch.repeat_interleave(num_nodes), graphs)
    deviation, mean = torch.std_mean(degree[chosen])
    return ((degree - mean) / (deviation if deviation > 0 else 1.0))[:, None]
