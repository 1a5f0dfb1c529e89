"""From the rows of nodes to one row for every graph."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from models.layers.blocks.mlp import MLP
from models.layers.graph import Incidence
from models.layers.joins import Pool, pooled
from models.quantization.builder import ProgramBuilder, Ref
from models.quantization.fake_quantize import Site
from models.quantization.sites import Roundings, Sites, check_roundings


@dataclass(frozen=True)
class ReadoutConfig:
    """How logits of graphs are made from rows of nodes.

    Attributes:
        pool: over the nodes of a graph.
        hidden: widths of the MLP's hidden layers; empty: one linear layer.
        dropout: in that MLP.
        every_layer: an MLP for the output of the embedding and of every layer, summed (Xu et al. 2019), instead
            of one for the last.
        roundings: `all`: pooled rows, the MLPs' results and their sum have a site each, as in the paper; `needed`: sums
            over nodes are multiplied as they are, and logits are what the last accumulators hold.

    Raises:
        ValueError: on a value outside its bounds.
    """

    pool: Pool = "mean"
    hidden: list[int] = field(default_factory=list)
    dropout: float = 0.0
    every_layer: bool = False
    roundings: Roundings = "all"

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"readout.hidden: widths must be at least 1, got {self.hidden}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"readout.dropout: must lie in [0, 1), got {self.dropout}")
        check_roundings("readout", self.roundings)


class Readout(nn.Module):
    """y = sum over layers l of MLP_l(pool(h_l)). Not mask-aware: its rows are graphs.

    With all roundings, a pooled row is quantized as `inputs` of its MLP; site `scores`: the sum, where there are
    several. With those that are needed, neither is, nor are the results of MLPs: integers are added and multiplied
    further, and sums over layers are of float32, from the first layer on.

    Args:
        signed: for each layer it reads, whether its rows may be negative.

    Shapes:
        layers: [N, width] each; graphs: the graph of every node; result [G, out_features].
    """

    def __init__(
        self, width: int, out_features: int, sites: Sites, *, config: ReadoutConfig, signed: list[bool]
    ) -> None:
        super().__init__()
        self.pool: Pool = config.pool
        self.path = sites.path.rstrip(".")
        widths = [*config.hidden, out_features]
        self.rounds = rounds = sites.roundings == "all"
        self.heads = nn.ModuleList(
            MLP(
                width,
                widths,
                sites.child(f"heads.{i}"),
                signed_inputs=s,
                dropout=config.dropout,
                domain="graph",
                spared=() if rounds else ["inputs"],
            )
            for i, s in enumerate(signed)
        )
        self.scores = sites("scores", "graph") if rounds and len(signed) > 1 else None

    def forward(self, *layers: Tensor, graphs: Incidence) -> Tensor:
        """See the class."""
        terms: list[Tensor] = [head(pooled(x, graphs, self.pool)) for head, x in zip(self.heads, layers, strict=True)]
        total = terms[0] if len(terms) == 1 else torch.stack(terms).sum(0)
        return total if self.scores is None else self.scores(total)

    @property
    def output_site(self) -> Site | None:
        """The site of its result; None where logits are not rounded."""
        return self.heads[0].output_site if self.scores is None else self.scores  # type: ignore[return-value]

    def lower(self, builder: ProgramBuilder, *layers: Ref) -> Ref:
        """pool, linear and what is between linear layers, add; with the roundings that are needed, linear alone."""
        if not self.rounds:
            added: tuple[Ref, ...] = ()
            for i, (head, x) in enumerate(zip(self.heads, layers, strict=True)):
                product = head.lower(builder, builder.pool(x, self.pool))  # type: ignore[operator]
                added = (product.emit_floats(builder, f"{self.path}.heads.{i}", added),)
            return added[0]
        terms = [
            head.lower(builder, builder.pool(x, self.pool))  # type: ignore[operator]
            for head, x in zip(self.heads, layers, strict=True)
        ]
        return terms[0] if self.scores is None else builder.quantize(builder.add(*terms), self.scores)
