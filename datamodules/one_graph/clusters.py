"""Batches of a single graph: unions of its parts (Cluster-GCN)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Data

from datamodules.errors import check_at_least
from datamodules.one_graph.partition import check_installed, partition
from datamodules.storage import offsets, ranges
from datamodules.transforms import part_of


def check_clusters(parts: int | None, parts_per_step: int) -> None:
    """Checks the settings of parts.

    Raises:
        ValueError: for a value outside its range, or parts of a step without parts.
        DataError: for parts without the package that makes them.
    """
    check_at_least("parts_per_step", parts_per_step, 1)
    if parts is None:
        if parts_per_step > 1:
            raise ValueError(f"parts_per_step: {parts_per_step} parts of how many? set parts as well")
        return
    check_at_least("parts", parts, 1)
    if parts_per_step > parts:
        raise ValueError(f"parts_per_step: expected at most parts ({parts}), got {parts_per_step}")
    check_installed()


class Clusters(Dataset[Data]):
    """A graph of N nodes in P parts; `clusters[parts]` has the nodes of some parts and all edges among them.

    Chiang et al. 2019, "Cluster-GCN: An Efficient Algorithm for Training Deep and Large Graph Convolutional Networks"
    (arXiv 1905.07953): the edges between the parts of one step are there, those to other parts are left out. Degrees by
    which layers divide are those of the step; `degree_cdf`, by which Degree-Quant draws its masks, is that of the whole
    graph. Nodes keep their order, so edges stay sorted by (target, source).

    A batch has two weights, float32: `label_share`, by which the loss of its labels is multiplied, its share of the
    training nodes over its share of an epoch's steps, and `node_share`, the same of all nodes. So every training node
    counts alike in an epoch, and a batch without any not at all.

    Args:
        graph: as `FullBatchDataModule` makes it: edges sorted by (target, source), masks, `degree_cdf`.
        part: [N] int64, the part of every node.
        parts_per_step: number of parts in a full batch.
    """

    def __init__(self, graph: Data, part: Tensor, parts_per_step: int) -> None:
        self.graph, self.items_per_step = graph, parts_per_step
        self._members, self._sizes = part.argsort(stable=True), part.bincount()
        self._degrees = torch.bincount(graph.edge_index[1], minlength=len(part))
        self._first_edge, self._first_member = offsets(self._degrees), offsets(self._sizes)
        self._numbers = torch.full_like(part, -1)

    @classmethod
    def of(cls, name: str, graph: Data, parts: int, parts_per_step: int) -> Clusters:
        """Returns the clusters of a graph of the data set `name`, cut or read from the cache; see `partition`."""
        return cls(graph, partition(name, graph.edge_index, len(graph.y), parts), parts_per_step)

    @property
    def items(self) -> Tensor:
        """The numbers of the parts [P], from 0 on."""
        return torch.arange(len(self._sizes))

    # Loaders run in the trainer's mode; caches keyed on tensors need their version counters.
    @torch.inference_mode(mode=False)
    def __getitem__(self, parts: Tensor) -> Data:
        """Returns the graph of the parts with these numbers [n]."""
        nodes = self._members[ranges(self._first_member[parts], self._sizes[parts])].sort().values
        entering = ranges(self._first_edge[nodes], self._degrees[nodes])
        self._numbers[nodes] = torch.arange(len(nodes))
        inside = entering[self._numbers[self.graph.edge_index[0, entering]] >= 0]
        batch = part_of(self.graph, nodes, inside, self._numbers)
        self._numbers[nodes] = -1
        steps = len(self._sizes) / self.items_per_step
        batch.label_share = torch.tensor(steps * int(batch.train_mask.sum()) / int(self.graph.train_mask.sum()))
        batch.node_share = torch.tensor(steps * len(nodes) / len(self._numbers))
        return batch
