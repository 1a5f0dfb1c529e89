from __future__ import annotations

import pytest

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
