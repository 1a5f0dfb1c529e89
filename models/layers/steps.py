"""A network as a list of steps: which module reads which rows. It is run and lowered from that one list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from models.layers.graph import Graph, Incidence
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.fake_quantize import Site

INPUT = "x"
"""The name of the rows that the first step reads."""


@dataclass(frozen=True)
class Step:
    """One call of a module: `result = module(*reads, graph=..., graphs=..., protect=..., given=...)`.

    Attributes:
        module: the path of the module in the network.
        reads: names of the rows it is given, `INPUT` or results of steps before it.
        result: the name of what it returns.
        graph: whether it is given the graph.
        weighted: whether that graph has the weights of edges.
        graphs: whether it is given the graph of every node.
        mask: number of the mask it is given as `protect`; None: it is not mask-aware.
        given: whether it is given all that the network is given, by name.
    """

    module: str
    reads: tuple[str, ...]
    result: str
    graph: bool = False
    graphs: bool = False
    mask: int | None = None
    given: bool = False
    weighted: bool = False


class Surroundings:
    """What steps are given beside rows, made when the first step asks for it.

    Args:
        graph: makes the graph, with the weights of edges or without.
        graphs: makes the assignment of nodes to graphs.
        masks: draws the masks; None in evaluation and without a masking scheme.
        given: all that the network is given, by name.
    """

    def __init__(
        self,
        graph: Callable[[bool], Graph],
        graphs: Callable[[], Incidence],
        masks: Callable[[], list[Tensor]] | None,
        given: Mapping[str, Any],
    ) -> None:
        self.given = given
        self._make_graph, self._make_graphs, self._draw_masks = graph, graphs, masks

    @cached_property
    def _graphs(self) -> Incidence:
        return self._make_graphs()

    @cached_property
    def _masks(self) -> list[Tensor] | None:
        return self._draw_masks and self._draw_masks()

    def of(self, step: Step) -> dict[str, Any]:
        """Returns the keyword arguments of a step."""
        given: dict[str, Any] = {}
        if step.graph:
            given["graph"] = self._make_graph(step.weighted)
        if step.graphs:
            given["graphs"] = self._graphs
        if step.mask is not None:
            given["protect"] = self._masks and self._masks[step.mask]
        if step.given:
            given["given"] = self.given
        return given


class Steps(nn.Module):
    """A module that consists of steps; the result of the last is its own.

    Each module of a step has `forward` and `lower`, which take the same rows.

    Shapes:
        x [N, F], dense or sparse; result [N, F'], or [G, F'] behind a pool.
    """

    steps: Sequence[Step] = ()

    def run(self, x: Any, surroundings: Surroundings | None = None) -> Any:
        """Runs all steps on rows x. Rows are let go when the last step that reads them has run."""
        rows, last = {INPUT: x}, self._last_reads
        for number, step in enumerate(self.steps):
            given = surroundings.of(step) if surroundings else {}
            rows[step.result] = self.get_submodule(step.module)(*map(rows.__getitem__, step.reads), **given)
            for name in step.reads:
                if last[name] == number:
                    rows.pop(name, None)
        return rows[self.steps[-1].result] if self.steps else rows[INPUT]

    @cached_property
    def _last_reads(self) -> dict[str, int]:
        return {name: number for number, step in enumerate(self.steps) for name in step.reads}

    def lower_steps(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """Emits the ops of all steps."""
        rows: dict[str, Any] = {INPUT: x}
        for step in self.steps:
            module: Any = self.get_submodule(step.module)
            rows[step.result] = module.lower(builder, *map(rows.__getitem__, step.reads))
        result: Ref | Deferred = rows[self.steps[-1].result] if self.steps else x
        return result

    @property
    def output_site(self) -> Site:
        """The site at which the result was written, before steps that leave its codes as they are."""
        writers = {step.result: step for step in self.steps}
        step = self.steps[-1]
        while not hasattr(self.get_submodule(step.module), "output_site"):
            step = writers[step.reads[0]]
        module: Any = self.get_submodule(step.module)
        site: Site = module.output_site
        return site


class Rows(Steps):
    """Steps that work row by row, such as the MLP of a GIN: they need no graph and no mask."""

    def __init__(self, steps: Sequence[Step], modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.steps = tuple(steps)
        for path, module in modules.items():
            put_module(self, path, module)

    def forward(self, x: Any) -> Any:
        """See `Steps`."""
        return self.run(x)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """The ops of all steps."""
        return self.lower_steps(builder, x)


def put_module(root: nn.Module, path: str, module: nn.Module) -> None:
    """Registers a module of `root` under a dotted path, and empty modules on the way to it."""
    *above, name = path.split(".")
    for part in above:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    root.add_module(name, module)
