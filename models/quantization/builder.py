"""Builds an integer program from a trained model: each layer's `lower` adds its ops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.engine.program.grid import Grid, dequantize
from app.engine.program.model import INPUT, OUTPUT, IntegerProgram, Op, OpKind, Value
from models.quantization.fake_quantize import Site
from models.quantization.lowering.operands import Deferred, Elementwise, Place, PlaceOfTerm, Ref, codes_of
from models.quantization.qconfig import Domain

__all__ = ["Deferred", "PlaceOfTerm", "ProgramBuilder", "Ref", "codes_of"]

POOLS: Mapping[str, Mapping[str, str]] = {"mean": {"row_scale": "inverse_degree"}, "sum": {}, "max": {"reduce": "max"}}
"""The attributes of a pool by what it takes over the nodes of a graph."""


class ProgramBuilder:
    """Collects ops and constants. Most methods add an op whose result lies on the grid of a site, and return it."""

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
        place: Place,
        width: int,
        *,
        tensors: Mapping[str, str] | None = None,
        grids: Mapping[str, Grid] | None = None,
        **attributes: Any,
    ) -> Ref:
        """Adds an op whose result [rows, width] has the name, the domain and the grid of `place`.

        Args:
            tensors: names of constants by their role in the op.
            grids: further grids by their role in the op.
        """
        assert place.domain != "parameter", f"{place.name}: a parameter is no result"
        value = Value(place.name, place.domain, width, place.grid())
        return self.append(kind, inputs, value, tensors=tensors, grids=grids, attributes=attributes)

    def append(
        self,
        kind: OpKind,
        inputs: tuple[Ref, ...],
        value: Value,
        *,
        tensors: Mapping[str, str] | None = None,
        grids: Mapping[str, Grid] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Ref:
        """Adds an op whose result is `value`; see `emit`."""
        assert value.name not in self.values, f"two values are called {value.name}"
        waiting = any(ref.activation or ref.features for ref in inputs)
        assert not waiting, f"{value.name}: something still waits to be applied to an input"
        self.values[value.name] = value
        names = tuple(ref.value.name for ref in inputs)
        self.ops.append(Op(kind, names, value.name, dict(tensors or {}), dict(grids or {}), dict(attributes or {})))
        return Ref(value)

    def quantize(self, x: Ref | Deferred, place: Place) -> Ref:
        """Brings `x` onto the grid of a site: float input, codes on another grid, or a deferred op."""
        if isinstance(x, Deferred):
            return x.emit(self, place)
        if x.value.grid is None:
            return self.emit("quantize", (x,), place, x.width)
        table = self._constant(f"{place.name}.table", self._tabulate(x, place), place.grid())
        return self.emit("lookup", (Ref(x.value),), place, x.width, tensors={"table": table})

    @staticmethod
    def _tabulate(x: Ref, place: Place) -> Tensor:
        """The code at `place` for every code of `x`, computed by the site itself: the table is exact."""
        grid = x.grid
        codes = torch.arange(grid.qmin, grid.qmax + 1, dtype=torch.float32)
        values = dequantize(codes, grid.scale, grid.zero_point)
        return place.codes(x.activation(values) if x.activation else values)

    def activation(self, x: Ref | Deferred, function: Elementwise) -> Ref | Deferred:
        """Defers an element-wise function to the next quantize, which tabulates it. Only one can be deferred.

        Behind an op that waits it can only be a ReLU, which the grid of the next site does by its clamp.
        """
        if isinstance(x, Deferred):
            assert function is torch.relu, "what accumulators hold cannot be tabulated"
            return x.rectify()
        assert x.activation is None, "an activation is already waiting"
        return Ref(x.value, function)

    def affine(self, x: Ref | Deferred, scale: Tensor, shift: Tensor) -> Deferred:
        """Computes x * scale + shift [width] at the next site: in the epilogue of an op that waits, or of its own.

        Codes of a grid a feature are read as they are, by other numbers.
        """
        if isinstance(x, Ref) and x.features is not None:
            scale, shift = x.features.undone_before(scale, shift)
            x = Ref(x.value, x.activation)
        waiting = x if isinstance(x, Deferred) else self.requantize(self._apply_relu(x), None)
        return waiting.affine(scale, shift)

    def _apply_relu(self, x: Ref) -> Ref:
        """Applies a deferred ReLU on the grid of `x`, which holds zero."""
        if x.activation is None:
            return x
        assert x.activation is torch.relu, "the deferred activation leaves the grid"
        grid = x.grid
        codes = torch.arange(grid.qmin, grid.qmax + 1).clamp(min=grid.zero_point)
        value = replace(x.value, name=f"{x.value.name}.rectified")
        table = self._constant(f"{value.name}.table", codes, grid)
        return self.append("lookup", (Ref(x.value),), value, tensors={"table": table})

    def add(self, *terms: Ref | Deferred, **weights: list[float]) -> Deferred:
        """Adds two terms or more, each times its number in `weights` if given."""
        return Deferred("add", terms, terms[0].width, terms[0].domain, weights)

    def concatenate(self, *terms: Ref | Deferred) -> Deferred:
        """Puts two terms or more side by side, of any widths and with whatever waits to be applied to them."""
        return Deferred("concatenate", terms, sum(term.width for term in terms), terms[0].domain)

    def maximum(self, *terms: Ref | Deferred) -> Deferred:
        """Takes the largest of two terms or more, entry by entry, with whatever waits to be applied to them."""
        return Deferred("maximum", terms, terms[0].width, terms[0].domain)

    def normalize(self, x: Ref | Deferred, floats: Mapping[str, Tensor | None], **attributes: Any) -> Deferred:
        """Takes the mean off rows and divides them by their deviation; see the table of ops.

        Args:
            floats: `scale`, `bias` and `mean_scale` [width].
        """
        return Deferred("normalize", (x,), x.width, x.domain, attributes, floats)

    def pool(self, x: Ref | Deferred, mode: str) -> Deferred:
        """Takes the `mean`, `sum` or `max` over the nodes of every graph."""
        return Deferred("pool", (x,), x.width, "graph", POOLS[mode])

    def neighbour_max(self, x: Ref | Deferred, site: Site, *, self_loops: bool = False) -> Ref:
        """Takes the largest of the sources of the edges into a node, rounded at `site`; 0 where no edge enters."""
        return self.quantize(Deferred("neighbour_max", (x,), x.width, "node", {"self_loops": self_loops}), site)

    def embedding(self, ids: Ref, name: str, weight: Tensor, weights: Site) -> Ref:
        """Takes the rows of `weight` [ids, width] that `ids` name, on the grid of its site, as the value `name`."""
        value = Value(name, "node", weight.shape[1], weights.grid())
        return self.append("embedding", (ids,), value, tensors={"table": self.parameter(weight, weights)})

    def linear(
        self, x: Ref | Deferred, weight: Tensor, weights: Site, *, bias: Tensor | None = None, **attributes: Any
    ) -> Deferred:
        """Computes x W + b, at the next site.

        Args:
            x: codes; or a pool of codes, whose sums are multiplied as they are.
            weight: W [F, F'].
            weights: the site of W.
        """
        if isinstance(x, Deferred):
            x, of_pool = self._summed(x)
            attributes |= of_pool
        domain: Domain = "graph" if "pooled" in attributes else x.domain
        codes = self._constant(weights.name, weights.codes(weight).T, weights.grid())
        floats = {"scale": weights.column_scales(weight), "bias": bias}
        return Deferred(
            "linear",
            (x,),
            weight.shape[1],
            domain,
            attributes,
            floats,
            tensors={"weight": codes},
            grids={"weight_grid": weights.grid()},
        )

    def _summed(self, x: Deferred) -> tuple[Ref, dict[str, Any]]:
        """Returns what a pool that waits reads, and the attributes of a linear of its sums; a maximum is of codes."""
        assert x.kind == "pool", f"{x.kind}: an op that waits has no grid to read codes from"
        codes = self._apply_relu(codes_of(x.terms[0]))
        if "reduce" in x.attributes:
            value = replace(codes.value, name=f"{codes.value.name}.largest", domain="graph")
            return self.append("pool", (codes,), value, attributes=x.attributes), {}
        return codes, {"pooled": True, **x.attributes}

    def edge_norm(
        self, site: Site, *, self_loops: bool = True, weighted: bool = False, loop_weight: float = 1.0
    ) -> Ref:
        """Computes the coefficients of the normalized adjacency, as `Graph.symmetric_norm`; see the table of ops."""
        attributes: dict[str, Any] = {"self_loops": self_loops}
        if weighted:
            attributes["weighted"] = True
        if loop_weight != 1.0:
            attributes["loop_weight"] = float(loop_weight)
        return self.emit("edge_norm", (), site, 1, **attributes)

    def edge_weight(self, site: Site) -> Ref:
        """Rounds the weights of edges that a graph comes with."""
        return self.emit("edge_weight", (), site, 1)

    def sum(self, x: Ref, **attributes: Any) -> Deferred:
        """Sums the rows of sources by target, at the next site."""
        return Deferred("sum", (x.carried,), x.width, "node", attributes).restored(x)

    def weighted_sum(self, weights: Ref, x: Ref, message: Site, *, self_loops: bool = True) -> Deferred:
        """Sums edge weights times source rows, rounded onto the grid of `message`, by target, at the next site."""
        grids, attributes = {"message_grid": message.grid()}, {"self_loops": self_loops, "message": message.name}
        return Deferred("weighted_sum", (weights, x.carried), x.width, "node", attributes, grids=grids).restored(x)

    def shift(self, x: Ref | Deferred, bias: Tensor | None) -> Deferred:
        """Computes x + b at the next site: in the epilogue of an op that waits, or of its own."""
        return x.shift(bias) if isinstance(x, Deferred) else self.requantize(x, bias)

    def requantize(self, x: Ref, bias: Tensor | None, *, heads: int = 1) -> Deferred:
        """Computes x + b at the next site, or the mean over the heads of x [rows, heads * width] instead of x."""
        attributes: dict[str, Any] = {"heads": heads} if heads > 1 else {}
        return Deferred("requantize", (x,), x.width // heads, x.domain, attributes, {"bias": bias})

    def parameter(self, weight: Tensor, site: Site, suffix: str = "") -> str:
        """Stores the codes of a parameter as a constant with the name of its site, and returns the constant's name."""
        return self._constant(site.name + suffix, site.codes(weight), site.grid())

    def floats(self, name: str, numbers: Mapping[str, Tensor | None]) -> dict[str, str]:
        """Stores float32 numbers as constants `name.role`, where there are some; returns an op's tensors."""
        given = {role: tensor for role, tensor in numbers.items() if tensor is not None}
        self.constants |= {f"{name}.{role}": x.detach().cpu().numpy().astype(np.float32) for role, x in given.items()}
        return {role: f"{name}.{role}" for role in given}

    def dynamic_attention_logits(
        self,
        source: Ref,
        target: Ref,
        out: Site,
        *,
        attention: Tensor,
        vectors: Site,
        negative_slope: float,
        self_loops: bool,
    ) -> Ref:
        """Computes a leaky_relu(l_source + r_target) of every edge and head at `out` (Brody et al. 2022).

        Args:
            source, target: l and r [N, H * C], on exactly one grid.
            attention: a [H, C].
            vectors: the site of a.
        """
        tensors, grids = {"attention": self.parameter(attention, vectors)}, {"attention_grid": vectors.grid()}
        attributes = {"negative_slope": float(negative_slope), "self_loops": self_loops}
        heads = attention.shape[0]
        kind: OpKind = "dynamic_attention_logits"
        return self.emit(kind, (source, target), out, heads, tensors=tensors, grids=grids, **attributes)

    def edge_softmax(self, logits: Ref, negative_slope: float, *, self_loops: bool) -> Ref:
        """Computes attention coefficients in float32 from the codes of logits [E, H]."""
        value = Value(f"{logits.value.name}.softmax", "edge", logits.value.width, None)
        attributes = {"negative_slope": negative_slope, "self_loops": self_loops}
        return self.append("edge_softmax", (logits,), value, attributes=attributes)

    def dequantize(self, x: Ref, function: str | None = None) -> None:
        """Ends the program: the logits in float32, or `log_softmax`, `softmax` or `sigmoid` of those of codes."""
        if x.value.grid is None:
            self._rename(x.value, OUTPUT)
            return
        value = Value(OUTPUT, x.value.domain, x.width, None)
        self.append("dequantize", (x,), value, attributes={} if function is None else {"function": function})

    def _rename(self, value: Value, name: str) -> None:
        """Gives the result of the last op another name."""
        del self.values[value.name]
        self.values[name] = replace(value, name=name)
        self.ops[-1] = replace(self.ops[-1], output=name)

    def _constant(self, name: str, codes: Tensor, grid: Grid) -> str:
        self.constants[name] = codes.cpu().contiguous().numpy().astype(np.int8 if grid.signed else np.uint8)
        self.bits[name] = grid.bits
        return name

    def finish(self, manifest: Mapping[str, Any]) -> IntegerProgram:
        """Returns the program."""
        return IntegerProgram(tuple(self.ops), self.values, self.constants, self.bits, dict(manifest))
