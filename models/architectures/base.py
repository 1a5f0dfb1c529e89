"""What all networks share: masks, the stack of convolutions, lowering to an integer program."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from app.engine.program.model import IntegerProgram
from models.layers import Embedding, QuantLinear, Readout, ReadoutConfig, Transition
from models.layers.activation import Activation, ActivationName
from models.layers.convs.base import Conv
from models.layers.graph import Graph, features_of, graphs_of
from models.layers.transition import NormPlace
from models.quantization.builder import ProgramBuilder, Ref
from models.quantization.fake_quantize import Site
from models.quantization.protection import Protection
from models.quantization.qconfig import QuantScheme
from models.quantization.sites import Sites

EmbeddingKind = Literal["linear", "categorical"]
"""Of node features, or of one category (such as the type of an atom) per node."""


class Architecture(nn.Module, ABC):
    """An embedding (where wanted), a stack of convolutions with transitions between them, a readout (for graphs).

    Without a readout the last convolution writes the logits of the nodes; with one, all convolutions are alike
    and a transition stands behind each.

    A new network overrides `make_conv`; layers know nothing of the scheme, which only decides what their
    sites do. Dropout belongs to the layers (behind their `inputs` site).

    Args:
        in_features, out_features: widths of the node features (categories, where these are embedded) and of the
            logits.
        scheme: what is quantized how; None: FP32.
        hidden: width of a hidden layer (GAT: per head).
        layers: number of convolutions.
        batch_norm: before or after the activation of every transition; None: nowhere.
        residual: transitions add what the convolution read, where that is as wide (not the network's own input).
        embedding: of the input, to the hidden width.

    Shapes:
        x [N, in_features], dense or torch sparse CSR, or categories [N, 1]; edge_index [2, E] (source, target);
        degree_cdf [N], see `protection.degree_cdf`; batch [N], the graph of every node (None: one graph);
        result [N, out_features], with a readout [num_graphs, out_features].

    Raises:
        ValueError: in training with a masking scheme, if `degree_cdf` is missing.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scheme: QuantScheme | None = None,
        *,
        hidden: int = 16,
        layers: int = 2,
        dropout: float = 0.5,
        activation: ActivationName = "relu",
        batch_norm: NormPlace | None = None,
        residual: bool = False,
        embedding: EmbeddingKind | None = None,
        readout: ReadoutConfig | None = None,
    ) -> None:
        super().__init__()
        if layers < 1 or hidden < 1:
            raise ValueError(f"{type(self).__name__}: layers and hidden must be at least 1, got {layers}, {hidden}")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"{type(self).__name__}: dropout must lie in [0, 1), got {dropout}")
        self.scheme = scheme or QuantScheme()
        self.in_features, self.out_features = in_features, out_features
        self.hidden, self.num_layers, self.dropout = hidden, layers, dropout
        self.batch_norm = batch_norm
        self.sizes: dict[str, Any] = {
            "hidden": hidden, "layers": layers, "dropout": dropout, "activation": activation, "batch_norm": batch_norm,
            "residual": residual, "embedding": embedding, "readout": readout,
        }  # fmt: skip
        self.activation = Activation(activation)
        masks = self.scheme.protection
        self.protection = Protection(masks.p_min, masks.p_max, shared=masks.shared) if masks else None
        sites, width = Sites(self.scheme), self.width
        self.embedding = make_embedding(embedding, in_features, width, sites.child("embedding"))
        transitions = layers if readout else layers - 1

        def pooled(i: int) -> bool:
            return readout is not None and (readout.every_layer or i == layers - 1)

        self.transitions = nn.ModuleList(
            Transition(
                width,
                sites.child(f"transitions.{i}"),
                activation=activation,
                batch_norm=batch_norm,
                residual=residual and (i > 0 or embedding is not None),
                coded=pooled(i) or (residual and i < transitions - 1),  # the next transition adds it to its own rows
            )
            for i in range(transitions)
        )
        widths = [width if embedding else in_features, *[width] * (layers - 1), width if readout else out_features]
        signed = self.activation.signed or residual or batch_norm == "after"
        self.convs = nn.ModuleList(
            self.make_conv(
                widths[i], widths[i + 1], sites.child(f"convs.{i}"), signed=i == 0 or signed, last=i == layers - 1
            )
            for i in range(layers)
        )
        self.readout = None
        if readout is not None:
            read = [signed] * layers if readout.every_layer else [signed]
            read = [True, *read] if readout.every_layer and embedding else read
            self.readout = Readout(width, out_features, sites.child("readout"), config=readout, signed=read)

    @property
    def width(self) -> int:
        """Width of the rows between layers."""
        return self.hidden

    def details(self) -> list[str]:
        """What distinguishes the network from a plain stack of convolutions, in words for tables.

        A network with sizes of its own names them before these.
        """
        words = []
        if self.embedding is not None:
            words.append("embedding")
        if self.batch_norm is not None:
            words.append("BatchNorm")
        if any(transition.residual is not None for transition in self.transitions):
            words.append("residual")
        if self.readout is not None:
            heads = len(self.readout.heads)
            words.append(f"{self.readout.pool} readout" + (f" of {heads} layers" if heads > 1 else ""))
        return words

    @property
    def output_site(self) -> Site:
        """The site at which the network writes its logits."""
        if self.readout is not None:
            return self.readout.output_site
        last = self.convs[-1]
        assert isinstance(last, Conv)
        return last.output_site

    @abstractmethod
    def make_conv(self, wide: int, narrow: int, sites: Sites, *, signed: bool, last: bool) -> Conv:
        """A convolution from `wide` to `narrow` features.

        Args:
            signed: whether what it reads may be negative.
            last: whether it ends the stack.
        """

    def forward(  # noqa: PLR0917 - the order of a batch
        self,
        x: Tensor,
        edge_index: Tensor,
        degree_cdf: Tensor | None = None,
        batch: Tensor | None = None,
        num_graphs: int | None = None,
    ) -> Tensor:
        """See the class."""
        graph = Graph.of(edge_index, x.shape[0])
        features = features_of(x)
        h: Any = features if self.embedding is None else self.embedding(features)
        layers = [h]
        for conv, transition, protect in zip(self.convs, self._transitions(), self._masks(degree_cdf), strict=True):
            h = conv(h, graph, protect)
            h = h if transition is None else transition(h, layers[-1], protect)
            layers.append(h)
        logits: Tensor = (
            h if self.readout is None else self.readout(self._read(layers), graphs_of(batch, num_graphs, x))
        )
        return logits

    def _transitions(self) -> list[nn.Module | None]:
        """What stands behind each convolution; nothing behind the one that writes logits."""
        return [*self.transitions, *[None] * (len(self.convs) - len(self.transitions))]

    def _read(self, layers: list[Any]) -> list[Any]:
        """Of input and layers, what the readout reads: the last ones, as many as it has heads."""
        return layers[-len(self.readout.heads) :]  # type: ignore[union-attr]

    def _masks(self, degree_cdf: Tensor | None) -> list[Tensor] | list[None]:
        """The rows each layer protects: none in evaluation and without a masking scheme."""
        if self.protection is None or not self.training:
            return [None] * len(self.convs)
        if degree_cdf is None:
            raise ValueError(f"scheme {self.scheme.name} draws masks: training needs degree_cdf beside x")
        return self.protection.draw(degree_cdf, len(self.convs))

    @torch.no_grad()
    def lower(self, manifest: Mapping[str, Any] | None = None) -> IntegerProgram:
        """The integer program of the evaluation forward.

        Raises:
            ValueError: if a site is in FP32 or never saw data.
        """
        categorical = isinstance(self.embedding, Embedding)
        builder = ProgramBuilder(1 if categorical else self.in_features)
        h = builder.input if self.embedding is None else self.embedding.lower(builder, builder.input)
        layers: list[Ref] = [h]
        for conv, transition in zip(self.convs, self._transitions(), strict=True):
            h = conv.lower(builder, h)  # type: ignore[operator]
            h = h if transition is None else transition.lower(builder, h, layers[-1])  # type: ignore[operator]
            layers.append(h)
        builder.dequantize(h if self.readout is None else self.readout.lower(builder, self._read(layers)))
        return builder.finish(manifest or {})


def make_embedding(
    kind: EmbeddingKind | None, in_features: int, width: int, sites: Sites
) -> QuantLinear | Embedding | None:
    """The layer in front of the convolutions."""
    if kind is None:
        return None
    return (QuantLinear if kind == "linear" else Embedding)(in_features, width, sites)
