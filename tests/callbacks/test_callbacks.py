"""Each callback: what its constructor refuses, what its getter says, what it does in a real fit."""

from __future__ import annotations

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from app.engine import load_program
from app.engine.program.io import read_program
from callbacks import ExportInt8, MaskSchedule, ModelSize, PercentileSampling, RangeMonitor, RangeSync, RangeTracker
from callbacks.model_size import bytes_at, layer_sizes
from callbacks.range_monitor import clipped_share
from models.quantization.control import protections, quantizers, set_observing
from models.quantization.qconfig import ObserverConfig, QuantScheme
from models.quantization.sites import Sites


class Diary(pl.Callback):
    """Writes down something about the model at the end of every training epoch."""

    def __init__(self, look):
        self.look, self.entries = look, []

    def on_train_epoch_end(self, trainer, pl_module):
        self.entries.append(self.look(pl_module))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: RangeTracker(0), "RangeTracker: freeze_epoch must be at least 1, got 0"),
        (lambda: MaskSchedule(0.2, 0.1, 0, 5), "expected 0 <= p_min <= p_max <= 1, got p_min=0.2, p_max=0.1"),
        (lambda: MaskSchedule(0.0, 1.1, 0, 5), "p_max=1.1"),
        (lambda: MaskSchedule(0.0, 0.1, 5, 5), "MaskSchedule: expected 0 <= start_epoch < end_epoch, got 5, 5"),
        (lambda: MaskSchedule(0.0, 0.1, -1, 5), "MaskSchedule: .* got -1, 5"),
        (lambda: PercentileSampling(0), "PercentileSampling: all arguments must be at least 1, got 0"),
        (lambda: PercentileSampling(10, 0), "PercentileSampling: .* got 10, 0"),
        (lambda: PercentileSampling(10, 10, 0), "PercentileSampling: .* got 10, 10, 0"),
        (lambda: RangeMonitor(0), "RangeMonitor: every_n_epochs must be at least 1, got 0"),
    ],
)
def test_schedules_are_checked_when_they_are_made(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_range_tracker_says_in_which_epochs_trackers_run():
    assert [RangeTracker(2).observing_in(epoch) for epoch in range(4)] == [True, True, False, False]
    assert all(RangeTracker().observing_in(epoch) for epoch in (0, 10**6))


@pytest.mark.parametrize("freeze_epoch", [None, 2])
def test_range_tracker_freezes_ranges(freeze_epoch, make_task, fit):
    task = make_task("qat", observer=ObserverConfig(accumulation="momentum", momentum=0.5))
    diary = Diary(lambda model: [site.observer.bounds for site in quantizers(model)])
    fit(task, [RangeTracker(freeze_epoch), diary], epochs=5)
    moved = [old != new for old, new in zip(diary.entries, diary.entries[1:], strict=False)]
    assert moved == ([True] * 4 if freeze_epoch is None else [True, False, False, False])


def test_range_tracker_thaws_what_a_checkpoint_froze(make_task, fit):
    task = make_task("qat")
    set_observing(task, observing=False)
    fit(task, [RangeTracker()], epochs=1)
    assert all(site.observing and site.observer.bounds for site in quantizers(task))


def test_mask_schedule_is_linear_between_its_epochs():
    schedule = MaskSchedule(0.2, 0.6, start_epoch=2, end_epoch=6)
    assert schedule.probabilities(0, (0.0, 0.2)) == (0.0, 0.2)
    assert schedule.probabilities(2, (0.0, 0.2)) == (0.0, 0.2)
    assert schedule.probabilities(4, (0.0, 0.2)) == pytest.approx((0.1, 0.4))
    assert schedule.probabilities(6, (0.0, 0.2)) == pytest.approx((0.2, 0.6))
    assert schedule.probabilities(60, (0.0, 0.2)) == pytest.approx((0.2, 0.6))


@pytest.mark.parametrize(("p_min", "p_max"), [(0.0, 0.0), (0.3, 0.9)])
def test_mask_schedule_reaches_its_end_values(p_min, p_max, make_task, fit):
    task = make_task("dq")
    diary = Diary(lambda model: [p.item() for masks in protections(model) for p in (masks.p_min, masks.p_max)])
    fit(task, [MaskSchedule(p_min, p_max, 1, 3), diary], epochs=5)
    expected = [[0.0, 0.1], [0.0, 0.1], [p_min / 2, (0.1 + p_max) / 2], [p_min, p_max], [p_min, p_max]]
    np.testing.assert_allclose(diary.entries, expected, atol=1e-7)


def test_mask_schedule_without_masks_does_nothing(make_task, fit):
    fit(make_task("qat"), [MaskSchedule(0.0, 0.0, 0, 1)], epochs=1)


def test_percentile_sampling_is_geometric_between_its_ends():
    sampling = PercentileSampling(100, 10_000, 4)
    assert [sampling.sample_in(epoch) for epoch in (0, 1, 2, 3, 4, 40)] == [100, 316, 1000, 3162, 10_000, 10_000]


def test_percentile_sampling_sets_all_trackers(make_task, fit):
    task = make_task("dq")
    diary = Diary(lambda model: {site.observer.sample for site in quantizers(model)})
    fit(task, [PercentileSampling(100, 400, 2), diary], epochs=4)
    assert diary.entries == [{100}, {200}, {400}, {400}]


def test_range_monitor_logs_every_site_in_due_epochs(make_task, fit, board):
    task = make_task("dq", 4)
    monitor = RangeMonitor(every_n_epochs=2)
    diary = Diary(lambda model: {site.name: site.grid() for site in quantizers(model)})
    fit(task, [monitor, diary], epochs=5, log=True)
    events = board()
    names = [site.name for site in quantizers(task)]
    for name in names:
        for kind, read in (("scale", lambda grid: grid.scale), ("zero_point", lambda grid: grid.zero_point)):
            logged = events.Scalars(f"{kind}/{name}")
            assert [event.step for event in logged] == [0, 2, 4]
            expected = [read(diary.entries[epoch][name]) for epoch in (0, 2, 4)]
            np.testing.assert_allclose([event.value for event in logged], expected, rtol=1e-6)
        assert [event.step for event in events.Scalars(f"clipped/{name}")] == [0, 2, 4]
        assert all(0.0 <= event.value < 1.0 for event in events.Scalars(f"clipped/{name}"))
        assert (
            events.Scalars(f"collapsed/{name}")[-1].value
            == {site.name: site.observer.collapsed.item() for site in quantizers(task)}[name]
        )
    assert any(event.value > 0 for name in names for event in events.Scalars(f"clipped/{name}"))
    tags = set(events.Tags()["histograms"])
    assert tags == {f"weights/{name}" for name, _ in task.named_parameters()}
    histogram = events.Histograms("weights/network.convs.0.weight")[-1]
    weight = dict(task.named_parameters())["network.convs.0.weight"]
    assert histogram.step == 4
    assert histogram.histogram_value.num == weight.numel()
    assert not any(site._forward_hooks for site in quantizers(task))


def test_range_monitor_without_a_board_or_quantizers_is_silent(make_task, fit, board):
    fit(make_task("qat"), [RangeMonitor(1)], epochs=1)
    fit(make_task("fp32"), [RangeMonitor(1)], epochs=1, log=True)
    assert not [tag for tag in board().Tags()["scalars"] if tag.startswith(("scale", "clipped"))]


def test_clipped_share_counts_codes_that_were_clamped():
    site = Sites(QuantScheme("test", 4))("update", "node")
    site(torch.linspace(-8.0, 7.0, 16))
    grid = site.grid()
    inside = (torch.arange(grid.qmin, grid.qmax + 1) - grid.zero_point) * grid.scale
    assert clipped_share(site, inside) == 0.0
    assert clipped_share(site, torch.cat([inside, inside[-1:] + 0.4 * grid.scale])) == 0.0
    assert clipped_share(site, torch.cat([inside[:2], inside[-1:] + 0.6 * grid.scale, inside[:1] - 9])) == 0.5
    assert clipped_share(site, torch.empty(0, 4)) == 0.0


@pytest.mark.parametrize("architecture", ["gcn", "gat", "gin"])
def test_model_size_counts_every_parameter_once(architecture, make_task):
    task = make_task("qat", 4, architecture)
    rows = layer_sizes(task)
    total = sum(p.numel() for p in task.parameters())
    assert sum(row[2] for row in rows) == total
    assert sum(row[3] for row in rows) == 4 * total
    matrices = sum(p.numel() for p in task.parameters() if p.dim() > 1)
    halves = sum((p.numel() + 1) // 2 for p in task.parameters() if p.dim() > 1)
    assert sum(row[4] for row in rows) == halves + 4 * (total - matrices)
    for name, bits in (("qat", 8), ("fp32", 32)):
        stored = sum(row[4] for row in layer_sizes(make_task(name, bits, architecture)))
        assert stored == matrices * (1 if bits == 8 else 4) + 4 * (total - matrices)


@pytest.mark.parametrize(("numel", "bits", "size"), [(7, 32, 28), (7, 8, 7), (7, 5, 7), (7, 4, 4), (7, 2, 4)])
def test_bytes_at(numel, bits, size):
    assert bytes_at(numel, bits) == size


def test_model_size_is_printed_before_training(make_task, fit, capsys):
    fit(make_task("qat"), [ModelSize()], epochs=1, enable_progress_bar=True)
    printed = capsys.readouterr().out
    assert "network.convs.0" in printed
    assert f"{sum(p.numel() for p in make_task('qat').parameters()):,}" in printed


def test_model_size_is_silent_in_a_quiet_run(make_task, fit, capsys):
    fit(make_task("qat"), [ModelSize()], epochs=1)
    assert "network.convs.0" not in capsys.readouterr().out


@pytest.mark.parametrize("bits", [8, 4])
def test_export_writes_a_program_that_predicts_what_the_best_epoch_did(bits, make_task, fit, data, tmp_path):
    task = make_task("dq", bits)
    best = ModelCheckpoint(tmp_path / "checkpoints", monitor="val/accuracy", mode="max", save_top_k=1)
    fit(task, [best, ExportInt8(str(tmp_path / "exported"))], epochs=6, enable_checkpointing=True)
    executable = load_program(tmp_path / "exported")
    assert executable.manifest["scheme"] == "dq"
    assert executable.manifest["bits"] == bits
    assert executable.manifest["architecture"] == "GCN"
    task.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
    batch = data.graph_data
    with torch.no_grad():
        logits = task.eval()(batch).numpy()
    got = executable.run(batch.x, batch.edge_index)
    step = list(quantizers(task))[-1].grid().scale
    assert np.abs(got - logits).max() <= 1.001 * step
    assert (got != logits).mean() < 0.01


def test_export_takes_the_current_weights_where_nothing_is_monitored(make_task, fit, data, tmp_path):
    task = make_task("qat")
    fit(task, [ExportInt8()], epochs=2)
    program = read_program(tmp_path / "program")
    assert "checkpoint_sha256" not in program.manifest
    expected = task.network.convs[0].weights.codes(task.network.convs[0].weight).T.numpy()
    np.testing.assert_array_equal(program.constants["convs.0.weights"], expected)


def test_export_passes_fp32_models_over(make_task, fit, tmp_path):
    fit(make_task("fp32"), [ExportInt8()], epochs=1)
    assert not (tmp_path / "program").exists()


def test_ranges_are_synchronised_after_every_training_step(make_task, fit, monkeypatch):
    calls = []
    monkeypatch.setattr("callbacks.range_sync.synchronise_ranges", calls.append)
    task = make_task("qat")
    fit(task, [RangeSync()], epochs=3)
    assert calls == [task] * 3


def test_all_callbacks_together_leave_training_as_it_is(make_task, fit):
    """None of them draws random numbers or touches a weight."""
    states = []
    for callbacks in ([], [RangeTracker(), RangeSync(), PercentileSampling(), RangeMonitor(1), ModelSize()]):
        torch.manual_seed(5)
        task = make_task("dq")
        fit(task, callbacks, epochs=3, log=bool(callbacks))
        states.append(task.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
