"""Data sets in the text format of the TUDatasets: any of them by name, and REDDIT-BINARY as in the paper."""

from __future__ import annotations

from http.client import HTTPException
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.engine.files import write_atomically
from datamodules.batched import BatchedDataModule, Split
from datamodules.classes import names_of_targets
from datamodules.errors import DataError, check_choice
from datamodules.features import Known, Scaling, in_degrees, standardised_degree
from datamodules.folders import dataset_folder
from datamodules.graph_checks import checked_columns, without_single_column
from datamodules.raw.raw_files import fetch, reason_of
from datamodules.raw.tu_files import TextFiles
from datamodules.raw.tu_graphs import Integers, read_graphs, read_nodes, read_targets, read_topology
from datamodules.splits import NUM_FOLDS, SHARE, GraphTask, Splitting, refuse_without_effect
from datamodules.storage import GraphStore

USED = ("A", "graph_indicator", "node_labels", "node_attributes")
"""Parts of the text files that are used, beside the targets."""


class TUDataModule(BatchedDataModule):
    """A TUDataset by name: `<root>/<name>/<name>_A.txt` and the other files, or `<root>/<name>.zip`.

    Node features are the node attributes and the one-hot node labels (each column of them by itself), if there are
    any; else the in-degree. Attributes and degree are standardised with the mean and standard deviation over the nodes
    of the training graphs. Labels of graphs are whole numbers or words; the distinct ones, ascending, are the classes.
    There are ten folds: one is the test set, the one before it the validation set, the others are trained on.

    `__init__` reads the number of classes and the width of the features, so the files must be there by then.

    Args:
        name: of the data set and its files.
        root: default `$DEGREE_QUANT_DATA/tudataset`, without that variable `data/tudataset`.
        task: "graph_classification" (of `graph_labels`), "graph_multilabel" (of columns of 0 and 1 in `graph_labels`)
            or "graph_regression" (of `graph_attributes`); of several columns `nan` is what is not known.
        target: the column of `graph_attributes` to predict, from 0 on, or a list of columns, or "all".
        target_names: of the labels or numbers, one for each column that is predicted; None: they are numbered.
        folds: "stratified" (drawn, the same in every run), "given" in `<root>/<name>_10fold_idx/test_idx-<k>.txt`, or
            "shares": no folds, for few graphs.
        num_folds: how many there are (10).
        fold: number of the test fold, from 0 on; None: the run's seed modulo the number of folds.
        split_file: a file that says the split instead, see `datamodules.raw.split_files.read_split`.
        val_share, test_share: shares of the graphs, for "shares".
        standardize: whether node attributes are standardised; columns of 0 and 1 never are.
        batch_size, num_workers: see `BatchedDataModule`.
        known: the `data.json` of a run whose network is to predict these graphs, none of which is in a part then: its
            classes, categories and scaling are taken. Targets may be missing.

    Raises:
        ValueError: for values outside their range.
        DataError: for missing or damaged files.
    """

    def __init__(
        self,
        name: str,
        root: str | None = None,
        *,
        task: GraphTask = "graph_classification",
        target: int | list[int] | Literal["all"] = 0,
        target_names: list[str] | None = None,
        folds: Literal["stratified", "given", "shares"] = "stratified",
        num_folds: int = NUM_FOLDS,
        fold: int | None = None,
        split_file: str | None = None,
        val_share: float = SHARE,
        test_share: float = SHARE,
        standardize: bool = True,
        batch_size: int = 128,
        num_workers: int = 0,
        known: str | None = None,
    ) -> None:
        super().__init__(batch_size, num_workers)
        self.known = None if known is None else Known.read(known)
        self.splitting = Splitting(task, fold, num_folds, val_share, test_share, split_file)
        check_choice("folds", folds, ("stratified", "given", "shares"))
        check_target(target, task)
        self.name, self.task, self.target, self.folds = name, task, target, folds
        self.files = TextFiles(name, dataset_folder(root, "tudataset"))
        self.standardize = standardize
        num_attributes, self.node_labels, self.graph_labels = self.header()
        self.num_features = num_attributes + sum(len(labels) for labels in self.node_labels) or 1
        self.num_classes = len(self.graph_labels) or self._num_targets()
        if self.known:
            self.known.check_width(name, self.num_features)
        self.categories = [column.tolist() for column in self.node_labels]
        labels = self.graph_labels.tolist()
        names = names_of_targets(target_names, self.num_classes, task)
        self.class_names = names or (() if labels == list(range(len(labels))) else tuple(labels))

    def header(self) -> tuple[int, list[Integers], NDArray[Any]]:
        """Returns the number of node attributes, and the distinct labels, ascending.

        Those of nodes by column; those of graphs are words or numbers, none where graphs have no class.
        """
        if not (self.files.text("graph_indicator") or "").strip():
            raise DataError(f"{self.name}: there are no graphs")
        if self.known:
            columns = [np.array(column) for column in self.known.categories]
            return self.files.width("node_attributes"), columns, np.array(self.known.classes)
        graphs = self.files.labels("graph_labels") if self.task == "graph_classification" else None
        if graphs is None and self.task == "graph_classification":
            raise DataError(f'{self.name}: no {self.name}_graph_labels.txt: add it, or choose task "graph_regression"')
        nodes = self.files.numbers("node_labels")
        columns = [] if nodes is None else [np.unique(column) for column in nodes.T]
        return self.files.width("node_attributes"), columns, distinct(graphs)

    def missing(self) -> list[str]:
        """See `GraphDataModule`."""
        return [f"{self.files.url} into {self.files.root}"] if self.files.missing else []

    def load(self) -> tuple[GraphStore, Split]:
        """Reads and checks the files, and splits the graphs."""
        num_nodes, num_edges, edge_index = read_topology(self.files)
        self.ids = range(1, len(num_nodes) + 1)  # as in its files
        self.has_targets = not self.known or self.files.text(self._target_part) is not None
        y = self._targets(len(num_nodes)) if self.has_targets else self._no_targets(len(num_nodes))
        nothing = torch.zeros(0, dtype=torch.int64)
        split = Split(nothing, nothing, nothing) if self.known else self._split(y)
        sizes, counts, edges = map(torch.from_numpy, (num_nodes, num_edges, edge_index))
        features = self._features(torch.isin(torch.repeat_interleave(sizes), split.train))
        if self.known:
            self.known.check_degrees(self.name, read=features is None)
        if features is None:
            features, self.scaling = self._degrees(edges, sizes, counts, split.train)
            self.features_are = "the in-degree of each node, standardised: (x - mean) / deviation of `scaling`"
            self.preparation = ("in_degree", "standardize")
        store = GraphStore.build(self.name, x=features, edge_index=edges, y=y, num_nodes=sizes, num_edges=counts)
        if unused := sorted(set(self.files.parts()) - {*USED, self._target_part}):
            self.remark(f"not used: {', '.join(f'{self.name}_{part}.txt' for part in unused)}")
        self.remark(store.loops_and_repeats())
        if not len(edges.T):
            self.remark("no graph has an edge")
        return store, split

    @property
    def _target_part(self) -> str:
        return "graph_attributes" if self.task == "graph_regression" else "graph_labels"

    def _columns(self) -> list[int]:
        """Returns the columns of the file of targets that are predicted, where graphs have no class."""
        if self.task == "graph_multilabel" or self.target == "all":
            return list(range(self.files.width(self._target_part) or 1))
        return [self.target] if isinstance(self.target, int) else self.target

    def _num_targets(self) -> int:
        return (len(self.known.classes) or 1) if self.known else len(self._columns())

    def labelled(self) -> Tensor:
        """See `GraphDataModule`; of other data than that of training all graphs, if they have targets."""
        return torch.full((len(self.targets()),), self.has_targets) if self.known else super().labelled()

    def _targets(self, num_graphs: int) -> Tensor:
        if self.task == "graph_classification":
            labels = read_graphs(self.files, num_graphs)[:, 0]
            return torch.from_numpy(self._positions("graph_labels", labels, self.graph_labels))
        values, columns = read_targets(self.files, self._target_part, num_graphs), self._columns()
        if (last := max(columns)) >= values.shape[1]:
            raise DataError(f"{self.name}: target {last}, but graphs have {values.shape[1]} attributes")
        place = f"{self.name}_{self._target_part}.txt line {{}}".format
        if len(columns) != self.num_classes:
            raise DataError(f"{self.name}: graphs have {len(columns)} targets, the network {self.num_classes}")
        y = torch.from_numpy(values[:, columns])
        checked_columns(self.name, y, self.task, lambda row: place(row + 1), "correct it, or leave the graph out")
        return without_single_column(y)

    def _no_targets(self, num_graphs: int) -> Tensor:
        if self.task == "graph_classification":
            return torch.zeros(num_graphs, dtype=torch.int64)
        return without_single_column(torch.zeros(num_graphs, self.num_classes))

    def _degrees(self, edges: Tensor, sizes: Tensor, counts: Tensor, trained: Tensor) -> tuple[Tensor, Scaling]:
        degree = in_degrees(edges, sizes, counts)
        if self.known and self.known.scaling:
            return self.known.scaling.applied(degree[:, None]), self.known.scaling
        return standardised_degree(degree, sizes, trained)

    def _features(self, trained: Tensor) -> Tensor | None:
        """Returns the features of all nodes, [N, num_features]; None if there are none. `trained` [N]: in training."""
        attributes = read_nodes(self.files, "node_attributes", len(trained), kind=np.float32)
        labels = read_nodes(self.files, "node_labels", len(trained))
        parts, said = [], []
        if attributes is not None:
            values = torch.from_numpy(attributes)
            if self.known and self.known.scaling:
                self.scaling = self.known.scaling
                values = self.scaling.of_first(values.size(1)).applied(values)
            elif self.standardize and not self.known:
                scaling = Scaling.of(values, trained)
                self.scaling, values = scaling.of_width(self.num_features), scaling.applied(values)
            parts.append(values)
            said.append(f"{values.size(1)} node attributes{', standardised by `scaling`' if self.standardize else ''}")
        self._check_label_columns(0 if labels is None else labels.shape[1])
        for column, known in zip([] if labels is None else labels.T, self.node_labels, strict=True):
            positions = torch.from_numpy(self._positions("node_labels", column, known))
            parts.append(torch.nn.functional.one_hot(positions, len(known)).float())
            said.append(f"one-hot node labels {', '.join(map(str, known.tolist()))}")
        self.features_are = "; ".join(said)
        self.preparation = ("standardize",) if self.scaling else ()
        return torch.cat(parts, dim=1) if parts else None

    def _check_label_columns(self, found: int) -> None:
        file, wanted = f"{self.name}_node_labels.txt", len(self.node_labels)
        if not found and wanted:
            raise DataError(f"{self.name}: no {file}, which the network was trained with: add it")
        if found != wanted:
            raise DataError(
                f"{self.name}: {file} has {found} columns, the network was trained with {wanted}: change it"
            )

    def _positions(self, part: str, labels: NDArray[Any], known: NDArray[Any]) -> Integers:
        unknown = ~np.isin(labels, known)
        if unknown.any():
            line = int(unknown.argmax())
            raise self.files.error(part, line + 1, f"label {labels[line]}, expected one of {known.tolist()}")
        return np.searchsorted(known, labels)

    def _split(self, y: Tensor) -> Split:
        folder = self.files.root / f"{self.name}_{self.splitting.num_folds}fold_idx" if self.folds == "given" else None
        split, remark = self.splitting.of(
            self.name, y, self.ids, by_shares=self.folds == "shares", classes=self.class_names, given=folder
        )
        self.remark(remark)
        return split


class RedditBinaryDataModule(TUDataModule):
    """REDDIT-BINARY: 2,000 discussions; nodes are users, joined if one answered the other; Q&A or debate.

    Yanardag & Vishwanathan 2015, "Deep Graph Kernels" (https://doi.org/10.1145/2783258.2783417). Nodes have no
    features, so they get their standardised in-degree. Arguments as in `TUDataModule`.
    """

    num_graphs, num_nodes, num_edges = 2000, 859254, 1991016  # in all; means 429.6 and 995.5

    def __init__(
        self,
        root: str | None = None,
        *,
        folds: Literal["stratified", "given"] = "stratified",
        fold: int | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
    ) -> None:
        super().__init__("REDDIT-BINARY", root, folds=folds, fold=fold, batch_size=batch_size, num_workers=num_workers)

    def header(self) -> tuple[int, list[Integers], NDArray[Any]]:
        """Returns what is known of the data set without reading its files."""
        return 0, [], np.array([-1, 1])

    def prepare_data(self) -> None:
        """Downloads the zip if there are no files."""
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
        """Reads the files, and checks the numbers of graphs, nodes and edges."""
        store, split = super().load()
        found = (len(store), len(store.x), store.edge_index.size(1))
        if found != (expected := (self.num_graphs, self.num_nodes, self.num_edges)):
            raise DataError(
                f"{self.name}: {found} graphs, nodes and edges, expected {expected}: get {self.files.url} again"
            )
        return store, split


def check_target(target: int | list[int] | Literal["all"], task: str) -> None:
    """Raises ValueError unless `target` is a column, several different ones, or "all", and only for a regression."""
    if task != "graph_regression":
        refuse_without_effect(f"on {task}, which learns the file of labels", target=(target, 0))
    columns = [target] if isinstance(target, int) else [0] if target == "all" else target
    if (
        not columns
        or min(columns) < 0
        or len(set(columns)) < len(columns)
        or any(isinstance(column, bool) for column in columns)
    ):
        raise ValueError(f'target: expected a column from 0 on, different ones in a list, or "all", got {target}')


def distinct(labels: NDArray[Any] | None) -> NDArray[Any]:
    """Returns the distinct labels, ascending; none for None."""
    return np.unique(labels) if labels is not None else np.zeros(0, dtype=np.int64)
