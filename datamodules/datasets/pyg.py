"""Any PyG data set of graphs, by its class in a config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset

from datamodules.base import STANDARDISED
from datamodules.batched import BatchedDataModule, Split
from datamodules.classes import is_missing, known_classes, names_of_rows, names_of_targets, number_classes
from datamodules.errors import DataError, check_choice
from datamodules.features import KINDS, FeatureKind, Known, interpret, scaling_of
from datamodules.graph_checks import PARTS, UNLEARNED, check_exact, check_parts, checked_columns, described
from datamodules.raw.saved_graphs import loaded, made, name_of
from datamodules.splits import NUM_FOLDS, SHARE, GraphTask, Splitting
from datamodules.storage import GraphStore, check_row_alike

USED = {"x", "edge_index", "y", "num_nodes", "id"}
"""Parts of a graph that are used, or follow from those."""


class PyGDataModule(BatchedDataModule):
    """The graphs of a PyG `Dataset`, split by folds or by shares.

    `__init__` loads the data set, because only it knows its numbers of features and classes. If nodes have no
    features, give the data set a `transform` that adds some, such as `torch_geometric.transforms.OneHotDegree`.
    Of a graph `x`, `edge_index` and `y` are used; what else there is, `remarks` names. `y` is a whole number or a word
    (the distinct ones, ascending, are the classes); or a row, [1, C] or [C], of 0 and 1 for labels, or of numbers.
    In such a row NaN is not known.

    Args:
        dataset: its class and arguments (`class_path`, `init_args`).
        task: "graph_classification", "graph_multilabel" (of 0 and 1) or "graph_regression".
        target_names: of the labels or numbers, one for each column of `y`; None: they are numbered.
        split: "folds" (stratified; tests on one fold and validates on the one before it) or "shares".
        num_folds: how many there are (10).
        fold: number of the test fold, from 0 on; None: the run's seed modulo the number of folds.
        split_file: a file that says the split instead, see `datamodules.raw.split_files.read_split`.
        val_share, test_share: shares of the graphs, for "shares".
        features: "numbers", "categories", or "auto": a single column of whole numbers is a category, see `interpret`.
        standardize: gives each column of measurements mean 0 and deviation 1 over the nodes of the training graphs;
            columns of 0 and 1 stay.
        batch_size, num_workers: see `BatchedDataModule`.
        known: the `data.json` of a run whose network is to predict these graphs, none of which is in a part then: its
            classes, categories and scaling are taken. Of single graphs, or all, `y` may be missing.

    Raises:
        ValueError: for values outside their range.
        DataError: if the data set cannot be made, or its graphs lack something.
    """

    def __init__(
        self,
        dataset: Callable[[], Dataset],
        *,
        task: GraphTask = "graph_classification",
        target_names: list[str] | None = None,
        split: Literal["folds", "shares"] = "folds",
        num_folds: int = NUM_FOLDS,
        fold: int | None = None,
        split_file: str | None = None,
        val_share: float = SHARE,
        test_share: float = SHARE,
        features: FeatureKind = "auto",
        standardize: bool = True,
        batch_size: int = 128,
        num_workers: int = 0,
        known: str | None = None,
    ) -> None:
        super().__init__(batch_size, num_workers)
        check_choice("split", split, ("folds", "shares"))
        check_choice("features", features, KINDS)
        self.splitting = Splitting(task, fold, num_folds, val_share, test_share, split_file)
        self.task, self.split_by, self.fold = task, split, fold
        self.dataset = made(dataset)
        self.name = name_of(self.dataset)
        if len(self.dataset) == 1:
            raise DataError(f"{self.name}: has one graph: datamodules.PyGNodeDataModule learns its nodes")
        self.standardize = standardize
        self.known = None if known is None else Known.read(known)
        self.graphs = self._read(features)
        self.class_names = names_of_targets(target_names, self.num_classes, task) or self.class_names

    def _read(self, kind: FeatureKind) -> GraphStore:
        """Returns the graphs with features as they are in the data; sets what is known of the data set by then."""
        unused: set[str] = set()
        graphs, ids = [], []
        for number, graph in enumerate(loaded(self.dataset)):
            checked = check_parts(self.name, f"graph {number}", graph, UNLEARNED if self.known else PARTS)
            unused |= set(checked.keys()) - USED
            ids.append(own_id(number, checked.get("id")))
            graphs.append(used_parts(self.name, number, checked))
        self.ids = names_of_rows(self.name, ids, len(graphs), "graph")
        y = self._targets([graph.y for graph in graphs])
        for number, graph in enumerate(graphs):
            graph.y = y[number]
        store = GraphStore.of(self.name, graphs)
        known = self.known.categories if self.known else ()
        kind = "numbers" if kind == "auto" and self.known and self.known.of_numbers else kind
        features = interpret(self.name, torch.cat([graph.x for graph in graphs]), store.num_nodes, kind, known=known)
        store.x, self.num_features, self.categories = features.x, features.width, features.categories
        if self.known:
            self.known.check_width(self.name, features.width, categories=not features.x.is_floating_point())
            self.num_features = self.known.num_features
            if len(self.categories) != len(known):
                raise DataError("data.known: the run does not say its categories; train again with `fit --overwrite`")
        if unused:
            self.remark(f"not used: {', '.join(sorted(unused))}; only x, edge_index and y are")
        self.remark(features.remark)
        self.remark(store.loops_and_repeats())
        self.remark("" if store.edge_index.numel() else "no graph has an edge")
        return store

    def _targets(self, given: list[object]) -> Tensor:
        """Returns the target of each graph [G]; sets what is known of the classes, and which graphs have a target."""
        if not self.known:
            return self._learned(given)
        names = self.known.classes
        self.num_classes, self.class_names = len(names) or 1, self.known.class_names
        if self.task == "graph_classification":
            y, self.given = known_classes(self.name, given, names)
            return y
        self.given = torch.tensor([not is_missing(y) for y in given])
        example = next((torch.as_tensor(y) for y in given if not is_missing(y)), torch.zeros(self.num_classes))
        y = columns(self.name, [torch.zeros_like(example) if is_missing(y) else y for y in given], self.task)
        if y[0].numel() != self.num_classes:
            raise DataError(f"{self.name}: graphs have {y[0].numel()} targets, the network gives {self.num_classes}")
        return y

    def _learned(self, given: list[object]) -> Tensor:
        if self.task == "graph_classification":
            y, self.num_classes, self.class_names = number_classes(self.name, given)
        else:
            y = columns(self.name, given, self.task)
            self.num_classes = y.size(1)
        return y

    def labelled(self) -> Tensor:
        """See `GraphDataModule`; of other data than that of training, the graphs with a target."""
        return self.given if self.known else super().labelled()

    def load(self) -> tuple[GraphStore, Split]:
        """Splits the graphs, and standardises their measurements."""
        store, split = self.graphs, self._split(self.graphs.y)
        if self.standardize and store.x.is_floating_point():
            trained = torch.isin(torch.repeat_interleave(store.num_nodes), split.train)
            self.scaling = scaling_of(self.name, store.x, trained, self.known)
            self.features_are, self.preparation = STANDARDISED, ("standardize",)
            store = GraphStore(**{**store.tensors(), "x": self.scaling.applied(store.x)})
        return store, split

    def _split(self, y: Tensor) -> Split:
        if self.known:
            return Split(*(torch.zeros(0, dtype=torch.int64) for _ in range(3)))
        split, remark = self.splitting.of(
            self.name, y, self.ids, by_shares=self.split_by == "shares", classes=self.class_names
        )
        self.remark(remark)
        return split


def used_parts(name: str, number: int, graph: Data) -> Data:
    """Returns a graph with nothing but features [N, F] (float32 or whole numbers), edges and target."""
    x = graph.x
    if x.layout != torch.strided:
        raise DataError(f"{name}: graph {number}: `x` is {described(x)}, expected dense features")
    x = x.reshape(len(x), -1)
    return Data(x=x.float() if x.is_floating_point() else x, edge_index=graph.edge_index, y=graph.y)


def own_id(number: int, given: object) -> object:
    """Returns the `id` that a graph has, of a tensor its one number; without any, the graph's number."""
    return number if given is None else given.item() if isinstance(given, Tensor) and given.numel() == 1 else given


def columns(name: str, targets: Sequence[object], task: str) -> Tensor:
    """Returns the labels or numbers of each graph, [G, C] float32.

    Raises:
        DataError: if one is no number, graphs have not equally many, or one is none that the task learns.
    """
    rows: list[Tensor] = []
    for number, target in enumerate(targets):
        if not isinstance(target, Tensor | float | int) or (isinstance(target, Tensor) and target.is_complex()):
            raise DataError(f"{name}: graph {number}: `y` is {target!r}, expected a number")
        row = torch.as_tensor(target)
        check_exact(name, row.reshape(1, -1), f"graph {number}".format)
        rows.append(row.float())
        check_row_alike(name, number, rows[-1], rows[0])
    together = torch.stack([row.flatten() for row in rows])
    return checked_columns(name, together, task, "graph {}".format, "correct it or leave the graph out")
