"""Collects the ops of an integer program while a model lowers itself layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.engine.program.grid import Grid, dequantize
from app.engine.program.model import INPUT, OUTPUT, IntegerProgram, Op, OpKind, Value
from models.quantization.fake_quantize import Site

Elementwise = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ref:
    """A value of the program under construction, and what waits to be done to it on the way to the next grid.

    `affine`: a multiplier and a summand [width] of its features, applied before `activation`.
    """

    value: Value
    activation: Elementwise | None = None
    affine: tuple[Tensor, Tensor] | None = None

    @property
    def grid(self) -> Grid:
        """The grid of a coded value."""
        assert self.value.grid is not None, f"{self.value.name} is not coded"
        return self.value.grid


@dataclass(frozen=True)
class Deferred:
    """An op that waits for the grid its result will lie on."""

    kind: OpKind
    inputs: tuple[Ref, ...]
    attributes: Mapping[str, Any]


class ProgramBuilder:
    """Every method emits one op that ends on the grid of a site and returns a reference to its value."""

    def __init__(self, in_features: int) -> None:
        self.ops: list[Op] = []
        self.constants: dict[str, np.ndarray] = {}
        self.bits: dict[str, int] = {}
        self.values: dict[str, Value] = {INPUT: Value(INPUT, "node", in_features, None)}
        self.input = Ref(self.values[INPUT])

    def emit(
        self,
        kind: OpKind,
        inputs: tuple[Ref, ...],
        site: Site,
        width: int,
        tensors: Mapping[str, str] | None = None,
        grids: Mapping[str, Grid] | None = None,
        **attributes: Any,
    ) -> Ref:
        """Appends an op whose result lies on the grid of `site` and carries the site's name."""
        assert site.domain != "parameter", f"{site.name}: a parameter is no result"
        value = Value(site.name, site.domain, width, site.grid())
        return self._append(kind, inputs, value, tensors or {}, grids or {}, attributes)

    def _append(
        self,
        kind: OpKind,
        inputs: tuple[Ref, ...],
        value: Value,
        tensors: Mapping[str, str],
        grids: Mapping[str, Grid],
        attributes: Mapping[str, Any],
    ) -> Ref:
        assert value.name not in self.values, f"two values are called {value.name}"
        waiting = any(ref.activation or ref.affine for ref in inputs)
        assert not waiting, f"{value.name}: something still waits to be applied to an input"
        self.values[value.name] = value
        names = tuple(ref.value.name for ref in inputs)
        self.ops.append(Op(kind, names, value.name, dict(tensors), dict(grids), dict(attributes)))
        return Ref(value)

    def quantize(self, x: Ref | Deferred, site: Site) -> Ref:
        """Brings `x` (float input, codes on another grid with what waits, or an op that waits) onto the site's grid."""
        if isinstance(x, Deferred):
            return self.emit(x.kind, x.inputs, site, x.inputs[0].value.width, **x.attributes)
        if x.value.grid is None:
            return self.emit("quantize", (x,), site, x.value.width)
        if x.affine is not None:
            return self._requantize_affine(x, x.affine, site)
        table = self._constant(f"{site.name}.table", self._tabulate(x, site), site.grid())
        return self.emit("lookup", (Ref(x.value),), site, x.value.width, {"table": table})

    def _requantize_affine(self, x: Ref, affine: tuple[Tensor, Tensor], site: Site) -> Ref:
        """A ReLU behind it is the clamp of a grid that begins at zero; no other activation is."""
        grid, (scale, shift) = site.grid(), affine
        clamps = x.activation is torch.relu and grid.zero_point == grid.qmin
        assert x.activation is None or clamps, f"{site.name}: its clamp is not the activation that waits"
        tensors = self._floats("scale", f"{site.name}.scale", scale) | self.bias(f"{site.name}.bias", shift)
        return self.emit("requantize", (Ref(x.value),), site, x.value.width, tensors)

    @staticmethod
    def _tabulate(x: Ref, site: Site) -> Tensor:
        """Code at `site` for every code of `x`, computed by the training code itself: exact by construction."""
        grid = x.grid
        codes = torch.arange(grid.qmin, grid.qmax + 1, dtype=torch.float32)
        values = dequantize(codes, grid.scale, grid.zero_point)
        return site.codes(x.activation(values) if x.activation else values)

    def activation(self, x: Ref, function: Elementwise) -> Ref:
        """An element-wise function, tabulated into the next quantize. One may wait at a time."""
        assert x.activation is None, "an activation is already waiting"
        return Ref(x.value, function, x.affine)

    def affine(self, x: Ref, scale: Tensor, shift: Tensor) -> Ref:
        """x * scale + shift, a number each per feature, folded into the next quantize."""
        assert x.affine is None, "another one is already waiting"
        return Ref(self._rectified(x).value, None, (scale, shift))

    def _rectified(self, x: Ref) -> Ref:
        """A waiting ReLU, applied: the grid it stands on holds zero, so it stays on that grid."""
        if x.activation is None:
            return x
        assert x.activation is torch.relu, "what waits leaves its grid"
        grid = x.grid
        codes = torch.arange(grid.qmin, grid.qmax + 1).clamp(min=grid.zero_point)
        value = replace(x.value, name=f"{x.value.name}.rectified")
        return self._append(
            "lookup", (Ref(x.value),), value, {"table": self._constant(f"{value.name}.table", codes, grid)}, {}, {}
        )

    def add(self, *terms: Ref, **weights: list[float]) -> Deferred:
        """The sum of two terms or more, each times its number of `weights` where given."""
        return Deferred("add", terms, weights)

    def pool(self, x: Ref, mode: str) -> Deferred:
        """The `mean` or `sum` over the nodes of every graph."""
        return Deferred("pool", (x,), {"row_scale": "inverse_degree"} if mode == "mean" else {})

    def embedding(self, ids: Ref, name: str, weight: Tensor, weights: Site) -> Ref:
        """Rows of `weight` [ids, width] on the grid of its site, as the value `name`."""
        value = Value(name, "node", weight.shape[1], weights.grid())
        return self._append("embedding", (ids,), value, {"table": self.parameter(weight, weights)}, {}, {})

    def linear(
        self, x: Ref, weight: Tensor, weights: Site, out: Site, bias: Tensor | None = None, **attributes: Any
    ) -> Ref:
        """x W + b onto the grid of `out`; weight [F, F'] on the grid, or the grids, of its site `weights`."""
        tensors = {"weight": self._constant(weights.name, weights.codes(weight).T, weights.grid())}
        tensors |= self._floats("scale", f"{weights.name}.scale", weights.column_scales(weight))
        tensors |= self.bias(f"{out.name}.bias", bias)
        return self.emit("linear", (x,), out, weight.shape[1], tensors, {"weight_grid": weights.grid()}, **attributes)

    def weighted_sum(self, weights: Ref, x: Ref, message: Site, out: Site) -> Ref:
        """Edge weights times source rows, on the grid of `message`, summed by target onto the grid of `out`."""
        grids = {"message_grid": message.grid()}
        return self.emit(
            "weighted_sum", (weights, x), out, x.value.width, None, grids, self_loops=True, message=message.name
        )

    def requantize(self, x: Ref, out: Site, bias: Tensor | None) -> Ref:
        """x + b onto the grid of `out`."""
        return self.emit("requantize", (x,), out, x.value.width, self.bias(f"{out.name}.bias", bias))

    def parameter(self, weight: Tensor, site: Site, suffix: str = "") -> str:
        """Codes of a parameter on the grid of its site, as a constant named after the site."""
        return self._constant(site.name + suffix, site.codes(weight), site.grid())

    def bias(self, name: str, bias: Tensor | None) -> dict[str, str]:
        """The `bias` entry of an op's tensors; empty where there is none."""
        return self._floats("bias", name, bias)

    def _floats(self, role: str, name: str, numbers: Tensor | None) -> dict[str, str]:
        """The entry of an op's tensors for float32 constants; empty where there are none."""
        if numbers is None:
            return {}
        self.constants[name] = numbers.detach().numpy().astype(np.float32)
        return {role: name}

    def edge_softmax(self, logits: Ref, negative_slope: float) -> Ref:
        """Attention coefficients in float32 from coded logits [E, H] (with self-loops)."""
        value = Value(f"{logits.value.name}.softmax", "edge", logits.value.width, None)
        attributes = {"negative_slope": negative_slope, "self_loops": True}
        return self._append("edge_softmax", (logits,), value, {}, {}, attributes)

    def dequantize(self, x: Ref) -> None:
        """Ends the program: the logits."""
        value = Value(OUTPUT, x.value.domain, x.value.width, None)
        self._append("dequantize", (x,), value, {}, {}, {})

    def _constant(self, name: str, codes: Tensor, grid: Grid) -> str:
        self.constants[name] = codes.contiguous().numpy().astype(np.int8 if grid.signed else np.uint8)
        self.bits[name] = grid.bits
        return name

    def finish(self, manifest: Mapping[str, Any]) -> IntegerProgram:
        """The program."""
        return IntegerProgram(tuple(self.ops), self.values, self.constants, self.bits, dict(manifest))
