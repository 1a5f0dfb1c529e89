"""Loads programs and runs them on graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from . import CPU, MOST_THREADS
from .backends import backend_of
from .features import Features, read_features
from .graph import Graph, Limits, read_graph
from .memory import kept
from .ops.backend import Given, Stage
from .ops.bound import BoundOp
from .ops.preparation import share_saturated
from .program.check import validate
from .program.io import read_program
from .program.model import INPUT, OUTPUT, IntegerProgram
from .program.preparation import preparing
from .program.reach import hops, keeps_graphs_apart
from .reading import MISSING, NOT_READ, as_count
from .workers import Workers


def load_program(
    path: str | Path,
    backend: str = "compiled",
    threads: int = 1,
    *,
    device: str = CPU,
    max_nodes: int | None = None,
    max_edges: int | None = None,
    max_graphs: int | None = None,
) -> Executable:
    """Reads a program and prepares it to run.

    Args:
        path: the directory of the program, or its manifest.
        backend: "compiled", or "reference" for the slow definition of every op.
        threads: the number of threads that share the work of a call on the CPU.
        device: "cpu"; "cuda" or "cuda:N", a GPU, which needs torch and Triton; or "interpreter", which runs the kernels
            of a GPU on the CPU, for tests.
        max_nodes, max_edges, max_graphs: larger inputs are refused; None: any are taken.

    Raises:
        ProgramError: if the program is damaged, unknown or contradictory.
        ValueError: if there is no such backend or device, or `threads` is no number from 1 to 1,024.
    """
    return Executable(read_program(path), backend, threads, Limits(max_nodes, max_edges, max_graphs), device=device)


class Report(NamedTuple):
    """What `run` says of an input.

    Attributes:
        saturated: see `Executable.saturated`.
    """

    saturated: float


class Executable:
    """A program that is ready to run; any number of threads may call one Executable.

    It is copied and pickled as its program, which the copy prepares anew, with threads and memory of its own.

    Args:
        program: the program, which is checked.
        backend, threads, device: see `load_program`.
        limits: the largest inputs that are taken; None: any.
    """

    def __init__(
        self,
        program: IntegerProgram,
        backend: str = "compiled",
        threads: int = 1,
        limits: Limits | None = None,
        *,
        device: str = CPU,
    ) -> None:
        self._backend = backend_of(backend, device)
        threads = as_count(threads, "threads", 1, MOST_THREADS)
        validate(program)
        self._program = program
        self._reads_weights = program.reads_edge_weights
        self._settings, self._device = (backend, threads, limits), device
        self._limits = limits or Limits()
        self._workers = Workers(threads)
        self._stages = self._prepared(together=True)
        small = self._backend.small
        self._small = small([stage for stage, _ in self._stages]) if small and self._stages else None

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Executable, device=self._device), (self._program, *self._settings)

    def _prepared(self, *, together: bool) -> list[tuple[Stage, list[str]]]:
        """Returns every stage with the names of the values that no later stage reads."""
        ops = [BoundOp.bind(op, self._program) for op in self._program.ops]
        stages = self._backend.stages(ops, self._workers, together=together)
        last = {value.name: number for number, stage in enumerate(stages) for op in stage.ops for value in op.inputs}
        done: list[list[str]] = [[] for _ in stages]
        for name, number in last.items():
            done[number].append(name)
        return list(zip(stages, done, strict=True))

    @kept
    def _single_ops(self) -> list[tuple[Stage, list[str]]]:
        """The same with a stage for every op, for `trace`."""
        return self._prepared(together=False)

    @property
    def in_features(self) -> int:
        """Width of the node features that `run` takes; 0 if it makes them of the graph: x is [N, 0] then."""
        return self._program.in_features

    @property
    def out_features(self) -> int:
        """Width of the logits that `run` returns."""
        return self._program.out_features

    @kept
    def hops(self) -> int | None:
        """How many hops of a graph decide the result of a node, for `Graph.neighbourhood`; None: all of them."""
        return hops(self._program)

    @kept
    def keeps_graphs_apart(self) -> bool:
        """Whether the results of a graph do not depend on the others of its batch, nor on there being a batch."""
        return keeps_graphs_apart(self._program)

    @property
    def prepares(self) -> bool:
        """Whether it reads raw features, and prepares them itself."""
        return bool(preparing(self._program))

    @property
    def manifest(self) -> dict[str, Any]:
        """The program's free-form record of its origin."""
        return dict(self._program.manifest)

    @property
    def num_bytes(self) -> int:
        """Bytes of all constants as stored on disk."""
        return self._program.constant_bytes

    @property
    def reads_edge_weights(self) -> bool:
        """Whether a graph must come with the weights of its edges."""
        return self._reads_weights

    @overload
    def run(
        self, x: Any, edge_index: Any, batch: Any = ..., num_graphs: int | None = ..., *,
        edge_weight: Any = ..., report: Literal[False] = ...,
    ) -> np.ndarray: ...  # fmt: skip

    @overload
    def run(
        self, x: Any, edge_index: Any, batch: Any = ..., num_graphs: int | None = ..., *,
        edge_weight: Any = ..., report: Literal[True],
    ) -> tuple[np.ndarray, Report]: ...  # fmt: skip

    def run(
        self,
        x: Any,
        edge_index: Any,
        batch: Any = None,
        num_graphs: int | None = None,
        *,
        edge_weight: Any = None,
        report: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, Report]:
        """Returns the logits of every node, or of every graph if the program pools.

        Args:
            x: node features: NumPy, torch (dense or sparse CSR) or SciPy sparse; any real dtype. Those
                of a file that is mapped into memory (`np.memmap`, float32 in C order) are read in blocks.
            edge_index: sources and targets, or a `Graph`.
            batch: the number of the graph that each node belongs to, in any order; None: all nodes are one graph.
            num_graphs: G, the number of graphs; None: up to the last one that has a node.
            edge_weight: the weight of every edge, for a program that reads it.
            report: whether to return the logits and a `Report` of the input.

        Shapes:
            x [N, in_features], edge_index [2, E], batch [N], edge_weight [E] -> [N or G, out_features] float32.

        Raises:
            ValueError: naming the argument that is wrong.
        """
        features, graph = self._read(x, edge_index, batch, num_graphs, edge_weight=edge_weight)
        logits = self._small.run(features, graph) if self._small and self._small.takes(graph) else None
        if logits is None:
            logits = self.run_in_stages(features, graph)
        return (logits, Report(share_saturated(self._program, features))) if report else logits

    def run_in_stages(self, features: Features, graph: Graph) -> np.ndarray:
        """Returns the logits, computed in the way of large inputs; see `run`.

        Args:
            features: as `read_features` returns them.
            graph: of as many nodes.
        """
        logits = self.run_placed(self._backend.read(features), graph)
        return self._backend.to_numpy(logits, self._program.values[OUTPUT])

    def place(self, x: Any) -> Any:
        """Returns checked features [N, in_features] where the program runs: on a GPU a tensor. For `run_placed`.

        Raises:
            ValueError: if dtype or shape is wrong.
        """
        return self._backend.read(read_features(x, self.in_features))

    def run_placed(self, x: Any, graph: Graph) -> Any:
        """Returns the logits of features that `place` returned, on a graph of as many nodes (see `check`).

        They stay where the program runs: on a GPU they are a tensor, which may still be in the making.
        """
        values = {INPUT: x}
        for stage, done in self._stages:
            values |= stage.run(graph, values)
            for name in done:
                values.pop(name, None)
        return values[OUTPUT]

    def trace(
        self,
        x: Any,
        edge_index: Any,
        batch: Any = None,
        num_graphs: int | None = None,
        *,
        edge_weight: Any = None,
        given: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Returns every value by name, in the program's order: float32, or codes (int8 or uint8).

        A weighted_sum that names its `message` site adds the message codes [E, H * C] under that name. Rows of edge
        values are in the order of `Graph.adjacency`.

        Args:
            x, edge_index, batch, num_graphs, edge_weight: see `run`.
            given: codes of some values [rows, width], or of message sites [E, H * C]. Later ops read them instead of
                the computed codes, and sums add up the given messages; the trace still shows the computed ones.

        Raises:
            ValueError: naming the argument that is wrong.
        """
        features, graph = self._read(x, edge_index, batch, num_graphs, edge_weight=edge_weight)
        read = self._backend.read(features)
        shown = {value.name: self._backend.to_numpy(read, value) for value in self._program.values.values()
                 if value.name == INPUT}  # fmt: skip
        return shown | dict(self.trace_placed(read, graph, given))

    def trace_placed(
        self, x: Any, graph: Graph, given: Mapping[str, np.ndarray] | None = None
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yields the values of `trace` beside x one by one, for what `run_placed` takes; few are held at once."""
        return Given(given or {}, self._backend).trace(self._single_ops, graph, x)

    def saturated(self, x: Any) -> float:
        """Returns the share of the numbers in x that lie beyond the program's input grid, and so lose their size.

        It is near 0 on data like that which the program was made with; a large share hints at features that were
        prepared in another way. Ids of categories have no grid: 0.

        Shapes:
            x [N, in_features], as for `run`.

        Raises:
            ValueError: if dtype or shape is wrong.
        """
        return share_saturated(self._program, read_features(x, self.in_features))

    def check(self, graph: Graph) -> None:
        """Raises ValueError if the program does not take a graph: it is too large, or has no weights, or needs none."""
        if not hasattr(graph, "weights"):  # not by its class: the engine may be there under two names
            raise ValueError(f"expected a Graph(edge_index, num_nodes), got {type(graph).__name__}")
        self._limits.check(graph)
        if self._reads_weights != (graph.weights is not None):
            raise ValueError(MISSING if self._reads_weights else NOT_READ)

    def release(self) -> None:
        """Gives back the memory that is kept for the next call."""
        self._workers.release()
        if self._small is not None:
            self._small.release()

    def _read(
        self, x: Any, edge_index: Any, batch: Any, num_graphs: int | None, *, edge_weight: Any
    ) -> tuple[Features, Graph]:
        features = read_features(x, self.in_features)
        graph = read_graph(edge_index, len(features), batch, num_graphs, edge_weight=edge_weight)
        self.check(graph)
        return features, graph
