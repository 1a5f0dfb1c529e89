"""Weights of edges: what they may be, those of self-loops, and the normalized adjacency that they make."""

from __future__ import annotations

import torch
from torch import Tensor


def check_weights(edge_weight: Tensor, num_edges: int) -> None:
    """Checks the weights of edges.

    Raises:
        ValueError: unless they are [num_edges] finite numbers that are not learned.
    """
    if edge_weight.shape != (num_edges,):
        raise ValueError(f"edge_weight: expected shape [{num_edges}], got {list(edge_weight.shape)}")
    if edge_weight.requires_grad:
        raise ValueError("edge_weight: weights that are learned would get no gradient; pass edge_weight.detach()")
    if not bool(edge_weight.float().isfinite().all()):
        raise ValueError("edge_weight: holds a value that is NaN or not finite in float32")


def weighted_norm(source: Tensor, target: Tensor, weight: Tensor, num_nodes: int) -> Tensor:
    """Returns d_source^-1/2 w d_target^-1/2 of every edge [E], with d_i the sum of weights into i; 0 where d_i <= 0.

    In float64, sums in the order of the edges, and rounded to float32 once: what the engine computes, bit for bit.
    """
    exact = weight.double()
    degree = torch.bincount(target, exact, minlength=num_nodes).double()
    inverse = torch.where(degree > 0, 1.0 / degree.sqrt(), torch.zeros_like(degree))
    norm: Tensor = (inverse[source] * exact * inverse[target]).float()
    return norm
