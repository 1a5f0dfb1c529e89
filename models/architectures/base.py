"""What our own networks share: the stack of convolutions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from typing import Any, Literal

from torch import nn

from models.architectures.network import Network
from models.layers import Embedding, QuantLinear, Readout, ReadoutConfig, Transition
from models.layers.activation import Activation, ActivationName
from models.layers.blocks.transition import NormPlace
from models.layers.convs.base import Conv
from models.layers.steps import INPUT, Step
from models.quantization.qconfig import Part, QuantScheme
from models.quantization.sites import Role, Roundings, Sites, check_roundings

EmbeddingKind = Literal["linear", "categorical"]
"""Of node features, or of one category (such as the type of an atom) per node."""


class Architecture(Network, ABC):
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
        roundings: `all`: every tensor that the paper rounds; `needed`: what a convolution reads, sends or writes has no
            site where something else rounds the same values, and the readout has none of its own.
    """

    spares: Collection[Role] = ("inputs", "aggregate", "update")
    """Roles that its convolutions can do without where something else rounds the same values. `update` is one if their
    last op has an epilogue, `aggregate` if only a bias and a BatchNorm lie between the sum over neighbours and what
    rounds next, `message` if messages are rows of nodes as they were read."""

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
        roundings: Roundings = "all",
    ) -> None:
        super().__init__(in_features, out_features, scheme)
        if layers < 1 or hidden < 1:
            raise ValueError(f"{type(self).__name__}: layers and hidden must be at least 1, got {layers}, {hidden}")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"{type(self).__name__}: dropout must lie in [0, 1), got {dropout}")
        check_roundings(type(self).__name__, roundings)
        self.hidden, self.num_layers, self.dropout = hidden, layers, dropout
        self.batch_norm = batch_norm
        self.sizes: dict[str, Any] = {
            "hidden": hidden, "layers": layers, "dropout": dropout, "activation": activation, "batch_norm": batch_norm,
            "residual": residual, "embedding": embedding, "readout": readout, "roundings": roundings,
        }  # fmt: skip
        self.activation = Activation(activation)
        sites, width = Sites(self.scheme, roundings=roundings), self.width
        self.embedding = make_embedding(embedding, in_features, width, sites.child("embedding", "first"))
        transitions = layers if readout else layers - 1

        self.transitions = nn.ModuleList(
            Transition(
                width,
                sites.child(f"transitions.{i}"),
                activation=activation,
                batch_norm=batch_norm,
                residual=residual and (i > 0 or embedding is not None),
                coded=self._codes_behind(i),
            )
            for i in range(transitions)
        )
        widths = [width if embedding else in_features, *[width] * (layers - 1), width if readout else out_features]
        signed = self.activation.signed or residual or batch_norm == "after"
        self.convs = nn.ModuleList(
            self.make_conv(
                widths[i],
                widths[i + 1],
                sites.child(
                    f"convs.{i}",
                    roles=self._roles(i),
                    spared=self._spared(i),
                    by_feature=dict.fromkeys(self._read_by_feature(i), widths[i + 1]),
                ),
                signed=i == 0 or signed,
                last=i == layers - 1,
            )
            for i in range(layers)
        )
        self.readout = None
        if readout is not None:
            read = [signed] * layers if readout.every_layer else [signed]
            read = [True, *read] if readout.every_layer and embedding else read
            of_readout = sites.child("readout", "last", roundings="needed" if readout.roundings == "needed" else None)
            self.readout = Readout(width, out_features, of_readout, config=readout, signed=read)
        self.num_masks, self.steps = layers, tuple(self._list_steps())

    def _roles(self, i: int) -> dict[Role, Part]:
        """Roles of a convolution in the first or last part: what reads the network's input, what writes logits."""
        roles: dict[Role, Part] = {"inputs": "first"} if i == 0 and self.embedding is None else {}
        return roles | ({"update": "last"} if i == self.num_layers - 1 and not self.sizes["readout"] else {})

    def _codes_behind(self, i: int) -> bool:
        """Whether something reads the codes of transition i directly: a pool, or the sum of the next transition."""
        readout, last = self.sizes["readout"], self.num_layers - 1
        if readout is not None and (readout.every_layer or i == last):
            return True
        return bool(self.sizes["residual"]) and i < (last if readout else last - 1)

    def _read_by_feature(self, i: int) -> list[Role]:
        """Roles of convolution i whose values are read feature by feature.

        What it writes, in the epilogue of its last op, may be read by a BatchNorm alone. What it sends is, if nothing
        rounds its sums: they end in an epilogue.
        """
        if "aggregate" in self._spared(i):
            return ["features"]
        alone = i < len(self.transitions) and self.batch_norm == "before" and "update" in self.spares
        return ["update"] if alone else []

    def _spared(self, i: int) -> list[Role]:
        """Roles that convolution i has no site of where only the needed roundings are wanted.

        What is read may be codes already, unless these have more bits. What is written is rounded behind a ReLU, which
        is that rounding's clamp.
        """
        if self.sizes["roundings"] == "all":
            return []
        behind: Part = "first" if i == 0 else "trunk" if self.transitions[i - 1].residual is None else "skip"
        codes = self._codes_behind(i - 1) if i else self.embedding is not None
        codes &= self.scheme.bits_of("node", behind) <= self.scheme.bits_of("node", "trunk")
        clamped = i < len(self.transitions) and not self.activation.signed and self.batch_norm != "after"
        rounded = {"inputs": codes, "update": clamped}
        return [role for role in self.spares if rounded.get(role, True)]

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
        if self.sizes["roundings"] == "needed":
            words.append("fewer roundings")
        return words

    @abstractmethod
    def make_conv(self, wide: int, narrow: int, sites: Sites, *, signed: bool, last: bool) -> Conv:
        """A convolution from `wide` to `narrow` features.

        Args:
            signed: whether what it reads may be negative.
            last: whether it ends the stack.
        """

    def _list_steps(self) -> Iterator[Step]:
        """Yields the embedding, every convolution with its transition, and the readout of all or of the last rows."""
        rows = [INPUT]
        if self.embedding is not None:
            yield Step("embedding", (INPUT,), "embedding")
            rows = ["embedding"]
        for i in range(len(self.convs)):
            yield Step(f"convs.{i}", (rows[-1],), f"convs.{i}", graph=True, mask=i)
            if i < len(self.transitions):
                yield Step(f"transitions.{i}", (f"convs.{i}", rows[-1]), f"transitions.{i}", mask=i)
                rows.append(f"transitions.{i}")
        if self.readout is not None:
            yield Step("readout", tuple(rows[-len(self.readout.heads) :]), "readout", graphs=True)


def make_embedding(
    kind: EmbeddingKind | None, in_features: int, width: int, sites: Sites
) -> QuantLinear | Embedding | None:
    """The layer in front of the convolutions."""
    if kind is None:
        return None
    return (QuantLinear if kind == "linear" else Embedding)(in_features, width, sites)
