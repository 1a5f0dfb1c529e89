"""One graph of one's own, whose nodes are learned: from a file, or as a PyG data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset

from datamodules.classes import coded, known_classes, names_of_rows, names_of_targets, number_classes
from datamodules.errors import DataError, check_at_least, check_choice
from datamodules.features import Known, number_of_categories
from datamodules.folders import dataset_folder
from datamodules.graph_checks import (
    MASKS,
    PARTS,
    UNLEARNED,
    check_masks,
    check_parts,
    check_targets,
    described,
    without_single_column,
)
from datamodules.one_graph.base import Features, FullBatchDataModule
from datamodules.raw.graph_files import read_graph, rows_beside, stem_of
from datamodules.raw.saved_graphs import loaded, made, name_of
from datamodules.raw.split_files import read_split
from datamodules.splits import NOT_STRATIFIED, refuse_beside_file, refuse_without_effect, split_by_size, tell_wrapped
from models.seeds import run_seed

TASKS = ("node_classification", "node_multilabel", "node_regression")
SIZES = ("val_size, test_size", "nodes")
VAL_SIZE, TEST_SIZE = 0.1, 0.2
NodeTask = Literal["node_classification", "node_multilabel", "node_regression"]


class OwnGraphDataModule(FullBatchDataModule):
    """Base of the datamodules of one graph that is given: learns the class of each node, labels, or numbers.

    The graph has `x` [N, F] (measurements, or one column of whole numbers: categories, for an embedding), `edge_index`
    [2, E], `y` [N] (whole numbers or words, of which the distinct ones, ascending, are the classes; [N, C] of 0 and 1
    for labels; [N] or [N, C] numbers for a regression; NaN is a label or number that is not known), and if it has them
    `train_mask`, `val_mask` and `test_mask`, each [N] bool or, of K splits, [N, K]. Without masks the nodes are split
    by size, by classes as evenly as possible, the same in every run. A graph may have `edge_weight` [E]; what else
    there is, `remarks` names.

    Args:
        name: of the data.
        graph: see above.
        task: "node_classification", "node_multilabel" or "node_regression".
        target_names: of the labels or numbers, one for each column of `y`; None: they are numbered.
        val_size, test_size: of a split that is drawn: shares (below 1) or numbers of nodes; the others are trained on.
        split: of masks with K columns the column, from 0 on; None: the run's seed modulo K.
        split_file: a file that says the split instead, see `datamodules.raw.split_files.read_split`.
        features, inductive, parts, parts_per_step, neighbours, nodes_per_step: see `FullBatchDataModule`.
        known: the `data.json` of a run whose network is to predict this graph's nodes, none of which is in a part then:
            its classes and scaling are taken. `y` may be missing, or NaN or an empty word of single nodes.

    Raises:
        ValueError: for values outside their range.
        DataError: if the graph lacks something.
    """

    def __init__(
        self,
        name: str,
        graph: object,
        *,
        task: NodeTask = "node_classification",
        target_names: list[str] | None = None,
        val_size: float = VAL_SIZE,
        test_size: float = TEST_SIZE,
        split: int | None = None,
        split_file: str | None = None,
        features: Features = "standardized",
        known: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(features, **settings)
        check_choice("task", task, TASKS)
        if split is not None:
            check_at_least("split", split, 0)
        refuse_beside_file(
            split_file, split=(split, None), val_size=(val_size, VAL_SIZE), test_size=(test_size, TEST_SIZE)
        )
        self.name, self.task, self.split = name, task, split
        self.val_size, self.test_size = val_size, test_size
        self.known = None if known is None else Known.read(known)
        self.graph = copy(check_parts(name, "the graph", graph, UNLEARNED if self.known else PARTS))
        if self.known and self.known.of_numbers:
            self.graph.x = self.graph.x.float()
        self.num_features, categories = width_of(name, self.graph.x)
        if self.known:
            self._read_as(self.known, categories=categories)
            return
        if categories:
            self.remark(f"the whole-number column of `x` is taken for one of {self.num_features} categories")
        if split_file is not None:
            self._take_split(split_file)
        words = self._targets()
        labelled = self._given_masks(words)
        if task == "node_classification":
            self.num_classes = self._number_classes(labelled, words)
        else:
            self.num_classes = self.graph.y[:1].numel()
        self.class_names = names_of_targets(target_names, self.num_classes, task) or self.class_names
        if self.graph.get("train_mask") is None:
            self.graph.update(self._drawn(labelled))

    def _read_as(self, known: Known, *, categories: bool) -> None:
        """Takes width and classes of what a network was trained on; puts all nodes into no part."""
        known.check_width(self.name, self.num_features, categories=categories)
        self.num_features, self.num_classes, self.class_names = (
            known.num_features, len(known.classes) or 1, known.class_names,
        )  # fmt: skip
        nodes, width = len(self.graph.x), () if self.num_classes == 1 else (self.num_classes,)
        several = self.task != "node_classification"
        if self.graph.get("y") is None:
            self.graph.y = torch.full((nodes, *width) if several else (nodes,), torch.nan)
        words = self._targets()
        self.given = ~self._unlabelled(words)
        if not several:
            labels = [words[int(y)] for y in self.graph.y] if words else self.graph.y.tolist()
            self.graph.y, self.given = known_classes(self.name, labels, known.classes, "node {}".format)
        elif self.graph.y.shape[1:] != width:
            found = described(self.graph.y)
            raise DataError(f"{self.name}: `y` is {found}, the network gives {self.num_classes} numbers")
        self.graph.update({mask: torch.zeros(nodes, dtype=torch.bool) for mask in MASKS})
        self.inductive = False

    def setup(self, stage: str | None = None) -> None:
        """See `FullBatchDataModule`.

        Raises:
            DataError: also where data that is only predicted is to be trained on.
        """
        if self.known and stage == "fit":
            raise DataError(f"{self.name}: data.known: nothing is trained on data that is only predicted")
        super().setup(stage)

    def labelled(self) -> Tensor:
        """See `GraphDataModule`; of other data than that of training, the nodes with a target."""
        return self.given if self.known else super().labelled()

    def load_graph(self) -> Data:
        """Returns the graph, with its masks."""
        return self.graph

    def _targets(self) -> Sequence[str]:
        """Makes a tensor of the targets; returns the words that its numbers stand for, none if they are numbers."""
        y, words = self.graph.y, tuple[str, ...]()
        if isinstance(y, list | np.ndarray) and self.task == "node_classification":
            self.graph.y, words = coded(self.name, y)
        check_targets(self.name, self.graph, self.task)
        y = self.graph.y
        several = self.task != "node_classification"
        numbers = y.float() if y.is_floating_point() else y.long()
        self.graph.y = without_single_column(numbers.reshape(len(y), -1)) if several else y.flatten()
        return words

    def _take_split(self, file: str) -> None:
        """Makes masks of the split in a file."""
        nodes = len(self.graph.x)
        ids = names_of_rows(self.name, self.graph.id, nodes, "node") if self.graph.get("id") is not None else ()
        split, remark = read_split(self.name, file, nodes, ids=ids, what="node")
        self.remark(remark)
        every = torch.arange(nodes)
        self.graph.update({f"{part}_mask": torch.isin(every, chosen) for part, chosen in vars(split).items()})

    def _given_masks(self, words: Sequence[str]) -> Tensor:
        """Takes one column of each mask, and returns the nodes in one, [N] bool; of no masks, those with a target."""
        given = [mask for mask in MASKS if self.graph.get(mask) is not None]
        if not given:
            refuse_without_effect("as the graph has no masks", split=(self.split, None))
            return ~self._unlabelled(words)
        drawn = {"val_size": (self.val_size, VAL_SIZE), "test_size": (self.test_size, TEST_SIZE)}
        refuse_without_effect("beside the masks of the graph", **drawn)
        self._take_columns(given)
        check_masks(self.name, self.graph)
        inside = torch.stack([self.graph[mask] for mask in MASKS]).any(0)
        if (empty := inside & self._unlabelled(words)).any() and words:
            raise DataError(f"{self.name}: node {int(empty.nonzero()[0])} is in a mask, and its label is an empty word")
        return inside

    def _take_columns(self, masks: Sequence[str]) -> None:
        """Takes of masks [N, K] the column of the split; those of one column are of every split."""
        found = {mask: self.graph[mask] for mask in masks if isinstance(self.graph[mask], Tensor)}
        several = {mask: value.size(1) for mask, value in found.items() if value.dim() == 2 and value.size(1)}
        count = max(several.values(), default=1)
        if wrong := [mask for mask, columns in several.items() if columns not in (1, count)]:
            raise DataError(f"{self.name}: `{wrong[0]}` has {several[wrong[0]]} columns where another mask has {count}")
        if count == 1:
            refuse_without_effect("as the masks have one column", split=(self.split, None))
        elif self.split is not None and self.split >= count:
            raise ValueError(f"split: expected 0 to {count - 1}, the columns of the masks, got {self.split}")
        self.remark(tell_wrapped(self.split, count, "splits") if count > 1 else "")
        column = run_seed() % count if self.split is None else self.split
        for mask, columns in several.items():
            self.graph[mask] = self.graph[mask][:, column % columns]

    def _unlabelled(self, words: Sequence[str]) -> Tensor:
        """Returns the nodes [N] whose target is NaN, of several all, or an empty word."""
        y: Tensor = self.graph.y
        if y.dim() == 2:
            return y.isnan().all(1)
        if words:
            return y == (words.index("") if "" in words else -1)
        return y.isnan() if y.is_floating_point() else torch.zeros(len(y), dtype=torch.bool)

    def _drawn(self, labelled: Tensor) -> dict[str, Tensor]:
        nodes = labelled.nonzero().flatten()
        left = len(labelled) - len(nodes)
        self.remark(f"{left} of {len(labelled)} nodes have no target and are in no part" if left else "")
        stratify = self.task == "node_classification"
        self.remark(NOT_STRATIFIED if self.task == "node_multilabel" else "")
        sizes: dict[str, Any] = {"val": self.val_size, "test": self.test_size, "words": SIZES}
        parts = split_by_size(self.name, self.graph.y[nodes], **sizes, stratify=stratify, classes=self.class_names)
        every = torch.arange(len(labelled))
        return {f"{part}_mask": torch.isin(every, nodes[chosen]) for part, chosen in vars(parts).items()}

    def _number_classes(self, labelled: Tensor, words: Sequence[str]) -> int:
        """Makes classes of the labels, keeps what they were, and returns how many there are."""
        nodes = labelled.nonzero().flatten().tolist()
        _, count, names = number_classes(
            self.name, self.graph.y[labelled].tolist(), lambda number: f"node {nodes[number]}", "choose node_regression"
        )
        position = {label: number for number, label in enumerate(names or range(count))}
        self.class_names = tuple(words[int(label)] for label in position) if words else names
        self.graph.y = torch.tensor([position.get(label, 0) for label in self.graph.y.tolist()])  # 0: of no class
        return count


class GraphFileDataModule(OwnGraphDataModule):
    """The graph in `<root>/<name>.npz` (of `numpy.savez`) or `<root>/<name>.pt` (of `torch.save`).

    The file holds arrays, or a dictionary of tensors or a PyG `Data`, with the parts that `OwnGraphDataModule` names.
    Nothing in it is run. `__init__` reads it, because only it knows its numbers of features and classes.

    Features that are too large for memory are in `<root>/<name>.x.npy` instead (of `numpy.save`; [N, F] float32). They
    stay there and are read as they are, part by part or block by block.

    Args:
        name: of the file, without its ending or with it.
        root: its folder; default `$DEGREE_QUANT_DATA/graphs`, without that variable `data/graphs`.
        task, target_names, val_size, test_size, split, split_file, features, known: see `OwnGraphDataModule`.
        inductive, parts, parts_per_step, neighbours, nodes_per_step: see `FullBatchDataModule`.

    Raises:
        ValueError: for values outside their range.
        DataError: if there is no such file, it cannot be read, or the graph lacks something; for features in a file of
            their own that are to be scaled.
    """

    def __init__(self, name: str, root: str | None = None, **settings: Any) -> None:
        folder = dataset_folder(root, "graphs")
        super().__init__(stem_of(name), read_graph(name, folder), **settings)
        rows = rows_beside(name, folder)
        if rows is not None and (self.features != "raw" or self.inductive):
            wrong, remedy = (
                ("inductive", "false") if self.inductive else ("features", "raw, and scale them before you save them")
            )
            raise DataError(f"{self.name}: {rows} is read as it is, without a copy: data.{wrong}: {remedy}")


class PyGNodeDataModule(OwnGraphDataModule):
    """The one graph of a PyG `Dataset`, such as `torch_geometric.datasets.WebKB`; see `OwnGraphDataModule`.

    Args:
        dataset: its class and arguments (`class_path`, `init_args`).
        task, target_names, val_size, test_size, split, split_file, features, known: see `OwnGraphDataModule`.
        inductive, parts, parts_per_step, neighbours, nodes_per_step: see `FullBatchDataModule`.

    Raises:
        ValueError: for values outside their range.
        DataError: if the data set cannot be made, has several graphs, or the graph lacks something.
    """

    def __init__(self, dataset: Callable[[], Dataset], **settings: Any) -> None:
        found = made(dataset)
        name = name_of(found)
        if len(found) != 1:
            raise DataError(f"{name}: has {len(found)} graphs, expected one: PyGDataModule takes many")
        (graph,) = loaded(found)
        super().__init__(name, graph, **settings)


def width_of(name: str, x: Tensor) -> tuple[int, bool]:
    """Returns the width of features [N, F], and whether they are categories: then their number.

    Raises:
        DataError: for categories below 0, and for very large ones.
    """
    if x.dim() == 2 and x.size(1) == 1 and not x.is_floating_point() and x.dtype != torch.bool:
        return number_of_categories(name, x, "node {}".format, "make measurements of them by `.float()`"), True
    return x.shape[-1] if x.dim() > 1 else 1, False
