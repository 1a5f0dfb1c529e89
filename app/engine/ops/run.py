"""The calls of an op on one graph, block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import Graph
from ..kernels.dispatch import Kernel
from ..workers import Workers
from .bound import GraphArray, edges_of
from .packed_rows import PackedRows
from .step import Block, ByDegree, Call, Operand, Step, Temporary


class RunningCall(NamedTuple):
    """A call whose kernel is chosen, and whose arguments are known as far as they do not depend on the block.

    Attributes:
        kernel, arguments, refuse: see `Call`.
        of_block: the numbers of the other arguments, with what a block takes its part of: an array and the name of its
            span, or an operand.
    """

    kernel: Kernel
    arguments: Sequence[Any]
    of_block: Sequence[tuple[int, tuple[np.ndarray, str] | Operand]]
    refuse: Any

    @classmethod
    def begin(cls, call: Call, graph: Graph, gathered: Mapping[int, Any], whole: Sequence[np.ndarray]) -> RunningCall:
        """Looks up what the graph has; gathered: inputs by number; whole: temporaries that were made before."""
        arguments, of_block = list(call.arguments), list[tuple[int, tuple[np.ndarray, str] | Operand]]()
        for i, argument in enumerate(arguments):
            if isinstance(argument, GraphArray):
                of_block.append((i, (argument.of(graph), argument.span)))
            elif isinstance(argument, Operand) and argument.part == "whole":
                arguments[i] = (gathered if argument.of == "input" else whole)[argument.number]
            elif isinstance(argument, Operand):
                made = argument.of == "temporary" and whole
                of_block.append((i, (whole[argument.number], "rows") if made else argument))
        return cls(kernel_of(call, graph), arguments, of_block, call.refuse)

    def compute(self, block: Block, operands: Mapping[tuple[str, int], np.ndarray]) -> None:
        """Calls the kernel on a block."""
        arguments = list(self.arguments)
        for i, source in self.of_block:
            if isinstance(source, Operand):
                rows = operands[source.of, source.number]
                arguments[i] = rows.reshape(-1) if source.part == "flat" else rows
            else:
                array, span = source
                arguments[i] = array[getattr(block, span)]
        if self.kernel(*arguments) is False and self.refuse:
            self.refuse(*arguments)


class Run(NamedTuple):
    """The calls of an op on one graph."""

    step: Step
    calls: Sequence[RunningCall]
    temporaries: Sequence[Temporary]

    @classmethod
    def begin(cls, step: Step, graph: Graph, gathered: Sequence[Any], workers: Workers) -> Run:
        """Makes what must be whole before the first block; gathered: the inputs of `step.gathers`."""
        inputs = {i: x.nibbles if isinstance(x, PackedRows) else x for i, x in zip(step.gathers, gathered, strict=True)}
        whole: list[np.ndarray] = []
        if step.before is not None:
            x = inputs[step.gathers[0]]
            whole = [workers.buffers.empty((len(x), made.width), made.dtype) for made in step.temporaries]
            before = RunningCall.begin(step.before, graph, inputs, ())

            def part(first: int, last: int) -> None:
                rows = slice(first, last)
                made = {("temporary", i): array[rows] for i, array in enumerate(whole)}
                before.compute(Block(rows, rows, rows), {("input", step.gathers[0]): x[rows], **made})

            workers.run(part, len(x))
        calls = step.calls if step.begin is None else step.begin(graph, *inputs.values())
        running = [RunningCall.begin(call, graph, inputs, whole) for call in calls]
        return cls(step, running, () if whole else step.temporaries)

    def compute(self, block: Block, inputs: Mapping[int, np.ndarray], out: np.ndarray) -> None:
        """Computes a block; inputs: its rows of those that are not gathered, by number."""
        operands = {("input", i): rows for i, rows in inputs.items()}
        operands["output", 0] = out
        for i, made in enumerate(self.temporaries):
            span = block.edges if made.of_edges else block.rows
            operands["temporary", i] = np.empty((span.stop - span.start, made.width), made.dtype)
        for call in self.calls:
            call.compute(block, operands)
        if self.step.finish is not None:
            out[:] = self.step.finish(out)


def kernel_of(call: Call, graph: Graph) -> Kernel:
    """Returns the kernel of a call, for the largest degree of a graph."""
    if isinstance(call.kernel, ByDegree):
        return call.kernel.choose(edges_of(graph, call.kernel.loops).largest_degree)
    return call.kernel
