"""Base class and batch sampler of the data sets with many graphs, on any number of processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler
from torch_geometric.data import Batch

from datamodules.base import Content, GraphDataModule
from datamodules.errors import DataError, check_at_least
from datamodules.storage import GraphStore, place_of
from models.seeds import derived_seed


@dataclass(frozen=True)
class Split:
    """Numbers of the graphs to train on, to validate on (this chooses the epoch) and to test on, each [n] int64."""

    train: Tensor
    val: Tensor
    test: Tensor

    def __str__(self) -> str:
        return f"{len(self.train)}/{len(self.val)}/{len(self.test)}"


class BatchedDataModule(GraphDataModule):
    """Base of the data sets with many graphs.

    A subclass sets the attributes of `GraphDataModule` and implements `load`. After `setup`, `store` holds all
    graphs and `split` the numbers of those in each part. A loader yields PyG `Batch` objects with `x`, `edge_index`
    sorted by (target, source), `y`, `degree_cdf`, `batch`, `ptr` and, if the data has it, `edge_attr`.

    The order of the training graphs depends only on the seed and the epoch, so a resumed run sees the same graphs
    as an uninterrupted one. Each of several processes trains on its share of the same order, all in the same number
    of steps (if the graphs do not divide evenly, the first ones of the epoch are seen twice). In evaluation each
    graph is seen once.

    Args:
        batch_size: number of graphs in a step of one process.
        num_workers: number of processes that prepare batches; 0 is enough, see `GraphStore`.

    Raises:
        ValueError: for values outside their range.
        DataError: in `setup`, if a label is outside the classes or a part of the split has too few graphs.
    """

    def __init__(self, batch_size: int = 128, num_workers: int = 0) -> None:
        super().__init__()
        check_at_least("batch_size", batch_size, 1)
        check_at_least("num_workers", num_workers, 0)
        self.batch_size, self.num_workers = batch_size, num_workers
        self.store: GraphStore | None = None
        self.split: Split

    def load(self) -> tuple[GraphStore, Split]:
        """Returns all graphs and the split."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Loads the graphs if they are not loaded; the stage makes no difference."""
        if self.store is None:
            store, self.split = self.load()
            self._check(store, stage)
            self.store = store
            self.warn_of_remarks()

    def content(self) -> Content | None:
        """Returns the graphs without what is computed from the rest (`degree_cdf`), and the numbers of each part."""
        assert self.store is not None
        return Content({k: v for k, v in self.store.tensors().items() if k != "degree_cdf"}, vars(self.split))

    def parts(self) -> Mapping[str, Tensor]:
        """See `GraphDataModule`."""
        return vars(self.split)

    def targets(self) -> Tensor:
        """See `GraphDataModule`."""
        assert self.store is not None
        return self.store.y

    def _check(self, store: GraphStore, stage: str | None) -> None:
        if self.task == "graph_classification":
            if store.y.is_floating_point():
                raise DataError(f"{self.name}: targets are numbers, expected classes: choose task graph_regression")
            wrong = (store.y < 0) | (store.y >= self.num_classes)
            if wrong.any():
                graph = int(wrong.int().argmax())
                raise DataError(
                    f"{self.name}: graph {graph} has label {int(store.y[graph])}, "
                    f"expected 0..{self.num_classes - 1}: correct the label or the number of classes"
                )
        if store.x.is_floating_point() and store.x.size(1) != self.num_features:
            raise DataError(f"{self.name}: nodes have {store.x.size(1)} features, expected {self.num_features}")
        if not store.x.is_floating_point() and not 0 <= int(store.x.min()) <= int(store.x.max()) < self.num_features:
            row = int(((store.x < 0) | (store.x >= self.num_features)).any(1).int().argmax())
            raise DataError(
                f"{self.name}: {place_of(row, store.num_nodes, 'node')} has the category {int(store.x[row, 0])}, "
                f"expected 0..{self.num_features - 1}"
            )
        predicted_only = not any(map(len, vars(self.split).values())) and stage == "predict"
        for part, graphs in vars(self.split).items():
            if len(graphs) < self._world_size and not predicted_only:
                raise DataError(f"{self.name}: {len(graphs)} graphs in {part} for {self._world_size} processes")

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer is not None else 1

    def train_dataloader(self) -> DataLoader[Batch]:
        """Returns a loader of the training graphs, shuffled anew in every epoch."""
        return self._loader("train")

    def val_dataloader(self) -> DataLoader[Batch]:
        """Returns a loader of the validation graphs, in order."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Returns a loader of the test graphs, in order."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Returns a loader of the test graphs, in order."""
        return self._loader("test")

    def rows_dataloader(self, rows: Tensor) -> DataLoader[Batch]:
        """Returns a loader of the graphs with these numbers, in this order."""
        return self._loader_of(rows, training=False)

    def _loader(self, part: str) -> DataLoader[Batch]:
        self._loaded()
        return self._loader_of(getattr(self.split, part), training=part == "train")

    def _loaded(self) -> GraphStore:
        if self.store is None:
            raise RuntimeError(f"{self.name}: call setup() before asking for a dataloader")
        return self.store

    def _loader_of(self, graphs: Tensor, *, training: bool) -> DataLoader[Batch]:
        return loader_of_batches(
            self._loaded(),
            graphs,
            self.batch_size,
            trainer=self.trainer,
            training=training,
            num_workers=self.num_workers,
        )


def loader_of_batches(
    store: Dataset[Any],
    items: Tensor,
    batch_size: int,
    *,
    trainer: Trainer | None,
    training: bool,
    num_workers: int = 0,
) -> DataLoader[Any]:
    """Returns the loader of one process: `store[numbers]` for the numbers [n] of the items of every batch.

    Args:
        store: makes a batch of the numbers of its items.
        items, batch_size, training: see `BatchSampler`.
        trainer: knows the processes, and whether it trains on a GPU: then batches of workers are pinned in a thread
            (others are when they are moved); None: there is one process, on a CPU.
        num_workers: number of processes that make batches.
    """
    rank, world_size = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
    return DataLoader(
        store,
        sampler=BatchSampler(items, batch_size, rank=rank, world_size=world_size, training=training),
        batch_size=None,  # the sampler's items are batches already
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=num_workers > 0 and trainer is not None and trainer.strategy.root_device.type == "cuda",
        # Its own generator: otherwise it would draw a seed from the global one, and how often validation runs
        # would change the draws of training.
        generator=torch.Generator(),
    )


class BatchSampler(DistributedSampler[Any]):
    """Yields the numbers of the graphs in each batch of one process.

    It is a `DistributedSampler` because Lightning keeps such a sampler on several devices and tells it the epoch.

    Args:
        graphs: [G] the numbers to draw from.
        batch_size: numbers in a batch.
        rank, world_size: of the process, and how many processes there are.
        training: True: shuffled, the same number of batches in every process; False: in order, each number once.
    """

    def __init__(self, graphs: Tensor, batch_size: int, *, rank: int, world_size: int, training: bool) -> None:
        super().__init__(graphs, world_size, rank, shuffle=training)  # type: ignore[arg-type]
        self.graphs, self.batch_size, self.training = graphs, batch_size, training

    def __iter__(self) -> Iterator[Tensor]:
        order = self.graphs[self._permutation()] if self.training else self.graphs
        yield from torch.split(self._share(order), self.batch_size)

    def __len__(self) -> int:
        """Returns the number of batches."""
        return -(-len(self._share(self.graphs)) // self.batch_size)

    def _share(self, order: Tensor) -> Tensor:
        if self.training:
            order = torch.cat([order, order[: -len(order) % self.num_replicas]])
        return order[self.rank :: self.num_replicas]

    def _permutation(self) -> Tensor:
        generator = torch.Generator().manual_seed(derived_seed(self.epoch))
        return torch.randperm(len(self.graphs), generator=generator)
