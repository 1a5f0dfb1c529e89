"""Kernels that group the edges of a graph, and their weights, by target."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from .common import kernel


@kernel
def group_by_target(sources, targets, num_nodes):
    """Returns the edges as CSR by target, in stable order: indptr [N + 1] int64 and sources [E] int32."""
    indptr, position = np.empty(num_nodes + 1, np.int64), np.empty(num_nodes, np.int64)
    for i in range(num_nodes + 1):  # loops compile faster than zeros and copies
        indptr[i] = 0
    for target in targets:
        indptr[target + 1] += 1
    for i in range(num_nodes):
        position[i] = indptr[i]
        indptr[i + 1] += indptr[i]
    grouped = np.empty(sources.size, np.int32)
    for e in range(sources.size):
        grouped[position[targets[e]]] = sources[e]
        position[targets[e]] += 1
    return indptr, grouped


@kernel
def find_edges(indptr, sources, wanted_sources, wanted_targets):
    """Returns the number of every wanted edge [n] int64: of several alike the first that is left; else -1."""
    numbers, taken = np.empty(wanted_sources.size, np.int64), np.zeros(sources.size, np.bool_)
    for i in range(numbers.size):
        numbers[i] = -1
        for e in range(indptr[wanted_targets[i]], indptr[wanted_targets[i] + 1]):
            if sources[e] == wanted_sources[i] and not taken[e]:
                numbers[i], taken[e] = e, True
                break
    return numbers


@kernel
def with_loops(indptr, sources):
    """Replaces the self-loops of every node of a CSR by target by exactly one, its last edge."""
    nodes, position = indptr.size - 1, 0
    looped, ends = np.empty(sources.size + nodes, np.int32), np.empty(nodes + 1, np.int64)
    ends[0] = 0
    for i in range(nodes):
        for e in range(indptr[i], indptr[i + 1]):
            if sources[e] != i:
                looped[position] = sources[e]
                position += 1
        looped[position] = i
        position += 1
        ends[i + 1] = position
    return ends, looped[:position]


@kernel
def weights_by_target(indptr, targets, weights):
    """Returns weights [E] in the order of edges that `group_by_target` has grouped."""
    position = indptr[:-1].copy()
    grouped = np.empty(weights.size, np.float32)
    for e in range(weights.size):
        grouped[position[targets[e]]] = weights[e]
        position[targets[e]] += 1
    return grouped


@kernel
def weights_with_loops(indptr, sources, weights, loop_weight):
    """Returns the weights of the edges that `with_loops` returns.

    A self-loop keeps its weight, the last one if there are several; a node without one gets `loop_weight`.
    """
    nodes, position = indptr.size - 1, 0
    looped = np.empty(sources.size + nodes, np.float32)
    for i in range(nodes):
        own = loop_weight
        for e in range(indptr[i], indptr[i + 1]):
            if sources[e] == i:
                own = weights[e]
            else:
                looped[position] = weights[e]
                position += 1
        looped[position] = own
        position += 1
    return looped[:position]
