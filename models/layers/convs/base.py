"""What every graph convolution offers, and what those share whose messages are rows of nodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from models.layers.evaluation.graph_block import GraphBlock
from models.layers.evaluation.rounded_rows import RoundedRows
from models.layers.evaluation.row_blocks import in_blocks, runs_in_blocks
from models.layers.functional import drop, dropout_factor, scaled
from models.layers.graph import Graph
from models.quantization.builder import Deferred, ProgramBuilder, Ref, codes_of
from models.quantization.fake_quantize import Site, Unrounded
from models.quantization.fused.rounding import has_kernels
from models.quantization.sites import Sites
from models.quantization.sparse import Features, SparseRows

Sent = tuple[Any, ...]
"""What nodes send: tensors [N, ...], or sparse rows."""


class Conv(nn.Module, ABC):
    """A layer that makes a node's row of its own row and those of its in-neighbours.

    It reads `inputs` at its first site and writes at `update`, so that a stack of convolutions can be chained, in
    training as in the integer program.

    It is what nodes `send`, made row by row, and what they `receive`. So a large graph is evaluated in blocks of nodes,
    with the same result bit for bit: first all send, then all receive.
    """

    reads_sparse = True
    """Whether it takes `SparseRows`."""

    dropout: float
    inputs: Site | Unrounded
    update: Site | Unrounded

    @property
    def output_site(self) -> Site | None:
        """The site of its result."""
        return self.update.output_site

    def forward(self, x: Features, graph: Graph, protect: Tensor | None = None) -> Tensor:
        """Rows [N, F'] of rows x [N, F]; `protect` [N] bool: those that Degree-Quant keeps in FP32."""
        graph = self.looped(graph)
        if runs_in_blocks(self, x):
            return self._in_blocks(x, graph)
        own, sent = self.own_and_sent(x, graph, protect)
        return self.receive(own, sent, graph, protect)

    def _in_blocks(self, x: Features, graph: Graph) -> Tensor:
        """The same in evaluation, where only what is sent and the result exist for all nodes at once."""

        def send(block: Features, nodes: slice) -> Sent:
            return self.send(self.own(block, None), GraphBlock(graph, nodes), None)

        sent = in_blocks(send, x)

        def receive(block: Features, nodes: slice) -> tuple[Tensor]:
            own = self.inputs.forward(block) if self.keeps_own else None  # hooks have seen these rows
            return (self.receive(own, sent, GraphBlock(graph, nodes), None),)

        return in_blocks(receive, x)[0]

    @property
    def keeps_own(self) -> bool:
        """Whether a node's own row is read beside what nodes send."""
        return True

    def looped(self, graph: Graph) -> Graph:
        """The graph with the self-loops that messages go along."""
        return graph

    def own_and_sent(self, x: Features, graph: Graph, protect: Tensor | None) -> tuple[Any, Sent]:
        """A node's own row as the layer reads it, and what the node sends."""
        own = self.own(x, protect)
        return own, self.send(own, graph, protect)

    def own(self, x: Features, protect: Tensor | None) -> Any:
        """The rows [N, F] as the layer reads them, dense or sparse as x."""
        return drop(self.inputs(x, protect), self.dropout, training=self.training)

    @abstractmethod
    def send(self, own: Any, graph: Graph, protect: Tensor | None) -> Sent:
        """What a node sends, made of its own row: one or more tensors [N, ...]."""

    @abstractmethod
    def receive(self, own: Any, sent: Sent, graph: Graph, protect: Tensor | None) -> Tensor:
        """Rows [N, F'] of the nodes that edges enter, made of their own rows and of what all nodes send."""

    @abstractmethod
    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """Emits the ops of the evaluation forward, and returns their result at `update`."""


class NodeMessageConv(Conv):
    """A convolution whose message is its source's own row.

    So a message is quantized once per node before the gather, which gives the same numbers as once per edge. Sites:
    `inputs`, `message`, `aggregate` (all node). Dropout acts on the quantized rows and their messages alike.
    """

    def __init__(self, sites: Sites, *, dropout: float, signed_inputs: bool) -> None:
        super().__init__()
        self.dropout = dropout
        self.inputs = sites.unless_spared("inputs", "node", signed=signed_inputs)
        self.message = sites.unless_spared("message", "node", signed=signed_inputs)
        self.aggregate = sites("aggregate", "node", signed=signed_inputs)

    def own_and_sent(self, x: Features, graph: Graph, protect: Tensor | None) -> tuple[Any, Sent]:
        """The quantized rows, and the messages quantized once more; both dense or sparse as `x` [N, F]."""
        own, (messages,) = super().own_and_sent(x, graph, protect)
        factor = dropout_factor(own, self.dropout, training=self.training)
        return (own, (messages,)) if factor is None else (scaled(own, factor), (scaled(messages, factor),))

    def own(self, x: Features, protect: Tensor | None) -> Any:
        """The quantized rows, before dropout."""
        return self.inputs(x, protect)

    def send(self, own: Any, graph: Graph, protect: Tensor | None) -> Sent:
        """The messages, before dropout."""
        return (self.message(own, protect),)

    def _in_blocks(self, x: Features, graph: Graph) -> Tensor:
        """See `Conv`. Here no copy of all rows is sent: who receives a row rounds it.

        Of sparse rows, which have few entries, these are rounded once. Where they go is found for each block anew,
        unless training on the whole graph has found it for all.
        """
        if isinstance(x, SparseRows):
            rows, messages = self.own_and_sent(x, graph, None)
            if graph.knows_neighbourhood(x.pattern):
                return self.receive(rows, messages, graph, None)
            return in_blocks(lambda own, nodes: (self.receive(own, messages, GraphBlock(graph, nodes), None),), rows)[0]
        if not has_kernels(x):
            return super()._in_blocks(x, graph)
        sent = (RoundedRows.at(x, self.inputs, self.message),)

        def receive(block: Features, nodes: slice) -> tuple[Tensor]:
            own, here = self.own(block, None), GraphBlock(graph, nodes)
            self.send(own, here, None)  # so that hooks see it
            return (self.receive(own, sent, here, None),)

        return in_blocks(receive, x)[0]

    def lower_rows_and_messages(self, builder: ProgramBuilder, x: Ref | Deferred) -> tuple[Ref, Ref]:
        """quantize, lookup."""
        rows = self.inputs.lower(builder, x)
        return codes_of(rows), codes_of(self.message.lower(builder, rows))
