from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

pytest.importorskip("optuna")

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial

from app.config.cells import select
from app.config.lightning_cli import CellCLI
from app.errors import UserError
from app.grids.search_space import Parameter, as_settings, defaults, read_space, search_space

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


def test_a_space_of_ones_own_has_ranges_whole_numbers_and_choices(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        "model.lr: {low: 1.0e-3, high: 0.1, log: true}\nmodel.scheme.bits: {low: 4, high: 8}\ndata.kind: [a, b]"
    )
    settings = {"model": {"init_args": {"lr": 0.5, "scheme": {"bits": 6}}}, "data": {"init_args": {"kind": "b"}}}
    rate, bits, kind = space = read_space(path, settings)
    assert defaults(space) == {"model.scheme.bits": 6, "data.kind": "b"}, "0.5 is outside the range"
    assert [parameter.range for parameter in space] == [[1e-3, 0.1], [4, 8], ["a", "b"]]
    trial = FixedTrial({"model.lr": 0.01, "model.scheme.bits": 5, "data.kind": "a"})
    assert [parameter.suggest(trial) for parameter in (rate, bits, kind)] == [0.01, 5, "a"]
    assert [type(trial.distributions[p.key]) for p in space] == [
        FloatDistribution, IntDistribution, CategoricalDistribution,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{}", "names no setting"),
        ("model.lr: 3", "model.lr: expected a list of values or {low: 1, high: 9, log: true}, got 3"),
        ("model.lr: {low: 1}", "model.lr: expected a list of values or"),
        ("model.lr: {low: 1, high: 2, step: 3}", "model.lr: expected a list of values or"),
        ("model.lr: {low: a, high: 2}", "model.lr: expected a list of values or"),
        ("model.lr: []", "model.lr: expected a list of values or"),
        ("model.lr: {low: 2, high: 1}", "model.lr: expected low < high, above 0 with log, got 2 and 1"),
        ("model.lr: {low: 0, high: 1, log: true}", "model.lr: expected low < high, above 0 with log, got 0 and 1"),
    ],
)
def test_what_is_no_space_is_told(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "space.yaml").write_text(content)
    with pytest.raises(UserError, match=re.escape(told)):
        read_space(tmp_path / "space.yaml", {})
