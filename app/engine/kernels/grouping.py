"""Kernels that group the edges of a graph, and their weights, by target.

Callers give the memory: kernels that make arrays take longer to compile.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from .common import brief_kernel, kernel, part


@kernel
def group_by_target(sources, targets, position, indptr, grouped):
    """Writes the edges as CSR by target, in stable order, to indptr [N + 1], which is zero, and to grouped [E].

    position [N] is scratch memory; int64, like indptr.
    """
    for e in range(targets.size):
        indptr[targets[e] + 1] += 1
    for i in range(position.size):
        position[i] = indptr[i]
        indptr[i + 1] += indptr[i]
    for e in range(targets.size):
        grouped[position[targets[e]]] = sources[e]
        position[targets[e]] += 1


@brief_kernel
def group_few_by_target(edges, position, indptr, grouped):
    """Does what `group_by_target` does with edges [2, E] int64, and keeps the GIL; returns whether all ends are nodes.

    What is in indptr before does not matter.
    """
    for side in range(2):
        for e in range(edges.shape[1]):
            if edges[side, e] < 0 or edges[side, e] >= position.size:
                return False
    for i in range(indptr.size):
        indptr[i] = 0
    for e in range(edges.shape[1]):
        indptr[edges[1, e] + 1] += 1
    for i in range(position.size):
        position[i] = indptr[i]
        indptr[i + 1] += indptr[i]
    for e in range(edges.shape[1]):
        target = edges[1, e]
        grouped[position[target]] = edges[0, e]
        position[target] += 1
    return True


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


@part
def add_loops(indptr, sources, ends, looped):
    """Replaces the self-loops of every node of a CSR by target by exactly one, its last edge.

    Writes the new CSR to ends [N + 1] and to looped [E + N], of which the first ends[N] are used.
    """
    position = 0
    ends[0] = 0
    for i in range(ends.size - 1):
        for e in range(indptr[i], indptr[i + 1]):
            if sources[e] != i:
                looped[position] = sources[e]
                position += 1
        looped[position] = i
        position += 1
        ends[i + 1] = position


@kernel
def with_loops(indptr, sources, ends, looped):
    """Does what `add_loops` does."""
    add_loops(indptr, sources, ends, looped)


@brief_kernel
def few_with_loops(indptr, sources, ends, looped):
    """Does what `add_loops` does, and keeps the GIL."""
    add_loops(indptr, sources, ends, looped)


@part
def write_inverse_degrees(indptr, power, out):
    """Writes d^-power of every row's degree d to out [N], float32: 1 / d or d^-1/2; 0 where d is 0."""
    for i in range(out.size):
        degree = np.float32(indptr[i + 1] - indptr[i])
        root = np.sqrt(degree) if power == np.float32(0.5) else degree
        out[i] = np.float32(1) / root if degree > 0 else np.float32(0)


@kernel
def invert_degrees(indptr, power, out):
    """Does what `write_inverse_degrees` does."""
    write_inverse_degrees(indptr, power, out)


@brief_kernel
def invert_few_degrees(indptr, power, out):
    """Does what `write_inverse_degrees` does, and keeps the GIL."""
    write_inverse_degrees(indptr, power, out)


@part
def write_norm(indptr, sources, inverse, out):
    """Writes inverse_source * inverse_target of every edge to out [E], float32; inverse [N]: of every node."""
    for i in range(inverse.size):
        for e in range(indptr[i], indptr[i + 1]):
            out[e] = inverse[sources[e]] * inverse[i]


@kernel
def normalize(indptr, sources, inverse, out):
    """Does what `write_norm` does."""
    write_norm(indptr, sources, inverse, out)


@brief_kernel
def normalize_few(indptr, sources, inverse, out):
    """Does what `write_norm` does, and keeps the GIL."""
    write_norm(indptr, sources, inverse, out)


@kernel
def weights_by_target(targets, weights, position, grouped):
    """Writes weights [E] in the order of edges that `group_by_target` has grouped; position [N]: where nodes begin."""
    for e in range(weights.size):
        grouped[position[targets[e]]] = weights[e]
        position[targets[e]] += 1


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
