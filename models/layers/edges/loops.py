"""Self-loops: one a node."""

from __future__ import annotations

import torch
from torch import Tensor

from models.quantization.sparse import order_with_loops


def with_loops(
    source: Tensor, target: Tensor, weight: Tensor | None, *, num_nodes: int, loop_weight: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Returns source, target and weight with every node's self-loops replaced by exactly one; see `Graph.looped`.

    Shapes:
        source, target, weight [E], sorted by target, as the results are; weight float32, or None: all weigh 1.
    """
    order = order_with_loops(source, target, num_nodes)
    loops = torch.arange(num_nodes, device=source.device)
    looped = [torch.cat([ends, loops]).index_select(0, order) for ends in (source, target)]
    if weight is None and loop_weight == 1.0:
        return looped[0], looped[1], None
    given = source.new_ones(source.shape, dtype=torch.float32) if weight is None else weight
    own = weights_of_loops(source, target, given, num_nodes=num_nodes, loop_weight=loop_weight)
    return looped[0], looped[1], torch.cat([given, own]).index_select(0, order)


def weights_of_loops(source: Tensor, target: Tensor, weight: Tensor, *, num_nodes: int, loop_weight: float) -> Tensor:
    """Returns the weight of one self-loop a node [N]: that of its last one, or `loop_weight` where it has none."""
    loops = (source == target).nonzero().view(-1)
    last = loops.new_full((num_nodes,), -1).scatter_reduce(0, source.index_select(0, loops).long(), loops, "amax")
    return torch.where(last >= 0, torch.cat([weight, weight.new_zeros(1)])[last], loop_weight)
