"""Batches of a single graph: some training nodes and neighbours of them drawn at random (neighbour sampling)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch_geometric.typing
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Data
from torch_geometric.sampler import NeighborSampler, NodeSamplerInput

from datamodules.errors import DataError, check_at_least
from datamodules.transforms import part_of
from models.seeds import derived_seed

ALL = -1
"""In place of a number of neighbours: all of them."""

MISSING = (
    "data.neighbours needs PyG's package pyg-lib (or torch-sparse), which draws neighbours and is not installed here; "
    "data.parts trains in parts without it"
)


def check_neighbours(neighbours: Sequence[int] | None, nodes_per_step: int | None, parts: int | None) -> None:
    """Checks the settings of neighbour sampling.

    Raises:
        ValueError: for a value outside its range, nodes of a step without neighbours, or parts beside them.
        DataError: for neighbours without a package that draws them.
    """
    if neighbours is None:
        if nodes_per_step is not None:
            raise ValueError(f"nodes_per_step: {nodes_per_step} nodes and how many neighbours? set neighbours as well")
        return
    if parts is not None:
        raise ValueError("neighbours: parts is set as well; a step is on parts of the graph or on drawn neighbours")
    if not neighbours or any(number < 1 and number != ALL for number in neighbours):
        raise ValueError(
            f"neighbours: expected a number for each layer, at least 1, or {ALL} for all, got {list(neighbours)}"
        )
    if nodes_per_step is not None:
        check_at_least("nodes_per_step", nodes_per_step, 1)
    if not (torch_geometric.typing.WITH_PYG_LIB or torch_geometric.typing.WITH_TORCH_SPARSE):
        raise DataError(MISSING)


class Neighbourhoods(Dataset[Data]):
    """A graph of N nodes; `neighbourhoods[nodes]` has these training nodes, and neighbours drawn hop by hop.

    Hamilton et al. 2017, "Inductive Representation Learning on Large Graphs" (arXiv 1706.02216): of the nodes that hop
    k reached first, up to `neighbours[k]` edges into each are drawn without replacement, by PyG's `NeighborSampler`.
    Degrees by which layers divide are those of the drawn edges; `degree_cdf`, by which Degree-Quant draws its masks, is
    that of the whole graph. Nodes keep their order, so edges stay sorted by (target, source). The draw depends on the
    run's seed and the nodes alone.

    `train_mask` of a batch has the nodes that were asked for and no others. Its weights, float32, see `Clusters`, are
    both the share of its nodes in a full batch.

    Args:
        graph: as `FullBatchDataModule` makes it: edges sorted by (target, source), masks, `degree_cdf`.
        neighbours: how many of each hop, `ALL` for all of them.
        nodes_per_step: number of training nodes in a full batch; None: all.
    """

    def __init__(self, graph: Data, neighbours: Sequence[int], nodes_per_step: int | None) -> None:
        self.graph, self.items = graph, graph.train_mask.nonzero().flatten()
        self.items_per_step = min(nodes_per_step or len(self.items), len(self.items))
        self._numbers = torch.full_like(graph.train_mask, -1, dtype=torch.int64)
        edges = Data(edge_index=graph.edge_index, num_nodes=len(self._numbers))
        self._sampler = NeighborSampler(edges, list(neighbours), is_sorted=True)

    # Loaders run in the trainer's mode; caches keyed on tensors need their version counters.
    @torch.inference_mode(mode=False)
    def __getitem__(self, targets: Tensor) -> Data:
        """Returns the neighbourhood of the training nodes with these numbers [n]."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(*targets.tolist()))
            drawn = self._sampler.sample_from_nodes(NodeSamplerInput(None, targets))
        nodes, edges = drawn.node.sort().values, drawn.edge.sort().values
        self._numbers[nodes] = torch.arange(len(nodes))
        batch = part_of(self.graph, nodes, edges, self._numbers)
        self._numbers[nodes] = -1
        batch.train_mask = torch.isin(nodes, targets)
        batch.label_share = batch.node_share = torch.tensor(len(targets) / self.items_per_step)
        return batch
