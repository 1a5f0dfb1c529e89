"""What every datamodule offers before it has touched the disk, and the one-graph case."""

from __future__ import annotations

import warnings
from typing import Literal

import pytorch_lightning as pl
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Data

from datamodules.transforms import attach_degree_cdf, normalize_rows, sort_edges


class DataError(ValueError):
    """Raw data is missing, damaged or not what it is known to be; one sentence says which and what to do."""


class GraphDataModule(pl.LightningDataModule):
    """Base of all datamodules.

    These attributes are set by `__init__` without touching the disk, so that a model can be built from them:
    `name`, `task` ("node_classification", ...), `num_features` (width F of `x`, or how many types there are where
    `x` [N, 1] holds types), `num_classes` (width of the output; 1 for a regression).

    `substitute`: what of the data is not the published original, for tables; empty if all is. Known after `setup`.
    """

    substitute: str = ""
    name: str
    task: str
    num_features: int
    num_classes: int

    def missing(self) -> list[str]:
        """What raw data is not there, each as `<where to get it> into <where to put it>`."""
        return []

    def pending(self) -> str:
        """What `prepare_data` still has to make of the raw data, in a few words; empty if nothing."""
        return ""


class FullBatchDataModule(GraphDataModule):
    """One graph for every split: each epoch of each loader is one step on the same `Data` object.

    A subclass sets the attributes of `GraphDataModule` and implements `load_graph`. After `setup`,
    `graph_data` holds

    Shapes:
        x [N, F] sparse CSR float32; edge_index [2, E] int64 sorted by (target, source); y [N] int64;
        train_mask, val_mask, test_mask [N] bool, disjoint; degree_cdf [N] float32.

    `features`: "row_normalized" (each row of x sums to 1; empty rows stay empty) or "raw" (as loaded).

    Raises:
        ValueError: for an unknown `features`; in `setup`, on more than one device.
    """

    task = "node_classification"

    def __init__(self, features: Literal["row_normalized", "raw"] = "row_normalized") -> None:
        super().__init__()
        check_choice("features", features, ("row_normalized", "raw"))
        self.features = features
        self.graph_data: Data | None = None

    def load_graph(self) -> Data:
        """The graph as it is stored or drawn: `x` sparse CSR, `edge_index` in any order, `y`, the masks."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Loads the graph once, whatever the stage."""
        if self.trainer is not None and self.trainer.world_size > 1:
            raise ValueError(
                f"{self.name}: one graph cannot be shared by {self.trainer.world_size} devices: "
                "use trainer.devices=1 and run seeds in parallel instead"
            )
        if self.graph_data is None:
            data = attach_degree_cdf(sort_edges(self.load_graph()))
            self.graph_data = normalize_rows(data) if self.features == "row_normalized" else data

    def train_dataloader(self) -> DataLoader:
        """Yields the graph once per epoch, as the other loaders do; the task picks the nodes by mask."""
        return self._loader()

    def val_dataloader(self) -> DataLoader:
        """Yields the graph once."""
        return self._loader()

    def test_dataloader(self) -> DataLoader:
        """Yields the graph once."""
        return self._loader()

    def predict_dataloader(self) -> DataLoader:
        """Yields the graph once."""
        return self._loader()

    def _loader(self) -> DataLoader:
        if self.graph_data is None:
            raise RuntimeError(f"{self.name}: call setup() before asking for a dataloader")
        # A generator of its own: a loader seeds itself from the global one, and how often validation runs
        # must not change the draws of training.
        return DataLoader(
            [self.graph_data],  # type: ignore[arg-type]
            batch_size=1,
            collate_fn=only_item,
            generator=torch.Generator(),
        )


def only_item(items: list[Data]) -> Data:
    """The one item of a batch of one: the object itself, so caches keyed on its tensors stay valid."""
    (item,) = items
    return item


def sparse_tensor(matrix: sp.csr_matrix) -> Tensor:
    """The torch sparse CSR float32 tensor of a SciPy matrix."""
    rowptr, cols, values = map(torch.from_numpy, (matrix.indptr, matrix.indices, matrix.data))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")  # nothing a user can act on
        return torch.sparse_csr_tensor(rowptr, cols, values.float(), matrix.shape, check_invariants=True)


def check_choice(parameter: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{parameter}: expected one of {', '.join(choices)}, got {value!r}")
