"""SciPy and BLAS: products of NumPy with weights, products of SciPy with the adjacency in CSR, made beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import sparse
from threadpoolctl import ThreadpoolController
from torch import nn

from app.benchmarks.workloads import Inputs
from app.engine import Graph
from models import layers
from models.architectures import Architecture

Layer = Callable[[np.ndarray], np.ndarray]


def forward_of(network: Architecture, inputs: Inputs, threads: int) -> Callable[[], np.ndarray]:
    """Returns the forward of a network on inputs; sums over edges run on one thread, whatever their number."""
    convs = [LAYERS[type(conv)](conv, inputs.graph) for conv in network.convs]
    x = inputs.x.numpy()

    def run() -> np.ndarray:
        set_threads(threads)
        h = x
        for number, conv in enumerate(convs):
            h = conv(h)
            if number < len(convs) - 1:
                np.maximum(h, 0, out=h)
        return h

    return run


@lru_cache(maxsize=1)
def set_threads(number: int) -> None:
    """Sets BLAS's number of threads, which takes longer than a product of small matrices, where it changes."""
    ThreadpoolController().limit(limits=number, user_api="blas")


def _matrix(graph: Graph, coefficients: np.ndarray, *, self_loops: bool) -> Any:
    """Returns the adjacency with a coefficient of every edge [E]: rows are targets."""
    edges = graph.adjacency(self_loops=self_loops)
    return sparse.csr_matrix((coefficients, edges.sources, edges.indptr), (graph.num_nodes, graph.num_nodes))


def _array(parameter: Any) -> np.ndarray:
    array: np.ndarray = parameter.detach().numpy()
    return array


def _gcn(conv: Any, graph: Graph) -> Layer:
    edges = graph.adjacency(self_loops=True)
    matrix = _matrix(graph, edges.norm, self_loops=True)
    weight, bias = _array(conv.weight), _array(conv.bias)
    return lambda x: matrix @ (x @ weight) + bias


def _gin(conv: Any, graph: Graph) -> Layer:
    matrix = _matrix(graph, np.ones(graph.num_edges, np.float32), self_loops=False)
    own, linears = np.float32(1 + float(conv.eps.detach())), conv.mlp.linears
    weights = [(_array(linear.weight), _array(linear.bias)) for linear in linears]

    def run(x: np.ndarray) -> np.ndarray:
        h: np.ndarray = matrix @ x + own * x
        for number, (weight, bias) in enumerate(weights):
            h = h @ weight + bias
            if number < len(weights) - 1:
                np.maximum(h, 0, out=h)
        return h

    return run


def _sage(conv: Any, graph: Graph) -> Layer:
    matrix = _matrix(graph, graph.adjacency(self_loops=False).inverse_target_degrees, self_loops=False)
    of_neighbours, root, bias = (
        _array(each) for each in (conv.neighbours.weight, conv.root.weight, conv.neighbours.bias)
    )
    return lambda x: (matrix @ x) @ of_neighbours + x @ root + bias


LAYERS: Mapping[type[nn.Module], Callable[[Any, Graph], Layer]] = {
    layers.GCNConv: _gcn,
    layers.GINConv: _gin,
    layers.SAGEConv: _sage,
}
