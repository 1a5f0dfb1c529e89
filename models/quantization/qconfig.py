"""What is quantized how: a scheme as data, and the one pure function that resolves it for a site."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Literal, get_args

from app.engine.program.grid import code_limits
from models.quantization.fused.rounding import Gradient
from models.quantization.protection import check_probabilities

Domain = Literal["node", "edge", "graph", "parameter"]
"""Where a site's tensor lives: on nodes, edges or whole graphs, or in the model; weight noise depends on it."""

Part = Literal["first", "trunk", "skip", "last"]
"""Where in a network a site is: where numbers come in, where logits are made, or between; see `PARTS` in sites.py."""

Scales = Literal["tensor", "feature"]
"""Whether values have one grid, or one for every feature."""

DEFAULT_PERCENTILE = {8: 0.1, 4: 1.0}
"""Per cent clipped at each end, by bits: the authors' released settings. Other widths: see `percentile_for`."""


def percentile_for(bits: int) -> float:
    """Per cent clipped at each end by default: 0.1 from 8 bits on, 1.0 below."""
    return DEFAULT_PERCENTILE[8] if bits >= 8 else DEFAULT_PERCENTILE[4]


def default_of(kind: type, name: str) -> object:
    """Returns the default of a field of a dataclass that has one."""
    of_field = next(found for found in fields(kind) if found.name == name)
    return of_field.default if of_field.default_factory is MISSING else of_field.default_factory()


@dataclass(frozen=True)
class ObserverConfig:
    """How a range is tracked: a statistic of the current tensor, accumulated over steps.

    A setting that the chosen statistic or accumulation does not read is refused.

    Attributes:
        statistic: `minmax`, or `percentile`: the p and 1 - p quantiles.
        accumulation: `running` (only widens), `momentum` (exponential average, started by the first tensor), or
            `learned`: the first tensor gives the range, the gradient of the loss moves it (see `LearnedStep`).
        percentile: per cent clipped at each end; None: 0.1 at 8 bits, 1.0 below.
        low_percentile: per cent clipped at the lower end; None: `percentile`. Of logits, all that matters is which is
            the largest, so more can go there.
        momentum: weight of the new tensor in the exponential average.
        sample: quantiles are taken on a random sample of at most this many entries.
        warmup: training steps in which a `learned` range still follows its tensor (`momentum`), before the gradient
            moves it: weights that change fast leave the range of the first tensor behind.

    Raises:
        ValueError: on a value outside its bounds, or that has no effect.
    """

    statistic: Literal["minmax", "percentile"] = "minmax"
    accumulation: Literal["running", "momentum", "learned"] = "running"
    percentile: float | None = None
    low_percentile: float | None = None
    momentum: float = 0.01
    sample: int = 100_000
    warmup: int = 0

    def __post_init__(self) -> None:
        for name in ("percentile", "low_percentile"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value < 50.0:
                raise ValueError(f"{name}: expected per cent from 0 to below 50, got {value}")
        if not 0.0 < self.momentum <= 1.0:
            raise ValueError(f"momentum: expected a number in (0, 1], got {self.momentum}")
        if self.sample < 1:
            raise ValueError(f"sample: expected at least 1 entry, got {self.sample}")
        if self.warmup < 0:
            raise ValueError(f"warmup: expected a number of training steps, got {self.warmup}")
        if self.warmup and self.accumulation != "learned":
            raise ValueError(
                f"warmup: only learned ranges have one; with accumulation {self.accumulation} leave it out"
            )
        if self.statistic == "minmax":
            for name in ("percentile", "low_percentile", "sample"):
                self._refuse_if_given(name, "with statistic minmax")
        if self.accumulation == "running" or (self.accumulation == "learned" and not self.warmup):
            without = " without warmup" if self.accumulation == "learned" else ""
            self._refuse_if_given("momentum", f"with accumulation {self.accumulation}{without}")

    def _refuse_if_given(self, name: str, reason: str) -> None:
        value, default = getattr(self, name), default_of(ObserverConfig, name)
        if value != default:
            instead = "null" if default is None else default
            raise ValueError(f"{name}: {value} has no effect {reason}; leave it out, or set {instead} over it")


@dataclass(frozen=True)
class NoiseConfig:
    """Noisy QAT (Fan et al. 2020): each step a random `fraction` of the entries is quantized, the rest not."""

    fraction: float = 0.5
    sites: Literal["weights", "all"] = "all"

    def __post_init__(self) -> None:
        if not 0.0 < self.fraction <= 1.0:
            raise ValueError(f"noise.fraction: expected a number in (0, 1], got {self.fraction}")


@dataclass(frozen=True)
class ProtectionConfig:
    """Degree-Quant's mask: bounds of the protection probability; `shared` draws one mask for all layers."""

    p_min: float = 0.0
    p_max: float = 0.1
    shared: bool = False

    def __post_init__(self) -> None:
        check_probabilities(self.p_min, self.p_max)


@dataclass(frozen=True)
class SiteOverride:
    """Different settings for the sites whose dotted name matches the glob `site`.

    None leaves a setting to the rules behind this one, or else to the scheme (`scales`: to its `activation_scales`).
    `bits: 32` leaves the site in FP32 (such a model trains, but has no integer program).
    """

    site: str
    bits: int | None = None
    observer: ObserverConfig | None = None
    scales: Scales | None = None


@dataclass(frozen=True)
class QuantScheme:
    """A quantization scheme; the default is FP32: every site passes its input through.

    Attributes:
        name: `fp32`, `qat`, `nqat`, `dq` or your own word; only for people and folders.
        bits: 2 to 8, or 32 for FP32.
        weight_bits: those of weights and attention vectors; None: `bits`.
        first_bits: those of the first part of a network, the embedding, or what the first convolution reads; None: as
            elsewhere.
        last_bits: those of the last part, the readout or classifier, or the logits; None: as elsewhere.
        skip_bits: those of residual sums, which carry rows past layers; None: as elsewhere.
        symmetric: signed grids have zero in the middle, so that no zero point is other than 0.
        power_of_two: scales are rounded up to powers of two, except those of columns.
        weight_scales: `tensor`: a weight has one scale, tracked as `observer` says; `column`: one a column (output
            feature), from its largest magnitude (see `ColumnScales`).
        activation_scales: `tensor`: values have one grid a site; `feature`: one a feature where what reads them acts
            feature by feature, as a BatchNorm does (see `FeatureScales`); elsewhere one a site.
        overrides: in order; of every setting the first rule that matches a site and has it decides.

    Raises:
        ValueError: on bits outside 2..8 and 32, or a setting that has no effect.
    """

    name: str = "fp32"
    bits: int = 32
    weight_bits: int | None = None
    first_bits: int | None = None
    last_bits: int | None = None
    skip_bits: int | None = None
    symmetric: bool = False
    power_of_two: bool = False
    gradient: Gradient = "gc"
    observer: ObserverConfig = field(default_factory=ObserverConfig)
    noise: NoiseConfig | None = None
    protection: ProtectionConfig | None = None
    weight_scales: Literal["tensor", "column"] = "tensor"
    activation_scales: Scales = "tensor"
    overrides: list[SiteOverride] = field(default_factory=list)

    def __post_init__(self) -> None:
        of_rules = [("overrides: bits", rule.bits) for rule in self.overrides]
        for setting, bits in [*self._widths.items(), *of_rules]:
            if bits not in (None, 32):
                try:
                    code_limits(bits, signed=True)
                except ValueError as problem:
                    raise ValueError(str(problem).replace("bits", setting, 1)) from None
        if not self.quantizes and all(bits in (None, 32) for _, bits in of_rules):
            self._check_fp32()
        elif self.weight_scales == "column" and not self._quantizes_weights:
            raise ValueError("weight_scales: column has no effect where weights are in FP32; give weight_bits")

    def _check_fp32(self) -> None:
        """Refuses settings other than names and bits where everything is in FP32, as nothing reads them."""
        names = [of_field.name for of_field in fields(self) if of_field.name not in ("name", *self._widths)]
        for name in names:
            if getattr(self, name) != default_of(QuantScheme, name):
                raise ValueError(f"{name}: has no effect where everything is in FP32: give bits or weight_bits")

    @property
    def _quantizes_weights(self) -> bool:
        """Whether weights may have bits: those of the scheme, of a part, or of a rule for single sites."""
        of_parts = [self.bits_of("parameter", part) for part in get_args(Part)]
        return any(bits not in (None, 32) for bits in [*of_parts, *(rule.bits for rule in self.overrides)])

    @property
    def _widths(self) -> dict[str, int | None]:
        settings = ("bits", "weight_bits", "first_bits", "last_bits", "skip_bits")
        return {setting: getattr(self, setting) for setting in settings}

    @property
    def quantizes(self) -> bool:
        """False for FP32."""
        return any(bits not in (None, 32) for bits in self._widths.values())

    def bits_of(self, domain: Domain, part: Part) -> int:
        """Bits of the sites of a domain in a part of the network, before `overrides`."""
        of_part = {"first": self.first_bits, "last": self.last_bits, "skip": self.skip_bits}.get(part)
        of_domain = self.weight_bits if domain == "parameter" else None
        return next(bits for bits in (of_part, of_domain, self.bits) if bits is not None)


@dataclass(frozen=True)
class SiteConfig:
    """The settings of one site after resolution. `noise` is the fraction quantized, or None for all."""

    bits: int
    signed: bool
    gradient: Gradient
    observer: ObserverConfig
    noise: float | None
    symmetric: bool = False
    power_of_two: bool = False
    scales: Scales = "tensor"


def resolve(
    scheme: QuantScheme,
    name: str,
    domain: Domain,
    *,
    signed: bool,
    part: Part = "trunk",
    by_feature: bool = False,
) -> SiteConfig | None:
    """Settings of the site called `name`; None: it stays in FP32.

    Args:
        by_feature: whether what reads the site acts feature by feature.

    Raises:
        ValueError: for scales a feature where they cannot be.
    """
    rules = [rule for rule in scheme.overrides if fnmatchcase(name, rule.site)]
    bits = next((rule.bits for rule in rules if rule.bits is not None), scheme.bits_of(domain, part))
    if bits == 32:
        return None
    observer = next((rule.observer for rule in rules if rule.observer is not None), scheme.observer)
    if observer.statistic == "percentile" and observer.percentile is None:
        observer = replace(observer, percentile=percentile_for(bits))
    noise = scheme.noise
    noisy = noise is not None and (noise.sites == "all" or domain == "parameter")
    return SiteConfig(
        bits=bits,
        signed=signed,
        gradient=scheme.gradient,
        observer=observer,
        noise=noise.fraction if noise and noisy else None,
        symmetric=scheme.symmetric,
        power_of_two=scheme.power_of_two,
        scales=scales_of(scheme, rules, name, observer, by_feature=by_feature),
    )


def scales_of(
    scheme: QuantScheme, rules: list[SiteOverride], name: str, observer: ObserverConfig, *, by_feature: bool
) -> Scales:
    """Whether a site has a scale a feature; a rule for a role means those of its sites that can have one.

    Raises:
        ValueError: if a rule asks for it where it cannot be.
    """
    rule = next((rule for rule in rules if rule.scales is not None), None)
    scales = rule.scales if rule and rule.scales else scheme.activation_scales
    if scales == "tensor":
        return "tensor"
    if not by_feature:
        if rule and rule.site != f"*.{name.rpartition('.')[2]}":
            raise ValueError(
                f"overrides: site {name} cannot have a scale a feature: what reads it mixes features or needs an exact "
                "zero; only what a BatchNorm before an activation reads, or what is summed up to one, can have one"
            )
        return "tensor"
    if observer.accumulation == "learned":
        raise ValueError(f"site {name}: learned ranges have one step a site; leave out scales a feature, or learned")
    return "feature"
