"""What every graph convolution offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from models.layers.graph import Graph
from models.quantization.builder import ProgramBuilder, Ref
from models.quantization.fake_quantize import Site
from models.quantization.sparse import Features


class Conv(nn.Module, ABC):
    """A layer that makes a node's row of its own row and those of its in-neighbours.

    It reads `inputs` at its first site and writes at `update`, so that a stack of convolutions can be chained, in
    training as in the integer program.
    """

    inputs: Site
    update: Site

    @property
    def output_site(self) -> Site:
        """The site of its result."""
        return self.update

    @abstractmethod
    def forward(self, x: Features, graph: Graph, protect: Tensor | None = None) -> Tensor:
        """Rows [N, F'] of rows x [N, F]; `protect` [N] bool: those that Degree-Quant keeps in FP32."""

    @abstractmethod
    def lower(self, builder: ProgramBuilder, x: Ref) -> Ref:
        """Emits the ops of the evaluation forward, and returns their result at `update`."""
