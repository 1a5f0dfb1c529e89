"""Hands layers their sites: what roles a site can have in a layer, and which class serves it under a scheme."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypedDict, get_args

from torch import nn

from models.quantization.fake_quantize import FakeQuantize, Site, Unrounded
from models.quantization.learned_step import LearnedStep
from models.quantization.qconfig import Domain, Part, QuantScheme, SiteConfig, resolve
from models.quantization.scales.columns import ColumnScales
from models.quantization.scales.features import FeatureScales

Role = Literal[
    "inputs", "weights", "attention", "features", "alpha", "norm", "message", "aggregate", "update",
    "activated", "normalized", "residual", "joined", "pooled", "scores",
]  # fmt: skip

ROLES: Mapping[Role, str] = {
    "inputs": "what a layer reads",
    "weights": "the matrix that rows are multiplied by, or the table that they are taken from (a parameter)",
    "attention": "the vectors that score sources and targets (a parameter)",
    "features": "rows times the weights",
    "alpha": "attention logits of edges, before LeakyReLU and softmax",
    "norm": "coefficients of edges from their ends' degrees",
    "message": "what a source sends along an edge",
    "aggregate": "messages summed or averaged by target",
    "update": "what a convolution writes",
    "activated": "rows behind an activation",
    "normalized": "rows behind a normalisation, and the activation behind it",
    "residual": "rows plus those of the layer before",
    "joined": "rows of several layers side by side, or the largest of them",
    "pooled": "the mean, sum or maximum over the nodes of a graph",
    "scores": "the sum over the heads of a readout",
}
"""What a site can be for in its layer. A site is called by its role behind the path of its layer, as in
`convs.0.inputs`, so an override of `*.weights` is one of all sites of that role."""


Roundings = Literal["all", "needed"]
"""`all`: every tensor that the paper rounds. `needed`: none that only the next rounding reads, see `Unrounded`."""


def check_roundings(where: str, roundings: Roundings) -> None:
    """Checks a setting that may come from Python.

    Raises:
        ValueError: if it is another word.
    """
    if roundings not in get_args(Roundings):
        raise ValueError(f"{where}: roundings: expected all or needed, got {roundings!r}")


PARTS: Mapping[Part, str] = {
    "first": "the embedding; without one, what the first convolution reads",
    "trunk": "all between",
    "skip": "residual sums of the trunk",
    "last": "the readout or classifier; without one, the logits",
}


class Sites:
    """Hands out the sites of a layer: `Sites(scheme)("inputs", "node")`, `.child("convs.0")` for a sublayer.

    A layer has one site of a role; a second one belongs to a sublayer. Which part of the network a layer is, the
    network says when it makes it.

    Args:
        part: of the layer and of its sublayers.
        roles: parts of single roles of the layer, such as `update` of a convolution that writes the logits.
        roundings: of the layer and of its sublayers.
        spared: roles that the layer alone has no site of, because something else rounds the same values.
        by_feature: roles of the layer alone whose values are read feature by feature, with the number of features.
    """

    def __init__(
        self,
        scheme: QuantScheme,
        path: str = "",
        part: Part = "trunk",
        roles: Mapping[Role, Part] | None = None,
        *,
        roundings: Roundings = "all",
        spared: Collection[Role] = (),
        by_feature: Mapping[Role, int] | None = None,
    ) -> None:
        self.scheme, self.path, self.part, self.roles = scheme, path, part, roles or {}
        self.roundings: Roundings = roundings
        self.spared, self.by_feature = spared, by_feature or {}

    def child(
        self,
        name: str,
        part: Part | None = None,
        roles: Mapping[Role, Part] | None = None,
        *,
        roundings: Roundings | None = None,
        spared: Collection[Role] = (),
        by_feature: Mapping[Role, int] | None = None,
    ) -> Sites:
        """Sites of the sublayer called `name`, in the part and with the roundings of this layer unless given others."""
        of_layer: dict[str, Any] = {"spared": spared, "by_feature": by_feature}
        path = f"{self.path}{name}."
        return Sites(self.scheme, path, part or self.part, roles, roundings=roundings or self.roundings, **of_layer)

    def part_of(self, role: Role) -> Part:
        """The part of the network that the site of a role is in."""
        own: Part = "skip" if role == "residual" and self.part == "trunk" else self.part
        return self.roles.get(role, own)

    def __call__(self, role: Role, domain: Domain, *, signed: bool = True) -> Site:
        """The site of this role for values of a domain.

        Args:
            signed: False where the architecture knows that no value is negative.

        Raises:
            ValueError: for a role that is not in `ROLES`.
        """
        return self._site(role, domain, signed=signed)

    def carried(self, role: Role, domain: Domain) -> Site:
        """The same for values that only linear maps of each feature read, so that a scale of its own can be carried."""
        return self._site(role, domain, centred=True)

    def unless_spared(self, role: Role, domain: Domain, *, signed: bool = True) -> Site | Unrounded:
        """The same for a role that the layer can do without: what stands in its place where it is spared."""
        if role in self.spared:
            return Unrounded(self.path + role, domain)
        return self._site(role, domain, signed=signed)

    def parameter(self, role: Role, name: str) -> Site:
        """The site of this role for the layer's parameter called `name`."""
        return self._site(role, "parameter", parameter=name)

    def matrix(self, name: str) -> Site:
        """The site `weights` for the layer's parameter called `name`, a weight [F, F'] that multiplies rows."""
        return self._site("weights", "parameter", parameter=name, columns=self.scheme.weight_scales == "column")

    def _site(
        self,
        role: Role,
        domain: Domain,
        *,
        signed: bool = True,
        parameter: str | None = None,
        columns: bool = False,
        centred: bool = False,
    ) -> Site:
        if role not in ROLES:
            raise ValueError(f"site {self.path}{role}: expected one of the roles {', '.join(ROLES)}")
        name, part = self.path + role, self.part_of(role)
        width = self.by_feature.get(role)
        config = resolve(self.scheme, name, domain, signed=signed, part=part, by_feature=width is not None)
        if config is None:
            site = Site(name, domain)
        elif config.scales == "feature" and width is not None:
            site = FeatureScales(name, domain, replace(config, symmetric=config.symmetric or centred), width)
        else:
            site = _class_for(config, columns=columns)(name, domain, config)
        site.parameter, site.part = parameter, part
        return site


def _class_for(config: SiteConfig, *, columns: bool) -> type[ColumnScales | LearnedStep | FakeQuantize]:
    if columns:
        return ColumnScales
    return LearnedStep if config.observer.accumulation == "learned" else FakeQuantize


class PartWidths(TypedDict):
    """Bits of most weights and of most values (32: float)."""

    weights: int
    activations: int


class SiteWidths(PartWidths):
    """Those of a network's trunk, and of the sites that differ from their part, by name."""

    exceptions: dict[str, int]


class BitWidths(SiteWidths, total=False):
    """The same, and those of all parts where they differ."""

    parts: dict[Part, PartWidths]


def bit_widths(network: nn.Module) -> BitWidths:
    """Returns the bits of the sites of a network, as they are after all overrides; of no sites, 32."""
    sites = [module for module in network.modules() if isinstance(module, Site)]
    of_parts = {part: [site for site in sites if site.part == part] for part in PARTS}
    everywhere = usual_widths(of_parts["trunk"] or sites)
    parts = {part: usual_widths(members) for part, members in of_parts.items() if members}

    def expected(site: Site) -> int:
        return parts[site.part]["weights" if site.domain == "parameter" else "activations"]

    exceptions = {site.name: site.bits for site in sites if site.bits != expected(site)}
    found = BitWidths(weights=everywhere["weights"], activations=everywhere["activations"], exceptions=exceptions)
    if any(widths != everywhere for widths in parts.values()):
        found["parts"] = parts
    return found


def usual_widths(sites: Sequence[Site]) -> PartWidths:
    """Returns the bits of most weights and of most values of sites; where there are no such, those of the others."""

    def usual(*, weights: bool) -> int:
        bits = [site.bits for site in sites if (site.domain == "parameter") is weights]
        return Counter(bits or [site.bits for site in sites] or [32]).most_common(1)[0][0]

    return PartWidths(weights=usual(weights=True), activations=usual(weights=False))
