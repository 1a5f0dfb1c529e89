"""What every quantized network does, whoever wrote its layers: masks, forward, lowering to an integer program."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from app.engine.program.model import IntegerProgram
from models.layers.edges.given import check_features
from models.layers.embedding import Embedding
from models.layers.graph import Graph, features_of, graphs_of
from models.layers.steps import INPUT, Steps, Surroundings
from models.quantization.builder import ProgramBuilder, Ref
from models.quantization.protection import Protection
from models.quantization.qconfig import QuantScheme


class Network(Steps):
    """Steps on the rows of the nodes of a graph or of a batch of graphs, with the masks of a scheme.

    Attributes:
        in_features, out_features: widths of what is read (categories, where these are embedded) and of the logits.
        scheme: what is quantized how.
        output_function: what the program applies to its logits: `log_softmax`, `softmax`, `sigmoid` or None.
        num_masks: how many masks a training step draws: one for each convolution.

    Shapes:
        x [N, in_features], dense or torch sparse CSR, or categories [N, 1]; edge_index [2, E] (source, target);
        degree_cdf [N], see `protection.degree_cdf`; batch [N], the graph of every node (None: one graph);
        edge_weight [E], for a network that reads it; result [N, out_features], behind a pool
        [num_graphs, out_features].

    Raises:
        ValueError: in training with a masking scheme, if `degree_cdf` is missing; for another width or dtype of x.
    """

    num_masks: int
    output_function: str | None = None

    def __init__(self, in_features: int, out_features: int, scheme: QuantScheme | None) -> None:
        super().__init__()
        self.in_features, self.out_features, self.scheme = in_features, out_features, scheme or QuantScheme()
        masks = self.scheme.protection
        self.protection = Protection(masks.p_min, masks.p_max, shared=masks.shared) if masks else None

    @property
    def kind(self) -> str:
        """What it is called in manifests: its class, or the class it was made of."""
        return type(self).__name__

    @property
    def reads_categories(self) -> bool:
        """Whether it reads one category a node, rather than features."""
        return any(isinstance(self.get_submodule(step.module), Embedding) for step in self.steps if INPUT in step.reads)

    @property
    def reads_anything(self) -> bool:
        """Whether anything that reads x looks itself at what it is given, as an embedding does."""
        readers = (self.get_submodule(step.module) for step in self.steps if INPUT in step.reads)
        return any(getattr(reader, "reads_anything", False) for reader in readers)

    @property
    def reads_sparse(self) -> bool:
        """Whether all that reads x can read sparse rows."""
        readers = [self.get_submodule(step.module) for step in self.steps if INPUT in step.reads]
        return all(getattr(reader, "reads_sparse", False) for reader in readers)

    @property
    def reads_edge_weights(self) -> bool:
        """Whether any step reads the weights of edges."""
        return any(step.weighted for step in self.steps)

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights; learned steps are float32 beside those in float64."""
        dtypes = {parameter.dtype for parameter in self.parameters()}
        return max(dtypes, key=lambda dtype: dtype.itemsize, default=torch.float32)

    def check_logits(self, number: int) -> None:
        """Checks that it writes as many logits as a data set has classes or targets.

        Raises:
            ValueError: if it does not.
        """
        if self.out_features not in (0, number):
            raise ValueError(
                f"network {self.kind}: writes {self.out_features} logits, the data has {number} classes or targets; "
                "give it that number, on the command line by an argument called out_channels or num_classes"
            )

    def check_ending(self, allowed: Collection[str | None]) -> None:
        """Checks that it ends with nothing, or with one of the functions that are allowed.

        Raises:
            ValueError: if it does not.
        """
        if self.output_function not in allowed:
            raise ValueError(
                f"network {self.kind}: ends in {self.output_function}, but this task learns from logits: leave it out "
                "(the loss and the scores of predictions apply their own)"
            )

    def details(self) -> list[str]:
        """What distinguishes the network from others of its kind, in words for tables."""
        return []

    def forward(  # noqa: PLR0917 - the order of a batch
        self,
        x: Tensor,
        edge_index: Tensor,
        degree_cdf: Tensor | None = None,
        batch: Tensor | None = None,
        num_graphs: int | None = None,
        **others: Any,
    ) -> Tensor:
        """See the class; `others` are for steps that read them by name."""

        def draw_masks() -> list[Tensor]:
            assert self.protection is not None
            if degree_cdf is None:
                raise ValueError(f"scheme {self.scheme.name} draws masks: training needs degree_cdf beside x")
            return self.protection.draw(degree_cdf, self.num_masks)

        fits = x.shape[1:] == (self.in_features,) and x.dtype == next(self.parameters(), x).dtype
        if not fits and not self.reads_anything:  # to look at all steps and weights takes longer
            check_features(x, self.in_features, self.dtype)
        masks = draw_masks if self.training and self.protection is not None else None
        weight = others.get("edge_weight")

        def graph(weighted: bool) -> Graph:  # noqa: FBT001 - of a step
            if weighted and weight is None:
                raise ValueError("edge_weight: the network reads weights of edges, and the data has none")
            return Graph.of(edge_index, x.shape[0], weight if weighted else None)

        given = {"edge_index": edge_index, "batch": batch, "num_graphs": num_graphs, **others}
        surroundings = Surroundings(graph, lambda: graphs_of(batch, num_graphs, x), masks, given)
        dense = x.layout == torch.sparse_csr and not self.reads_sparse
        logits: Tensor = self.run(features_of(x.to_dense() if dense else x), surroundings)
        return logits

    @torch.no_grad()
    def lower(self, manifest: Mapping[str, Any] | None = None) -> IntegerProgram:
        """The integer program of the evaluation forward.

        Raises:
            ValueError: if a site is in FP32 or never saw data.
        """
        builder = ProgramBuilder(1 if self.reads_categories else self.in_features)
        logits = self.lower_steps(builder, builder.input)
        assert isinstance(logits, Ref), "the logits have no grid: a network ends with a layer or a site"
        builder.dequantize(logits, self.output_function)
        return builder.finish(manifest or {})
