from __future__ import annotations

import pytest
import pytorch_lightning as pl

from callbacks import RangeTracker
from models.quantization.control import quantizers, set_observing
from models.quantization.qconfig import ObserverConfig


def test_values_outside_their_range_are_refused():
    with pytest.raises(ValueError, match="RangeTracker: freeze_epoch must be at least 1, got 0"):
        RangeTracker(0)


def test_range_tracker_says_in_which_epochs_trackers_run():
    assert [RangeTracker(2).observing_in(epoch) for epoch in range(4)] == [True, True, False, False]
    assert all(RangeTracker().observing_in(epoch) for epoch in (0, 10**6))


@pytest.mark.parametrize("freeze_epoch", [None, 2])
def test_range_tracker_freezes_ranges(freeze_epoch, make_task, fit, diary):
    task = make_task("qat", observer=ObserverConfig(accumulation="momentum", momentum=0.5))
    notes = diary(lambda model: [site.observer.bounds for site in quantizers(model)])
    fit(task, [RangeTracker(freeze_epoch), notes], epochs=5)
    moved = [old != new for old, new in zip(notes.entries, notes.entries[1:], strict=False)]
    assert moved == ([True] * 4 if freeze_epoch is None else [True, False, False, False])


def test_range_tracker_thaws_what_a_checkpoint_froze(make_task, fit):
    task = make_task("qat")
    set_observing(task, observing=False)
    fit(task, [RangeTracker()], epochs=1)
    assert all(site.observing and site.observer.bounds for site in quantizers(task))


@pytest.mark.parametrize(("freeze_epoch", "silent"), [(None, True), (1, True), (2, False), (9, False)])
def test_a_freeze_after_the_last_epoch_is_said(freeze_epoch, silent, tmp_path, recwarn):
    trainer = pl.Trainer(accelerator="cpu", max_epochs=2, logger=False, default_root_dir=tmp_path)
    RangeTracker(freeze_epoch).on_fit_start(trainer, pl.LightningModule())
    told = [str(warning.message) for warning in recwarn if "RangeTracker" in str(warning.message)]
    beyond = f"RangeTracker: freezes no ranges, freeze_epoch is {freeze_epoch}, the last of 2 epochs is 1"
    assert told == ([] if silent else [beyond])
