"""Where layers get their sites from."""

from __future__ import annotations

from models.quantization.column_scales import ColumnScales
from models.quantization.fake_quantize import FakeQuantize, Site
from models.quantization.learned_step import LearnedStep
from models.quantization.qconfig import Domain, QuantScheme, resolve


class Sites:
    """Hands out the sites of a layer: `Sites(scheme)("inputs", "node")`, `.child("convs.0")` for a sublayer."""

    def __init__(self, scheme: QuantScheme, path: str = "") -> None:
        self.scheme, self.path = scheme, path

    def child(self, name: str) -> Sites:
        """Sites of the sublayer called `name`."""
        return Sites(self.scheme, f"{self.path}{name}.")

    def __call__(self, name: str, domain: Domain, signed: bool = True) -> Site:
        """The site called `name`. `signed=False` where the architecture knows that no value is negative."""
        config = resolve(self.scheme, self.path + name, domain, signed)
        if config is None:
            return Site(self.path + name, domain)
        kind = LearnedStep if config.observer.accumulation == "learned" else FakeQuantize
        return kind(self.path + name, domain, config)

    def matrix(self, name: str) -> Site:
        """The site called `name` of a weight [F, F'] that multiplies rows."""
        config = resolve(self.scheme, self.path + name, "parameter", signed=True)
        if config is None or self.scheme.weight_scales == "tensor":
            return self(name, "parameter")
        return ColumnScales(self.path + name, "parameter", config)
