"""Base classes: of all datamodules, and of those with one graph for all splits."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Data

from datamodules.classes import ClassNames, Label, names_of_rows, number_classes
from datamodules.errors import DataError, DataWarning, check_choice
from datamodules.features import Known, Scaling
from datamodules.graph_checks import (
    MASKS,
    check_finite_rows,
    check_single_graph,
    loops_and_repeats,
    one_way,
    used_targets,
)
from datamodules.transforms import attach_degree_cdf, nodes_alone, normalize_rows, sort_edges

USED = ("x", "edge_index", "y", *MASKS)
"""Parts of a single graph that are used; `edge_weight` is, too, by networks that take it, and `id` in predictions."""

FEATURES = ("row_normalized", "raw", "standardized")
Features = Literal["row_normalized", "raw", "standardized"]

Step = Literal["in_degree", "row_normalize", "standardize"]
"""How features can be made of raw ones, or of the graph; the engine has an op for each."""

STANDARDISED = "x standardised: (x - mean) / deviation of `scaling`, column by column"
"""What `features_are` says of measurements."""

SAID: set[str] = set()
"""The remarks that this process has made; many runs may read the same data."""


@dataclass(frozen=True)
class Content:
    """What a datamodule has read, as nested mappings and sequences of tensors, numbers and texts.

    Attributes:
        graphs: features, edges, targets.
        split: which nodes or graphs are for training, validation and test.
    """

    graphs: Any
    split: Any


class GraphDataModule(pl.LightningDataModule):
    """Base of all datamodules.

    `__init__` sets, in most data sets without reading a file, so that a model can be built: `name`, `task`
    ("node_classification", ...), `num_features` (width F of `x`; where `x` [N, 1] holds types, their number),
    `num_classes` (width of the output: number of classes, of labels, or of numbers to predict).

    `substitute`: how the data differs from the published original, for tables; empty if it does not. Set by `setup`.
    `ids`: the user's own name of each row that is predicted (node, or graph); empty where they count from 0.
    `categories`: for each column of categories that is made one-hot, which they are.
    `class_names`: the name of each class, label or number to predict; empty where they are 0, 1, ... themselves.
    `features_are`: how `x` was made of what the data has, in words, for those who serve the network.
    `scaling`: what was done to measurements, where anything was: set by `setup`, for those who serve the network.
    `preparation`: what made `x` of raw features, step by step, where these are fixed functions: set by `setup`.
    `known`: what a trained network knows of its own data, where it is to predict these rows, which are in no part then.
    `remarks`: what of the data is not used, or was taken for what; `setup` warns of each once.
    """

    substitute: str = ""
    ids: Sequence[Label] = ()
    categories: Sequence[Sequence[int]] = ()
    class_names: ClassNames = ()
    remarks: tuple[str, ...] = ()
    scaling: Scaling | None = None
    preparation: tuple[Step, ...] = ()
    known: Known | None = None
    features_are: str = "x as it is in the data"
    name: str
    task: str
    num_features: int
    num_classes: int

    def missing(self) -> list[str]:
        """Returns the raw data that is not there, each as `<where to get it> into <where to put it>`."""
        return []

    def pending(self) -> str:
        """Returns in a few words what `prepare_data` still has to build of the raw data; empty if nothing."""
        return ""

    def content(self) -> Content | None:
        """Returns what was read, for the fingerprint that a run keeps; called after `prepare_data` and `setup("fit")`.

        Here: the items of the data sets behind the loaders, each read once, in the data sets' own order and from fixed
        random numbers. None if the items of one cannot be numbered; such a subclass says here itself what it has read.
        """
        with isolate_rng():
            torch.manual_seed(0)
            np.random.seed(0)  # transforms may draw from it
            random.seed(0)
            parts = {"train": data_sets(self.train_dataloader()), "val": data_sets(self.val_dataloader())}
            self.setup("test")
            parts["test"] = data_sets(self.test_dataloader())
            numbered = (hasattr(data, "__getitem__") and hasattr(data, "__len__") for p in parts.values() for data in p)
            if not all(numbered):
                return None
            items = {name: [data[k] for data in part for k in range(len(data))] for name, part in parts.items()}
        return Content(list(items.values()), {name: len(part) for name, part in items.items()})

    def parts(self) -> Mapping[str, Tensor]:
        """Returns the numbers of the rows (nodes, or graphs) of each part, after `setup`; none where rows have none."""
        return {}

    def targets(self) -> Tensor:
        """Returns the target of every row; called after `setup`. Of rows that are not `labelled` it is any number."""
        raise NotImplementedError

    def labelled(self) -> Tensor:
        """Returns [rows] bool which rows have a target that is known: here, those in a part."""
        return torch.isin(torch.arange(len(self.targets())), torch.cat(list(self.parts().values())))

    def output_names(self) -> list[Label]:
        """Returns the name of each class, label or number to predict; none where there is one number only."""
        one = self.task.endswith("regression") and self.num_classes == 1
        return [] if one else list(self.class_names or range(self.num_classes))

    def remark(self, sentence: str) -> None:
        """Adds a sentence to `remarks`, unless it is empty or there already."""
        if sentence and sentence not in self.remarks:
            self.remarks = (*self.remarks, sentence)

    def warn_of_remarks(self) -> None:
        """Warns of what `remarks` says, once in a process; of several processes the first does."""
        for sentence in self.remarks:
            said = f"{self.name}: {sentence}"
            if said not in SAID and (self.trainer is None or self.trainer.global_rank == 0):
                SAID.add(said)
                warnings.warn_explicit(said, DataWarning, "data", 0)


class FullBatchDataModule(GraphDataModule):
    """Base of the data sets with one graph: each epoch of each loader is one step on the same `Data` object.

    A subclass sets the attributes of `GraphDataModule` and implements `load_graph`. After `setup`, `graph_data`
    is the graph, and `training_data` what is trained on: the same, or the training nodes and the edges among them.

    Shapes:
        x [N, F] float32, sparse CSR or dense; edge_index [2, E] int64 sorted by (target, source); y [N] int64, of the
        task node_regression [N] or [N, C] float32, of node_multilabel [N, C]; train_mask, val_mask, test_mask [N] bool,
        disjoint; degree_cdf [N] float32; if the graph has it, edge_weight [E] float32, in the order of the edges.

    Args:
        features: "row_normalized" (each row of x sums to 1; empty rows stay empty), "raw" (as loaded) or "standardized"
            (each column has mean 0 and deviation 1 over the training nodes; columns of 0 and 1 stay).
        inductive: trains on the training nodes and the edges among them; validation and test see the whole graph.

    Raises:
        ValueError: for unknown `features`; in `setup`, on more than one device.
        DataError: in `setup`, if the graph cannot be used.
    """

    task = "node_classification"

    def __init__(self, features: Features = "row_normalized", *, inductive: bool = False) -> None:
        super().__init__()
        check_choice("features", features, FEATURES)
        self.features, self.inductive = features, inductive
        self.graph_data: Data | None = None
        self.training_data: Data | None = None

    def load_graph(self) -> Data:
        """Returns the graph as it is stored or drawn: `x`, `edge_index` in any order, `y` [N], three masks [N] bool.

        Labels in the masks are 0, 1, ... or any other whole numbers, of which the distinct ones are the classes.
        """
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Loads the graph if it is not loaded; the stage makes no difference."""
        if self.trainer is not None and self.trainer.world_size > 1:
            raise ValueError(
                f"{self.name}: one graph cannot be shared by {self.trainer.world_size} devices: "
                "use trainer.devices=1 and run seeds in parallel instead"
            )
        if self.graph_data is None:
            data = sort_edges(self._scaled(self._checked(self.load_graph())))
            self.remark(loops_and_repeats(data.edge_index))
            self.remark(one_way(data.edge_index, len(data.x)))
            self.graph_data = attach_degree_cdf(data)
            alone = self.inductive and nodes_alone(data, data.train_mask)
            self.training_data = attach_degree_cdf(alone) if alone else self.graph_data
            self.warn_of_remarks()

    def _scaled(self, data: Data) -> Data:
        if self.features == "row_normalized":
            self.features_are = "each row of x divided by its sum; empty rows stay empty"
            self.preparation = ("row_normalize",)
            data = normalize_rows(data)
            check_finite_rows(self.name, data.x, "its row cannot be scaled to sum 1: data.features: raw")
        elif self.features == "standardized" and data.x.is_floating_point():
            if data.x.layout != torch.strided:
                raise DataError(f"{self.name}: `x` is sparse, which is not standardised: data.features: raw")
            self.features_are, self.preparation = STANDARDISED, ("standardize",)
            self.scaling = (self.known and self.known.scaling) or Scaling.of(data.x, data.train_mask)
            data.x = self.scaling.applied(data.x)
        return data

    def content(self) -> Content | None:
        """Returns the graph without what is computed from the rest (`degree_cdf`), and its masks."""
        graph = self.graph_data
        assert graph is not None
        weights = ("edge_weight",) if graph.get("edge_weight") is not None else ()
        parts = {part: graph[part] for part in ("x", "edge_index", "y", *weights)}
        return Content(parts, {mask: graph[mask] for mask in MASKS})

    def parts(self) -> Mapping[str, Tensor]:
        """See `GraphDataModule`."""
        graph = self.graph_data
        assert graph is not None
        return {mask.removesuffix("_mask"): graph[mask].nonzero().flatten() for mask in MASKS}

    def targets(self) -> Tensor:
        """See `GraphDataModule`."""
        assert self.graph_data is not None
        y: Tensor = self.graph_data.y
        return y

    def _checked(self, graph: object) -> Data:
        """Returns a graph that can be used, with classes that count from 0; notes what of it is not used."""
        data = copy(check_single_graph(self.name, graph, self.num_features, self.task, masks=self.known is None))
        if unused := sorted(set(data.keys()) - {*USED, "edge_weight", "id"}):
            self.remark(f"not used: {', '.join(unused)}; only {', '.join(USED)} are")
        if data.get("edge_weight") is not None:
            self.remark("`edge_weight` is read by networks that take edge weights; GCN, GAT, GIN and GraphSAGE do not")
        if data.get("id") is not None:
            self.ids = names_of_rows(self.name, data.id, len(data.x), "node")
        data.edge_index = data.edge_index.long()
        if self.known:
            return data
        several = self.task != "node_classification"
        used = data.train_mask | data.val_mask | data.test_mask
        data.y = used_targets(self.name, data, self.task) if several else self._classes(data.y.flatten(), used)
        return data

    def _classes(self, y: Tensor, labelled: Tensor) -> Tensor:
        """Returns the class of every node [N] int64; 0 for nodes in no mask if labels are not 0, 1, ... already."""
        known = y[labelled]
        if not known.is_floating_point() and int(known.min()) >= 0 and int(known.max()) < self.num_classes:
            return y.long()
        nodes = labelled.nonzero().flatten().tolist()
        classes, count, self.class_names = number_classes(
            self.name, known.tolist(), lambda number: f"node {nodes[number]}", "expected a whole number"
        )
        if count > self.num_classes:
            raise DataError(f"{self.name}: nodes have {count} classes, expected {self.num_classes}")
        return torch.zeros(len(y), dtype=torch.int64).masked_scatter(labelled, classes)

    def train_dataloader(self) -> DataLoader[Data]:
        """Returns a loader that yields the graph once per epoch; the task selects the nodes by mask."""
        return self._loader(self.training_data)

    def val_dataloader(self) -> DataLoader[Data]:
        """Returns a loader that yields the graph once."""
        return self._loader(self.graph_data)

    def test_dataloader(self) -> DataLoader[Data]:
        """Returns a loader that yields the graph once."""
        return self._loader(self.graph_data)

    def predict_dataloader(self) -> DataLoader[Data]:
        """Returns a loader that yields the graph once."""
        return self._loader(self.graph_data)

    def _loader(self, graph: Data | None) -> DataLoader[Data]:
        if graph is None:
            raise RuntimeError(f"{self.name}: call setup() before asking for a dataloader")
        # The loader gets its own generator: otherwise it would draw a seed from the global one, and how often
        # validation runs would change the draws of training.
        return DataLoader(
            [graph],  # type: ignore[arg-type]
            batch_size=1,
            collate_fn=only_item,
            generator=torch.Generator(),
        )


def data_sets(loaders: Any) -> list[Any]:
    """Returns the data sets of one loader or of several; of a loader that samples from a graph, that graph too."""
    found: list[Any] = []
    for loader in loaders if isinstance(loaders, list | tuple) else [loaders]:
        found += [[graph]] if (graph := getattr(loader, "data", None)) is not None else []
        found.append(getattr(loader, "dataset", None))
    return found


def only_item(items: list[Data]) -> Data:
    """Returns the only item of a list: the object itself, so that caches keyed on its tensors stay valid."""
    (item,) = items
    return item
