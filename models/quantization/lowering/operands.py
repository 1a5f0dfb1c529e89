"""What the methods of a `ProgramBuilder` take and return: values, ops that wait, and the places they will have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from app.engine.program.grid import Grid
from app.engine.program.model import OpKind, Value
from app.engine.program.rules import RULES
from models.quantization.qconfig import Domain

if TYPE_CHECKING:
    from models.quantization.builder import ProgramBuilder
    from models.quantization.scales.features import FeatureMap

Elementwise = Callable[[Tensor], Tensor]

EPILOGUES = tuple(
    kind for kind, rule in RULES.items() if {"scale", "bias"} <= rule.tensors.keys() and kind != "normalize"
)
"""The ops whose accumulators can be multiplied by a number for each column, to which another one is added."""


@dataclass(frozen=True)
class Ref:
    """A value of the program under construction, with the functions that the next quantize has to apply to it.

    Attributes:
        activation: an element-wise function.
        features: what maps each feature to the grid of the codes; None: they have the grid itself.
    """

    value: Value
    activation: Elementwise | None = None
    features: FeatureMap | None = None

    @property
    def width(self) -> int:
        """The width of the value."""
        return self.value.width

    @property
    def domain(self) -> Domain:
        """Where the value lives."""
        return self.value.domain

    @property
    def carried(self) -> Ref:
        """The codes themselves, as multiples of each feature's step."""
        return replace(self, features=None)

    @property
    def grid(self) -> Grid:
        """The grid of a value that consists of codes."""
        assert self.value.grid is not None, f"{self.value.name} is not coded"
        assert self.features is None, f"{self.value.name} has a grid a feature, and what reads it none"
        return self.value.grid


def codes_of(x: Ref | Deferred) -> Ref:
    """Returns what an op reads as codes.

    Raises:
        AssertionError: if that is an op that waits.
    """
    assert isinstance(x, Ref), f"{x.kind}: an op that waits has no grid to read codes from"
    return x


class Place(Protocol):
    """What a value gets its name, its domain and its grid from. Every site is one."""

    @property
    def name(self) -> str:
        """The name of the value."""

    @property
    def domain(self) -> Domain:
        """Where the value lives."""

    def grid(self) -> Grid:
        """The grid of its codes."""

    def codes(self, x: Tensor) -> Tensor:
        """Codes of `x` on that grid."""


@dataclass(frozen=True)
class PlaceOfTerm:
    """A place on the grid of another one: for a term whose codes will be copied there."""

    name: str
    domain: Domain
    other: Place

    def grid(self) -> Grid:
        """That of the other place."""
        return self.other.grid()

    def codes(self, x: Tensor) -> Tensor:
        """Codes on that grid."""
        return self.other.codes(x)


@dataclass(frozen=True)
class Deferred:
    """An op that will be added once the place of its result is known.

    Attributes:
        terms: what it reads. Those of an op that copies codes may be anything that `quantize` takes.
        width, domain: of the result.
        floats: float32 numbers by their role in the op; None: without. `scale` and `bias` [width] of an op with an
            epilogue multiply what its accumulators hold, and are added to it.
        tensors: names of constants by their role in the op.
        grids: further grids by their role in the op.
        rectified: whether a ReLU follows: the clamp of a grid that begins at zero.
    """

    kind: OpKind
    terms: tuple[Ref | Deferred, ...]
    width: int
    domain: Domain
    attributes: Mapping[str, Any] = field(default_factory=dict)
    floats: Mapping[str, Tensor | None] = field(default_factory=dict)
    tensors: Mapping[str, str] = field(default_factory=dict)
    grids: Mapping[str, Grid] = field(default_factory=dict)
    rectified: bool = False

    def affine(self, scale: Tensor, shift: Tensor) -> Deferred:
        """Returns the same op with its result times `scale` plus `shift` [width], in its epilogue."""
        assert self.kind in EPILOGUES, f"{self.kind}: it has no epilogue for an affine map"
        assert not self.rectified, f"{self.kind}: an affine map behind a ReLU cannot join its epilogue"
        exact, bias, own = scale.double(), self.floats.get("bias"), self.floats.get("scale")
        grids = dict(self.grids)
        if own is None and "weight_grid" in grids:  # a scale a column takes the place of the weights' own
            own = torch.tensor(grids["weight_grid"].scale, dtype=torch.float64)
            grids["weight_grid"] = replace(grids["weight_grid"], scale=1.0)
        floats = {
            "scale": scale if own is None else (own * exact).float(),
            "bias": shift if bias is None else (bias * exact + shift).float(),
        }
        return replace(self, floats={**self.floats, **floats}, grids=grids)

    def restored(self, x: Ref) -> Deferred:
        """Returns the same op, a linear map of each feature of x, with values in place of multiples of steps."""
        if x.features is None:
            return self
        scale = torch.ones_like(x.features.factor)
        return self.affine(*x.features.undone_before(scale, torch.zeros_like(scale)))

    def shift(self, bias: Tensor | None) -> Deferred:
        """Returns the same op with `bias` [width] added to its result, in its epilogue."""
        assert self.kind in EPILOGUES, f"{self.kind}: it has no epilogue for a bias"
        assert not self.rectified, f"{self.kind}: a bias behind a ReLU cannot join its epilogue"
        if bias is None:
            return self
        own = self.floats.get("bias")
        return replace(self, floats={**self.floats, "bias": bias if own is None else own + bias})

    def rectify(self) -> Deferred:
        """Returns the same op with a ReLU behind it."""
        assert self.kind in EPILOGUES, f"{self.kind}: it has no epilogue for a ReLU"
        return replace(self, rectified=True)

    def emit(self, builder: ProgramBuilder, place: Place) -> Ref:
        """Adds the op. If it copies codes, its terms are brought onto the grid of `place` first, as `place.name.i`.

        That is exact: a concatenation may be rounded before or after, and so may a maximum, since rounding is monotone.
        """
        inputs, copies = [], RULES[self.kind].copies(self.attributes)
        for i, term in enumerate(self.terms):
            if copies:
                term = builder.quantize(term, PlaceOfTerm(f"{place.name}.{i}", term.domain, place))
            inputs.append(codes_of(term))
        if self.rectified:
            grid = place.grid()
            assert grid.zero_point == grid.qmin, f"{place.name}: its clamp is not the ReLU that waits"
        tensors = {**self.tensors, **builder.floats(place.name, self.floats)}
        return builder.emit(
            self.kind, tuple(inputs), place, self.width, tensors=tensors, grids=self.grids, **self.attributes
        )

    def emit_floats(self, builder: ProgramBuilder, name: str, added: tuple[Ref, ...]) -> Ref:
        """Adds the op with the float32 value `name` as its result, to which float32 values may be added."""
        assert not self.rectified, f"{name}: a ReLU needs a grid that clamps"
        terms = [term for term in self.terms if isinstance(term, Ref)]
        tensors = {**self.tensors, **builder.floats(name, self.floats)}
        assert self.domain != "parameter", f"{name}: a parameter is no result"
        value = Value(name, self.domain, self.width, None)
        return builder.append(
            self.kind, (*terms, *added), value, tensors=tensors, grids=self.grids, attributes=self.attributes
        )
