"""The interface of a backend: one way to run the ops of a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..features import Features
from ..graph import Graph
from ..program.model import INPUT, Value
from ..workers import Workers
from .bound import BoundOp

RunOp = Callable[..., Any]
"""run(graph, *inputs) -> output, with values in the backend's own form."""


class Stage(Protocol):
    """Consecutive ops that run together."""

    @property
    def ops(self) -> Sequence[BoundOp]:
        """The ops, in their order."""

    def run(self, graph: Graph, values: Mapping[str, Any]) -> dict[str, Any]:
        """Runs the ops on a graph and returns, by name, the results that other stages read.

        `values` holds everything that the ops read from other stages.
        """


@dataclass(frozen=True)
class Single:
    """A stage of one op, which `run_op` runs."""

    op: BoundOp
    run_op: RunOp

    @property
    def ops(self) -> list[BoundOp]:
        """The op."""
        return [self.op]

    def run(self, graph: Graph, values: Mapping[str, Any]) -> dict[str, Any]:
        """Runs it; see `Stage`."""
        return {self.op.output.name: self.run_op(graph, *(values[value.name] for value in self.op.inputs))}


class MakeStages(Protocol):
    """Prepares a program's ops to run on some workers."""

    def __call__(self, ops: Sequence[BoundOp], workers: Workers, *, together: bool) -> Sequence[Stage]:
        """Returns stages in the order of the ops: of several ops where that is faster, or of one each.

        Args:
            together: False makes every op a stage, so that every value can be seen.
        """


class Small(Protocol):
    """A whole program on small inputs."""

    def takes(self, graph: Graph) -> bool:
        """Returns whether a graph is small enough."""

    def run(self, x: Features, graph: Graph) -> np.ndarray | None:
        """Returns the logits; None if the input is wrong, so that stages run and say why."""

    def release(self) -> None:
        """Gives back the memory that is kept for the next call."""


@dataclass(frozen=True)
class Backend:
    """One way to run ops.

    Attributes:
        read: converts features to the backend's own form.
        stages: prepares the ops of a program.
        messages: prepares the function that computes the message codes of a weighted_sum [E, H * C], for `trace`.
        add_up: prepares the function that computes the result of a weighted_sum from its message codes, for `trace`.
        small: prepares, from all stages, what runs whole programs on small inputs; None: stages run them too.
        to_numpy: converts a value to NumPy: float32, or codes on the given grid.
        from_numpy: converts such codes to the backend's own form.
    """

    read: Callable[[Features], Any]
    stages: MakeStages
    messages: Callable[[BoundOp], RunOp]
    add_up: Callable[[BoundOp], RunOp]
    small: Callable[[Sequence[Any]], Small] | None
    to_numpy: Callable[[Any, Value], np.ndarray]
    from_numpy: Callable[[np.ndarray, Value], Any]


class Given:
    """Codes that a trace goes on with in place of computed ones."""

    def __init__(self, given: Mapping[str, np.ndarray], backend: Backend) -> None:
        self._given, self._backend = dict(given), backend

    def trace(
        self, stages: Iterable[tuple[Stage, Sequence[str]]], graph: Graph, x: Any
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yields what stages of one op compute, as NumPy; keeps no value longer than a later stage reads it.

        Args:
            stages: each with the names of the values that no later one reads.
            x: the input, in the backend's own form.
        """
        values = {INPUT: x}
        for stage, done in stages:
            yield from self.run(stage, graph, values).items()
            for name in done:
                values.pop(name, None)
        self.check_all_used()

    def run(self, stage: Stage, graph: Graph, values: dict[str, Any]) -> dict[str, np.ndarray]:
        """Runs a stage of one op; puts its result, or the codes given for it, to the values that it reads.

        Returns:
            What it computed, as NumPy: before the result message codes, if the op names their site.
        """
        (op,), shown = stage.ops, dict[str, np.ndarray]()
        computed = stage.run(graph, values)[op.output.name]
        if "message" in op.attributes:
            site = Value(op.attributes["message"], "edge", op.output.width, op.grid("message_grid"))
            inputs = [values[value.name] for value in op.inputs]
            shown[site.name] = self._backend.to_numpy(self._backend.messages(op)(graph, *inputs), site)
            codes = self._codes(site, shown[site.name])
            computed = computed if codes is None else self._backend.add_up(op)(graph, codes)
        shown[op.output.name] = self._backend.to_numpy(computed, op.output)
        codes = self._codes(op.output, shown[op.output.name])
        values[op.output.name] = computed if codes is None else codes
        return shown

    def _codes(self, declared: Value, computed: np.ndarray) -> Any:
        """Returns the codes given for a value, in the backend's own form; None if there are none."""
        if declared.name not in self._given:
            return None
        codes = self._given.pop(declared.name)
        if declared.grid is None:
            raise ValueError(f"given: {declared.name!r} is float32, it has no codes")
        try:
            codes, grid = np.asarray(codes), declared.grid
        except ValueError:
            raise ValueError(f"given: {declared.name!r}: its rows are not equally long") from None
        if codes.shape != computed.shape:
            shapes = f"{list(computed.shape)}, got {list(codes.shape)}"
            raise ValueError(f"given: {declared.name!r}: expected shape {shapes}")
        whole = codes.dtype.kind in "iu"
        if not whole or (codes.size and not grid.qmin <= codes.min() <= codes.max() <= grid.qmax):
            found = f"{codes.min()} to {codes.max()}" if whole else str(codes.dtype)
            raise ValueError(
                f"given: {declared.name!r}: expected whole numbers from {grid.qmin} to {grid.qmax}, got {found}"
            )
        return self._backend.from_numpy(codes, declared)

    def check_all_used(self) -> None:
        """Raises ValueError if codes were given that belong to no value."""
        for name in self._given:
            raise ValueError(f"given: the program has no value {name!r}")
