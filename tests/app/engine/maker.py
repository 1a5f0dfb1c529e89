"""Random grids, codes, graphs and ops for the tests of the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.engine.ops.bound import BoundOp
from app.engine.program.grid import Grid
from app.engine.program.model import Op, Value


class Maker:
    """Random grids, codes, graphs and bound ops from one seed."""

    def __init__(self, seed=0, bits=8, signed=True):
        self.rng = np.random.default_rng(seed)
        self.bits, self.signed = bits, signed

    def grid(self, scale=None, zero_point=None):
        """Scales are often powers of two, so that ties occur; zero points lie anywhere on the grid."""
        if scale is None:
            scale = float(np.float32(self.rng.choice([0.25, 0.5, 1.0, self.rng.uniform(0.01, 2)])))
        grid = Grid(scale, 0, self.bits, self.signed)
        if zero_point is None:
            zero_point = int(self.rng.integers(grid.qmin, grid.qmax + 1))
        return replace(grid, zero_point=zero_point)

    def codes(self, grid, *shape):
        """Random codes, the extreme ones among them more often than chance."""
        codes = self.rng.integers(grid.qmin, grid.qmax + 1, shape)
        extreme = self.rng.choice([grid.qmin, grid.qmax, grid.zero_point], shape)
        return np.where(self.rng.random(shape) < 0.3, extreme, codes)

    def constant(self, grid, *shape):
        return self.codes(grid, *shape).astype(np.int8 if grid.signed else np.uint8)

    def columns(self, width):
        """A multiplier and an addend for every column, as what a BatchNorm folds into an epilogue."""
        scale, bias = self.rng.normal(1, 0.5, width), self.rng.normal(0, 3, width)
        return {"scale": scale.astype(np.float32), "bias": bias.astype(np.float32)}

    def edges(self, num_nodes, num_edges):
        """Random edges with duplicates, self-loops, a hub (node 0) and nodes that no edge enters."""
        edges = self.rng.integers(0, num_nodes, (2, num_edges))
        edges[1] = edges[1] // 2
        edges[1, : num_edges // 3] = 0
        edges[0, 1::7] = edges[1, 1::7]
        return edges[:, self.rng.permutation(num_edges)]

    def op(self, kind, inputs, width, output_grid, domain="node", tensors=None, grids=None, **attributes):
        """A bound op whose inputs are given as (domain, width, grid)."""
        values = tuple(Value(f"in{i}", *entry) for i, entry in enumerate(inputs))
        output = Value("out", domain, width, output_grid)
        names = tuple(value.name for value in values)
        op = Op(kind, names, "out", {role: role for role in tensors or {}}, grids or {}, attributes)
        return BoundOp(op, values, output, tensors or {})
