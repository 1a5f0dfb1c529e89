"""Checks that a network and its data fit together, where they meet."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.data import Data

from models.architectures.network import Network


def check_features(network: Network, x: Tensor) -> None:
    """Checks that a network reads the kind and number of features that the data has.

    Raises:
        ValueError: if it does not.
    """
    categories = network.reads_categories
    if not (categories or x.is_floating_point()):
        raise ValueError(
            "data: each node has one category, which this network does not read: set model.architecture.embedding to "
            "categorical (let a network of your own begin with an nn.Embedding), or data.features to numbers"
        )
    if not categories and x.size(1) != network.in_features:
        raise ValueError(f"data: nodes have {x.size(1)} features, the network reads {network.in_features}")


def check_rows(network: Network, logits: Tensor, batch: Data, learned: str) -> None:
    """Checks that a network gives a row for each `node` or `graph` of a batch, whichever is learned.

    Raises:
        ValueError: if it does not.
    """
    rows, remedy = {
        "node": (len(batch.x), "leave out its pool"),
        "graph": (batch.num_graphs if batch.batch is not None else 1, "pool its rows by the batch"),
    }.get(learned, (len(logits), ""))
    if len(logits) != rows:
        raise ValueError(
            f"network {network.kind}: gives {len(logits)} rows for {rows} {learned}s that are learned: {remedy}"
        )
