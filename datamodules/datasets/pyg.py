"""Any PyG data set of graphs, named in a config."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch_geometric.data import Data, Dataset

from datamodules.base import DataError, check_choice
from datamodules.batched import BatchedDataModule, Split
from datamodules.splits import cross_validation, fold_of_run, fractions, stratified_folds
from datamodules.storage import GraphStore


class PyGDataModule(BatchedDataModule):
    """The graphs of a PyG `Dataset`, split by folds or by shares.

    The data set is made with the object, since the number of features and classes is its own. Features must be
    numbers, or one whole number per node, its type. Where there are none, give the data set a `transform` that
    adds some, such as `torch_geometric.transforms.OneHotDegree`.

    Args:
        dataset: its class and arguments (`class_path`, `init_args`).
        task: "graph_classification" or "graph_regression" (one target).
        split: "folds" (ten, stratified; fold i tests, the one before it chooses the epoch) or "shares".
        fold: 1 to 10; None: the run's seed plus one, modulo 10.
        val_share, test_share: shares of the graphs.

    Raises:
        ValueError: for values outside their range.
        DataError: if the data set cannot be made, or its graphs lack something.
    """

    def __init__(
        self,
        dataset: Callable[[], Dataset],
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
        self.task, self.how, self.fold, self.val_share, self.test_share = task, split, fold, val_share, test_share
        try:
            self.dataset = dataset()
        except (OSError, RuntimeError) as error:
            raise DataError(f"dataset: cannot be loaded ({error}): fetch it where there is a network") from error
        self.name = getattr(self.dataset, "name", None) or type(self.dataset).__name__
        self.graphs = GraphStore.of(self.name, [plain(graph) for graph in self.dataset])
        x, y = self.graphs.x, self.graphs.y
        self.num_features = x.size(1) if x.is_floating_point() else int(x.max()) + 1
        self.num_classes = int(y.max()) + 1 if task == "graph_classification" else 1
        self.graphs.y = y.long() if task == "graph_classification" else y.float()

    def load(self) -> tuple[GraphStore, Split]:
        """Splits the graphs."""
        return self.graphs, self._split(self.graphs.y)

    def _split(self, y: Tensor) -> Split:
        classes = self.task == "graph_classification"
        if self.how == "shares":
            return fractions(self.name, y, self.val_share, self.test_share, classes)
        return cross_validation(stratified_folds(self.name, y, classes), fold_of_run(self.fold))


def plain(graph: Data) -> Data:
    """The graph with the parts that are used."""
    return Data(x=features(graph.x), edge_index=graph.edge_index, y=graph.y)


def features(x: Tensor | None) -> Tensor | None:
    """One whole number per node as types [N, 1], anything else as numbers [N, F]."""
    if x is None:
        return None
    x = x.view(len(x), -1)
    return x.long() if x.size(1) == 1 and not x.is_floating_point() else x.float()
