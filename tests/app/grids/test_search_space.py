from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from app.config.cells import select
from app.config.lightning_cli import CellCLI
from app.grids.search_space import Parameter, as_settings, defaults, search_space

COMMON = ["lr", "weight_decay", "architecture.dropout"]
MOMENTUM = "--model.scheme.observer.accumulation=momentum"
Space = Callable[..., list[Parameter]]


@pytest.fixture
def space_of(tmp_path: Path) -> Space:
    """The search space of a cell, with overrides."""

    def build(cell: str, *words: str) -> list[Parameter]:
        files = [word for path in select(cell)[0].config_files for word in ("--config", str(path))]
        return search_space(yaml.safe_load(CellCLI([*files, *words], tmp_path).resolved()))

    return build


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize(
    ("cell", "words", "more"),
    [
        ("synthetic/gcn/fp32", (), []),
        ("synthetic/gcn/qat_int8", (), []),
        ("synthetic/gcn/qat_int8", (MOMENTUM,), ["scheme.observer.momentum"]),
        (
            "synthetic/gcn/dq_int4",
            (),
            ["scheme.protection.p_min", "scheme.protection.width", "scheme.observer.percentile"],
        ),
    ],
)
def test_only_what_has_an_effect_in_a_cell_is_searched(
    space_of: Space, cell: str, words: tuple[str, ...], more: list[str]
) -> None:
    assert [parameter.key.removeprefix("model.") for parameter in space_of(cell, *words)] == [*COMMON, *more]


@pytest.mark.filterwarnings("ignore:.*")
def test_the_defaults_are_what_the_cell_does(space_of: Space) -> None:
    space = space_of("synthetic/gcn/dq_int4")
    assert set(defaults(space)) == {parameter.key for parameter in space}
    settings = as_settings(defaults(space))
    assert settings["model.scheme.protection.p_max"] == 0.1
    assert settings["model.scheme.observer.percentile"] == 1.0, "what the bits say where the cell says nothing"


def test_a_default_outside_the_range_is_left_out() -> None:
    space = [Parameter("outside", 1.0, 2.0, 3.0), Parameter("none", 1.0, 2.0, None), Parameter("inside", 1.0, 2.0, 1.0)]
    assert defaults(space) == {"inside": 1.0}


def test_the_width_becomes_p_max() -> None:
    point = {"model.lr": 0.1, "model.scheme.protection.p_min": 0.1, "model.scheme.protection.width": 0.05}
    assert as_settings(point) == {
        "model.lr": 0.1,
        "model.scheme.protection.p_min": 0.1,
        "model.scheme.protection.p_max": pytest.approx(0.15),
    }
