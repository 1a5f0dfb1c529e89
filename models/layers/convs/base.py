"""What every graph convolution offers, and what those share whose messages are rows of nodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from models.layers.functional import dropout_factor, scaled
from models.layers.graph import Graph
from models.quantization.builder import Deferred, ProgramBuilder, Ref, codes_of
from models.quantization.fake_quantize import Site, Unrounded
from models.quantization.sites import Sites
from models.quantization.sparse import Features


class Conv(nn.Module, ABC):
    """A layer that makes a node's row of its own row and those of its in-neighbours.

    It reads `inputs` at its first site and writes at `update`, so that a stack of convolutions can be chained, in
    training as in the integer program.
    """

    reads_sparse = True
    """Whether it takes `SparseRows`."""

    inputs: Site | Unrounded
    update: Site | Unrounded

    @property
    def output_site(self) -> Site | None:
        """The site of its result."""
        return self.update.output_site

    @abstractmethod
    def forward(self, x: Features, graph: Graph, protect: Tensor | None = None) -> Tensor:
        """Rows [N, F'] of rows x [N, F]; `protect` [N] bool: those that Degree-Quant keeps in FP32."""

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

    def rows_and_messages(self, x: Features, protect: Tensor | None) -> tuple[Any, Any]:
        """The quantized rows, and the messages quantized once more; both dense or sparse as `x` [N, F]."""
        rows: Any = self.inputs(x, protect)
        messages: Any = self.message(rows, protect)
        factor = dropout_factor(rows, self.dropout, training=self.training)
        return (rows, messages) if factor is None else (scaled(rows, factor), scaled(messages, factor))

    def lower_rows_and_messages(self, builder: ProgramBuilder, x: Ref | Deferred) -> tuple[Ref, Ref]:
        """quantize, lookup."""
        rows = self.inputs.lower(builder, x)
        return codes_of(rows), codes_of(self.message.lower(builder, rows))
