"""Base of the datamodules with one graph for all splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Data

from datamodules.base import STANDARDISED, Content, GraphDataModule
from datamodules.batched import loader_of_batches
from datamodules.classes import names_of_rows, number_classes
from datamodules.errors import DataError, check_choice
from datamodules.features import scaling_of
from datamodules.graph_checks import (
    MASKS,
    check_finite_rows,
    check_single_graph,
    loops_and_repeats,
    one_way,
    used_targets,
)
from datamodules.one_graph.clusters import Clusters, check_clusters
from datamodules.one_graph.neighbourhoods import Neighbourhoods, check_neighbours
from datamodules.transforms import attach_degree_cdf, nodes_alone, normalize_rows, sort_edges

USED = ("x", "edge_index", "y", *MASKS)
"""Parts of a single graph that are used; `edge_weight` is, too, by networks that take it, and `id` in predictions."""

FEATURES = ("row_normalized", "raw", "standardized")
Features = Literal["row_normalized", "raw", "standardized"]


class FullBatchDataModule(GraphDataModule):
    """Base of the data sets with one graph: each epoch of each loader is one step on the same `Data` object.

    With `parts`, an epoch of training is several steps, each on the nodes of some parts and the edges among them (see
    `Clusters`), with `neighbours` each on some training nodes and drawn neighbours of them (see `Neighbourhoods`). Then
    several processes can share the graph: each trains on its share of the parts or training nodes, and counts its share
    of the nodes of the whole graph in validation and test.

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
        parts: number of parts that the training graph is cut into; None: each step is on the whole graph.
        parts_per_step: number of parts in a step of one process, drawn anew in every epoch.
        neighbours: a number for each layer: how many edges into a node are drawn, first into the training nodes of a
            step, then into those reached; -1: all. None: a step is not on drawn neighbours.
        nodes_per_step: number of training nodes in a step of one process, with `neighbours`; None: all.

    Raises:
        ValueError: for values outside their range; in `setup`, on more than one device without `parts` or `neighbours`.
        DataError: in `setup`, if the graph cannot be used; in `__init__`, for parts without the package `pymetis`, or
            neighbours without PyG's packages that draw them.
    """

    task = "node_classification"

    def __init__(
        self,
        features: Features = "row_normalized",
        *,
        inductive: bool = False,
        parts: int | None = None,
        parts_per_step: int = 1,
        neighbours: Sequence[int] | None = None,
        nodes_per_step: int | None = None,
    ) -> None:
        super().__init__()
        check_choice("features", features, FEATURES)
        check_clusters(parts, parts_per_step)
        check_neighbours(neighbours, nodes_per_step, parts)
        self.features, self.inductive = features, inductive
        self.num_parts, self.parts_per_step = parts, parts_per_step
        self.neighbours, self.nodes_per_step = neighbours, nodes_per_step
        self.batches: Clusters | Neighbourhoods | None = None
        self.graph_data: Data | None = None
        self.training_data: Data | None = None

    def load_graph(self) -> Data:
        """Returns the graph as it is stored or drawn: `x`, `edge_index` in any order, `y` [N], three masks [N] bool.

        Labels in the masks are 0, 1, ... or any other whole numbers, of which the distinct ones are the classes.
        """
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Loads the graph if it is not loaded; the stage makes no difference."""
        check_processes(self, 1 if self.trainer is None else self.trainer.world_size)
        if self.graph_data is None:
            data = sort_edges(self._scaled(self._checked(self.load_graph())))
            self.remark(loops_and_repeats(data.edge_index))
            self.remark(one_way(data.edge_index, len(data.x)))
            self.remark("" if data.edge_index.numel() else "the graph has no edges")
            self.graph_data = attach_degree_cdf(data)
            alone = self.inductive and nodes_alone(data, data.train_mask)
            self.training_data = attach_degree_cdf(alone) if alone else self.graph_data
            if self.num_parts is not None:
                self.batches = Clusters.of(self.name, self.training_data, self.num_parts, self.parts_per_step)
            elif self.neighbours is not None:
                self.batches = Neighbourhoods(self.training_data, self.neighbours, self.nodes_per_step)
            self.warn_of_remarks()

    def _scaled(self, data: Data) -> Data:
        if self.features == "row_normalized":
            if not data.x.is_floating_point():  # each would become a 1
                raise DataError(f"{self.name}: each node has one category, which is not scaled: data.features: raw")
            self.features_are = "each row of x divided by its sum; empty rows stay empty"
            self.preparation = ("row_normalize",)
            data = normalize_rows(data)
            check_finite_rows(self.name, data.x, "its row cannot be scaled to sum 1: data.features: raw")
        elif self.features == "standardized" and data.x.is_floating_point():
            if data.x.layout != torch.strided:
                raise DataError(f"{self.name}: `x` is sparse, which is not standardised: data.features: raw")
            self.features_are, self.preparation = STANDARDISED, ("standardize",)
            self.scaling = scaling_of(self.name, data.x, data.train_mask, self.known)
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
            self.remark(
                "`edge_weight` is read only by a network of your own that takes it (with a default: give "
                "model.network_weights true)"
            )
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
        """Returns a loader that yields the graph once per epoch, or its batches; the task selects the nodes by mask."""
        made = self.batches
        if made is None:
            return self._loader(self.training_data)
        return loader_of_batches(made, made.items, made.items_per_step, trainer=self.trainer, training=True)

    def val_dataloader(self) -> DataLoader[Data]:
        """Returns a loader that yields the graph once, with the nodes that this process counts."""
        return self._loader(self._counted())

    def test_dataloader(self) -> DataLoader[Data]:
        """Returns a loader that yields the graph once, with the nodes that this process counts."""
        return self._loader(self._counted())

    def predict_dataloader(self) -> DataLoader[Data]:
        """Returns a loader that yields the graph once."""
        return self._loader(self.graph_data)

    def _counted(self) -> Data | None:
        """Returns the graph with the masks of one process: of several, each counts its share of the nodes."""
        graph, trainer = self.graph_data, self.trainer
        if graph is None or trainer is None or trainer.world_size == 1:
            return graph
        shared = copy(graph)
        for mask in MASKS:
            own = graph[mask].nonzero().flatten()[trainer.global_rank :: trainer.world_size]
            shared[mask] = torch.zeros_like(graph[mask]).index_fill(0, own, True)  # noqa: FBT003 - torch's
        return shared

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


def only_item(items: list[Data]) -> Data:
    """Returns the only item of a list: the object itself, so that caches keyed on its tensors stay valid."""
    (item,) = items
    return item


def check_processes(data: FullBatchDataModule, processes: int) -> None:
    """Checks that so many processes can train on a graph together.

    Raises:
        ValueError: for several processes and a graph without batches, or with fewer parts than processes.
    """
    parts = data.num_parts or 1
    if processes > parts and data.neighbours is None:
        what = f"{parts} parts" if data.num_parts else "one graph"
        raise ValueError(
            f"trainer.devices: {data.name} is {what}, which {processes} devices cannot share; "
            "set data.parts, such as 64, or use 1 and run seeds side by side"
        )
