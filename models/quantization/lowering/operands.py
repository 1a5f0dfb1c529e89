"""What the methods of a `ProgramBuilder` take and return: values, ops that wait, and the places they will have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from app.engine.program.grid import Grid
from app.engine.program.model import OpKind, Value
from app.engine.program.rules import RULES
from models.quantization.qconfig import Domain

if TYPE_CHECKING:
    from models.quantization.builder import ProgramBuilder

Elementwise = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ref:
    """A value of the program under construction, with the functions that the next quantize has to apply to it.

    Attributes:
        activation: an element-wise function.
        affine: a multiplier and a summand [width] per feature, applied before `activation`.
    """

    value: Value
    activation: Elementwise | None = None
    affine: tuple[Tensor, Tensor] | None = None

    @property
    def width(self) -> int:
        """The width of the value."""
        return self.value.width

    @property
    def domain(self) -> Domain:
        """Where the value lives."""
        return self.value.domain

    @property
    def grid(self) -> Grid:
        """The grid of a value that consists of codes."""
        assert self.value.grid is not None, f"{self.value.name} is not coded"
        return self.value.grid


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
        floats: float32 numbers by their role in the op; None: without.
    """

    kind: OpKind
    terms: tuple[Ref | Deferred, ...]
    width: int
    domain: Domain
    attributes: Mapping[str, Any] = field(default_factory=dict)
    floats: Mapping[str, Tensor | None] = field(default_factory=dict)

    def emit(self, builder: ProgramBuilder, place: Place) -> Ref:
        """Adds the op. If it copies codes, its terms are brought onto the grid of `place` first, as `place.name.i`.

        That is exact: a concatenation may be rounded before or after, and so may a maximum, since rounding is monotone.
        """
        inputs, copies = [], RULES[self.kind].copies(self.attributes)
        for i, term in enumerate(self.terms):
            if copies:
                term = builder.quantize(term, PlaceOfTerm(f"{place.name}.{i}", term.domain, place))
            assert isinstance(term, Ref), f"{place.name}: an op that waits has no grid to read codes from"
            inputs.append(term)
        tensors = builder.floats(place.name, self.floats)
        return builder.emit(self.kind, tuple(inputs), place, self.width, tensors=tensors, **self.attributes)
