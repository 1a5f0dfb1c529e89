"""Learned rows for categories, such as the types of atoms."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.quantization.builder import ProgramBuilder, Ref
from models.quantization.sites import Sites


class Embedding(nn.Module):
    """y_i = W[x_i], the row of a table for every node. Site: `weights` (parameter); the rows lie on its grid.

    Args:
        padding: the number of a row that gets no gradient; None: all do.

    Shapes:
        x [N] or [N, 1], whole numbers of any dtype; weight [num_embeddings, width]; result [N, width].

    Raises:
        ValueError: if a number is not that of a row. On a GPU the host does not wait to see it: there torch ends the
            program.
    """

    reads_anything = True
    """It looks itself at the numbers that it is given."""

    def __init__(self, num_embeddings: int, width: int, sites: Sites, *, padding: int | None = None) -> None:
        super().__init__()
        self.padding = padding
        self.name = sites.path.rstrip(".")
        self.weight = nn.Parameter(torch.randn(num_embeddings, width))
        self.weights = sites.parameter("weights", "weight")

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        ids, last = x.long().flatten(), self.weight.shape[0] - 1
        known, one_a_node = ((ids == x.flatten()) & (ids >= 0) & (ids <= last)).all(), ids.numel() == x.shape[0]
        if one_a_node and x.device.type != "cpu":
            torch._assert_async(known)  # there nobody waits
        elif not (one_a_node and bool(known)):
            raise ValueError(f"x: expected one whole number from 0 to {last} per node")
        return functional.embedding(ids, self.weights(self.weight), self.padding)

    def lower(self, builder: ProgramBuilder, x: Ref) -> Ref:
        """embedding."""
        return builder.embedding(x, self.name, self.weight, self.weights)
