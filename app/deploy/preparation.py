"""Programs that read raw features: `export --with-preprocessing`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.engine.program.model import IntegerProgram
from app.engine.program.preparation import Preparation, with_preparation
from app.errors import UserError
from datamodules.base import GraphDataModule

RAW = "raw, as in the data: the program prepares them"
"""What the card of such a program says of its features; `info` says how they are prepared."""


def steps_of(data: GraphDataModule) -> list[Preparation]:
    """Returns what made the features of a data set of raw ones.

    Raises:
        UserError: if nothing did, so that a program that prepares features would be no other.
    """
    if not data.preparation:
        raise UserError(
            f"--with-preprocessing: {data.name} has no features that are prepared by a fixed function"
            f" ({data.features_are}); leave it out"
        )
    return [Preparation(kind, _attributes(data) if kind == "standardize" else {}) for kind in data.preparation]


def _attributes(data: GraphDataModule) -> dict[str, Any]:
    assert data.scaling is not None, "what is standardised has a scaling"
    scaling = data.scaling.of_width(data.num_features) if len(data.scaling.mean) < data.num_features else data.scaling
    numbers = {name: tuple(column) for name, column in scaling.as_numbers().items()}
    return {**numbers, "single": True} if scaling.single else numbers


def prepared(program: IntegerProgram, steps: list[Preparation]) -> IntegerProgram:
    """Returns a program with steps before its ops, whose card then says that it reads raw features."""
    card = {name: entry for name, entry in program.manifest.items() if name != "scaling"}  # it is in the program
    card["data"] = {**card.get("data", {}), "features": RAW}
    return with_preparation(replace(program, manifest=card), steps)
