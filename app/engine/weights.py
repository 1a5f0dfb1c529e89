"""Weights of edges that come with a graph, and the normalized adjacency that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .adjacency import Adjacency

MISSING = "edge_weight: the program reads a weight of every edge; give edge_weight, to run or to Graph"
NOT_READ = "edge_weight: the program reads no weights of edges, leave them out"


def read_weights(weights: np.ndarray, num_edges: int) -> np.ndarray:
    """Returns the weights of edges in the order given [E], float32.

    Raises:
        ValueError: unless they are [E] real numbers that are finite in float32.
    """
    if weights.dtype.kind not in "fiub":
        raise ValueError(f"edge_weight: expected real numbers, got {weights.dtype}")
    if weights.shape != (num_edges,):
        raise ValueError(f"edge_weight: expected shape [{num_edges}], one for every edge, got {list(weights.shape)}")
    with np.errstate(over="ignore"):
        numbers = weights.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise ValueError("edge_weight: holds a value that is NaN or not finite in float32")
    return numbers


def weighted_norm(edges: Adjacency, weights: np.ndarray) -> np.ndarray:
    """Returns d_source^-1/2 w d_target^-1/2 of every edge [E], with d_i the sum of weights w into i; 0 where d_i <= 0.

    Computed in float64, sums in the order of the edges, and rounded to float32 once.

    Shapes:
        weights [E] float32, in the order of the edges.
    """
    exact = weights.astype(np.float64)
    degrees = np.bincount(edges.targets, exact, minlength=edges.degrees.size)
    positive = degrees > 0
    inverse = np.where(positive, 1 / np.sqrt(np.where(positive, degrees, 1)), 0)
    with np.errstate(over="ignore"):
        norm: np.ndarray = (inverse[edges.sources] * exact * inverse[edges.targets]).astype(np.float32)
    return norm
