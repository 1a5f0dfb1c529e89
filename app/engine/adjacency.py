"""Edges grouped by target: what everything along edges reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .kernels.grouping import invert_degrees, invert_few_degrees, normalize, normalize_few
from .memory import kept
from .workers import is_soon_prepared, row_work


@dataclass(frozen=True)
class Adjacency:
    """Edges grouped by target, in the order they were given within each target.

    Shapes:
        indptr [N + 1] int64, sources [E] int32; the sources of node i are sources[indptr[i]:indptr[i + 1]].
        Everything computed per edge has this order.
    """

    indptr: np.ndarray
    sources: np.ndarray

    @property
    def num_edges(self) -> int:
        """Number of edges."""
        return self.sources.size

    @property
    def _is_short(self) -> bool:
        """Whether what is computed of it keeps the GIL."""
        return is_soon_prepared(self.indptr.size - 1, self.num_edges)

    @kept
    def degrees(self) -> np.ndarray:
        """In-degree of every node [N], int64."""
        degrees: np.ndarray = self.indptr[1:] - self.indptr[:-1]
        return degrees

    @kept
    def largest_degree(self) -> int:
        """The largest in-degree; 0 if there are no nodes."""
        return int(self.degrees.max(initial=0))

    @kept
    def work(self) -> np.ndarray:
        """The work of all rows before each, by which `Workers` divides rows among threads; see `row_work`."""
        return row_work(self.indptr)

    @kept
    def targets(self) -> np.ndarray:
        """Target of every edge [E], int32."""
        return np.repeat(np.arange(self.degrees.size, dtype=np.int32), self.degrees)

    @kept
    def inverse_degrees(self) -> np.ndarray:
        """1 / d in float32 [N], with d the in-degree; 0 for a node that no edge enters."""
        return self._inverse(1.0)

    @kept
    def inverse_sqrt_degrees(self) -> np.ndarray:
        """d^-1/2 in float32 [N], with d the in-degree; 0 for a node that no edge enters."""
        return self._inverse(0.5)

    def _inverse(self, power: float) -> np.ndarray:
        inverse = np.empty(self.indptr.size - 1, np.float32)
        (invert_few_degrees if self._is_short else invert_degrees)(self.indptr, np.float32(power), inverse)
        return inverse

    @kept
    def inverse_target_degrees(self) -> np.ndarray:
        """1 / d_target of every edge [E] in float32: what a mean multiplies its rows by."""
        return np.repeat(self.inverse_degrees, self.degrees)

    @kept
    def norm(self) -> np.ndarray:
        """Coefficient d_source^-1/2 d_target^-1/2 of every edge [E] in float32."""
        norm = np.empty(self.num_edges, np.float32)
        write = normalize_few if self._is_short else normalize
        write(self.indptr, self.sources, self.inverse_sqrt_degrees, norm)
        return norm

    def changed(self, removed: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, Callable[..., np.ndarray]]:
        """Prepares the removal of some edges and the addition of others, behind those that a node has.

        Args:
            removed: numbers of edges [R].
            targets: of the edges that are added [A].

        Returns:
            The new indptr, and change(of_edges, of_added), which does the same to what edges have.
        """
        fewer = np.bincount(self.targets[removed], minlength=self.degrees.size)
        between = self.indptr - np.concatenate([[0], np.cumsum(fewer)])
        more = np.bincount(targets, minlength=self.degrees.size)
        order = np.argsort(targets, kind="stable")  # targets without edges in between have one place
        places = between[targets[order] + 1]

        def change(of_edges: np.ndarray, of_added: np.ndarray) -> np.ndarray:
            changed: np.ndarray = np.insert(np.delete(of_edges, removed), places, of_added[order])
            return changed

        return between + np.concatenate([[0], np.cumsum(more)]), change

    def into(self, nodes: np.ndarray) -> np.ndarray:
        """Returns the numbers of the edges into some nodes [n], node by node."""
        degrees = self.degrees[nodes]
        before = np.cumsum(degrees) - degrees
        numbers: np.ndarray = np.arange(degrees.sum()) + np.repeat(self.indptr[nodes] - before, degrees)
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
