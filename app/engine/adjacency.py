"""Edges grouped by target: what everything along edges reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .workers import row_work


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

    @cached_property
    def degrees(self) -> np.ndarray:
        """In-degree of every node [N], int64."""
        degrees: np.ndarray = np.diff(self.indptr)
        return degrees

    @cached_property
    def largest_degree(self) -> int:
        """The largest in-degree; 0 if there are no nodes."""
        return int(self.degrees.max(initial=0))

    @cached_property
    def work(self) -> np.ndarray:
        """The work of all rows before each, by which `Workers` divides rows among threads; see `row_work`."""
        return row_work(self.indptr)

    @cached_property
    def targets(self) -> np.ndarray:
        """Target of every edge [E], int32."""
        return np.repeat(np.arange(self.degrees.size, dtype=np.int32), self.degrees)

    @cached_property
    def inverse_degrees(self) -> np.ndarray:
        """1 / d in float32 [N], with d the in-degree; 0 for a node that no edge enters."""
        degrees = self.degrees.astype(np.float32)
        with np.errstate(divide="ignore"):
            inverse: np.ndarray = np.where(degrees > 0, np.float32(1) / degrees, np.float32(0))
        return inverse

    @cached_property
    def inverse_sqrt_degrees(self) -> np.ndarray:
        """d^-1/2 in float32 [N], with d the in-degree; 0 for a node that no edge enters."""
        degrees = self.degrees.astype(np.float32)
        with np.errstate(divide="ignore"):
            inverse: np.ndarray = np.where(degrees > 0, np.float32(1) / np.sqrt(degrees), np.float32(0))
        return inverse

    @cached_property
    def inverse_target_degrees(self) -> np.ndarray:
        """1 / d_target of every edge [E] in float32: what a mean multiplies its rows by."""
        return np.repeat(self.inverse_degrees, self.degrees)

    @cached_property
    def norm(self) -> np.ndarray:
        """Coefficient d_source^-1/2 d_target^-1/2 of every edge [E] in float32."""
        of_targets = np.repeat(self.inverse_sqrt_degrees, self.degrees)
        norm: np.ndarray = self.inverse_sqrt_degrees[self.sources] * of_targets
        return norm

    def into(self, nodes: np.ndarray) -> np.ndarray:
        """Returns the numbers of the edges into some nodes [n], node by node."""
        degrees = self.degrees[nodes]
        before = np.cumsum(degrees) - degrees
        numbers: np.ndarray = np.arange(degrees.sum()) + np.repeat(self.indptr[nodes] - before, degrees)
        return numbers
