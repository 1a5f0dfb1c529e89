from __future__ import annotations

import csv
from typing import NamedTuple

import numpy as np
import pytest
import torch
from pytorch_lightning.loggers import CSVLogger

from callbacks import RangeMonitor, range_monitor
from callbacks.range_monitor import count_clipped, layout
from models.quantization.control import quantizers
from models.quantization.qconfig import QuantScheme
from models.quantization.sites import Sites


class Logged(NamedTuple):
    """What was trained, by site the grids of each epoch, and what was logged."""

    task: torch.nn.Module
    grids: list[dict]
    events: object


@pytest.fixture
def logged(make_task, fit, board, diary, monkeypatch) -> Logged:
    """Five epochs at 4 bits, logged in every second one."""
    monkeypatch.setattr(range_monitor, "LOGS", 2)
    task = make_task("dq", 4)
    notes = diary(lambda model: {site.name: site.grid() for site in quantizers(model)})
    fit(task, [RangeMonitor(every_n_epochs=2), notes], epochs=5, log=True)
    return Logged(task, notes.entries, board())


@pytest.mark.parametrize(
    ("epochs", "logged"),
    [
        (200, range(0, 200, 20)),
        (40, range(0, 40, 4)),
        (15, range(15)),
        (1, [0]),
        (None, [0, 20, 40]),
        (-1, [0, 20, 40]),
    ],
)
def test_short_trainings_are_logged_as_often_as_long_ones(epochs: int | None, logged) -> None:
    monitor = RangeMonitor()
    count = epochs if epochs and epochs > 0 else 41
    assert [epoch for epoch in range(count) if monitor.due(epoch, epochs)] == list(logged)


def test_values_outside_their_range_are_refused():
    with pytest.raises(ValueError, match="RangeMonitor: every_n_epochs must be at least 1, got 0"):
        RangeMonitor(0)


@pytest.mark.parametrize("part", ["scale", "zero_point"])
def test_grids_of_all_sites_are_logged_in_due_epochs(logged, part):
    for name in logged.grids[0]:
        found = logged.events.Scalars(f"{part}/{name}")
        assert [event.step for event in found] == [0, 2, 4]
        expected = [getattr(logged.grids[epoch][name], part) for epoch in (0, 2, 4)]
        np.testing.assert_allclose([event.value for event in found], expected, rtol=1e-6)


def test_clipping_of_all_sites_is_logged_in_due_epochs(logged):
    events = {name: logged.events.Scalars(f"clipped/{name}") for name in logged.grids[0]}
    assert all([event.step for event in found] == [0, 2, 4] for found in events.values())
    values = [event.value for found in events.values() for event in found]
    assert 0.0 <= min(values) < max(values) < 1.0


def test_collapses_of_all_sites_are_logged(logged):
    for site in quantizers(logged.task):
        assert logged.events.Scalars(f"collapsed/{site.name}")[-1].value == site.observer.collapsed.item()


def test_weights_are_logged_as_histograms(logged):
    parameters = dict(logged.task.named_parameters())
    assert set(logged.events.Tags()["histograms"]) == {f"weights/{name}" for name in parameters}
    for name, weight in parameters.items():
        last = logged.events.Histograms(f"weights/{name}")[-1]
        assert (last.step, last.histogram_value.num) == (4, weight.numel())


def test_clipping_is_measured_in_due_epochs_alone(make_task, fit, data, monkeypatch):
    measured = []
    monkeypatch.setattr(range_monitor, "LOGS", 2)
    monkeypatch.setattr(range_monitor, "count_clipped", lambda site, x: measured.append(site.name) or 0)
    task = make_task("dq")
    fit(task, [RangeMonitor(every_n_epochs=2)], epochs=4, log=True)
    sites = [site.name for site in quantizers(task)]
    assert sorted(measured) == sorted(2 * sites)
    task.eval()(data.graph_data)
    assert len(measured) == 2 * len(sites)


def test_nothing_is_logged_without_a_board(make_task, fit, tmp_path):
    fit(make_task("qat"), [RangeMonitor(1)], epochs=1)
    assert list(tmp_path.rglob("events*")) == []


def test_nothing_is_logged_without_quantizers(make_task, fit, board):
    fit(make_task("fp32"), [RangeMonitor(1)], epochs=1, log=True)
    assert not [tag for tag in board().Tags()["scalars"] if tag.startswith(("scale", "clipped"))]


@pytest.fixture
def site():
    """A site whose range was seen to be [-8, 7], at 4 bits."""
    site = Sites(QuantScheme("test", 4))("update", "node")
    site(torch.linspace(-8.0, 7.0, 16))
    return site


@pytest.mark.parametrize(("low", "high", "number"), [(0, 0, 0), (0.4, 0.4, 0), (0, 0.6, 1), (9, 0.6, 2)])
def test_clipped_is_what_lies_more_than_half_a_step_beyond_an_end(site, low, high, number):
    grid = site.grid()
    first, last = ((code - grid.zero_point) * grid.scale for code in (grid.qmin, grid.qmax))
    x = torch.tensor([first, first - low * grid.scale, last, last + high * grid.scale])
    assert count_clipped(site, x) == number


def test_of_an_empty_tensor_nothing_is_clipped(site):
    assert count_clipped(site, torch.empty(0, 4)) == 0


def test_the_sites_of_a_layer_share_a_chart_of_each_kind():
    charts = layout(["convs.0.inputs", "convs.0.mlp.0.inputs", "convs.0.weights", "alone"])
    assert list(charts) == ["convs.0", "convs.0.mlp.0", "alone"]
    assert charts["convs.0"]["clipped"] == ["Multiline", ["clipped/convs.0.inputs$", "clipped/convs.0.weights$"]]


def test_every_log_has_the_ranges_at_the_steps_of_the_metrics(make_task, fit, tmp_path, monkeypatch):
    monkeypatch.setattr(range_monitor, "LOGS", 1)
    fit(make_task("dq", 4), [RangeMonitor(every_n_epochs=2)], epochs=3, logger=CSVLogger(str(tmp_path), name="csv"))
    (table,) = tmp_path.rglob("metrics.csv")
    rows = list(csv.DictReader(table.open()))
    steps = {name: [row["step"] for row in rows if row[name]] for name in ("val/loss", "scale/convs.0.inputs")}
    assert steps == {"val/loss": ["0", "1", "2"], "scale/convs.0.inputs": ["0", "2"]}
