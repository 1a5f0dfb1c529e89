"""Any PyG data set of graphs, by its class in a config."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch_geometric.data import Data, Dataset

from datamodules.base import DataError, check_choice
from datamodules.batched import BatchedDataModule, Split
from datamodules.splits import draw_folds, fold_of_run, split_by_fold, split_by_shares
from datamodules.storage import GraphStore


class PyGDataModule(BatchedDataModule):
    """The graphs of a PyG `Dataset`, split by folds or by shares.

    `__init__` loads the data set, because only it knows its numbers of features and classes. Features must be
    numbers, or one whole number per node, its type. If there are none, give the data set a `transform` that
    adds some, such as `torch_geometric.transforms.OneHotDegree`.

    Args:
        dataset: its class and arguments (`class_path`, `init_args`).
        task: "graph_classification" or "graph_regression" (one target).
        split: "folds" (ten, stratified; tests on one fold and validates on the one before it) or "shares".
        fold: number of the test fold, 1 to 10; None: the run's seed modulo 10, plus 1.
        val_share, test_share: shares of the graphs, for "shares".
        batch_size, num_workers: see `BatchedDataModule`.

    Raises:
        ValueError: for values outside their range.
        DataError: if the data set cannot be made, or its graphs lack something.
    """

    def __init__(
        self,
        dataset: Callable[[], Dataset],
        *,
        task: Literal["graph_classification", "graph_regression"] = "graph_classification",
        split: Literal["folds", "shares"] = "folds",
        fold: int | None = None,
        val_share: float = 0.1,
        test_share: float = 0.1,
        batch_size: int = 128,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, num_workers)
        check_choice("task", task, ("graph_classification", "graph_regression"))
        check_choice("split", split, ("folds", "shares"))
        fold_of_run(fold)
        self.task, self.split_by, self.fold, self.val_share, self.test_share = task, split, fold, val_share, test_share
        try:
            self.dataset = dataset()
        except (OSError, RuntimeError) as error:
            raise DataError(f"dataset: cannot be loaded ({error}): fetch it where there is a network") from error
        self.name = getattr(self.dataset, "name", None) or type(self.dataset).__name__
        self.graphs = GraphStore.of(self.name, [used_parts(graph) for graph in self.dataset])
        x, y = self.graphs.x, self.graphs.y
        self.num_features = x.size(1) if x.is_floating_point() else int(x.max()) + 1
        self.num_classes = int(y.max()) + 1 if task == "graph_classification" else 1
        self.graphs.y = y.long() if task == "graph_classification" else y.float()

    def load(self) -> tuple[GraphStore, Split]:
        """Splits the graphs."""
        return self.graphs, self._split(self.graphs.y)

    def _split(self, y: Tensor) -> Split:
        stratify = self.task == "graph_classification"
        if self.split_by == "shares":
            return split_by_shares(self.name, y, val=self.val_share, test=self.test_share, stratify=stratify)
        return split_by_fold(draw_folds(self.name, y, stratify=stratify), fold_of_run(self.fold))


def used_parts(graph: Data) -> Data:
    """Returns a graph with nothing but features, edges and target."""
    return Data(x=numeric_features(graph.x), edge_index=graph.edge_index, y=graph.y)


def numeric_features(x: Tensor | None) -> Tensor | None:
    """Returns one whole number per node as types [N, 1] int64, anything else as numbers [N, F] float32."""
    if x is None:
        return None
    x = x.view(len(x), -1)
    return x.long() if x.size(1) == 1 and not x.is_floating_point() else x.float()
