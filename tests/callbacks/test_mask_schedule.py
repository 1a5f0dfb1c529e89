from __future__ import annotations

import numpy as np
import pytest
import pytorch_lightning as pl

from callbacks import MaskSchedule
from models.quantization.control import protections


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"p_min": 0.2, "p_max": 0.1}, "expected 0 <= p_min <= p_max <= 1, got p_min=0.2, p_max=0.1"),
        ({"p_max": 1.1}, "p_max=1.1"),
        ({"start_epoch": 5}, "MaskSchedule: expected 0 <= start_epoch < end_epoch, got 5, 5"),
        ({"start_epoch": -1}, "MaskSchedule: .* got -1, 5"),
    ],
)
def test_values_outside_their_range_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        MaskSchedule(**{"p_min": 0.0, "p_max": 0.1, "start_epoch": 0, "end_epoch": 5, **arguments})


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, (0.0, 0.2)), (2, (0.0, 0.2)), (4, (0.1, 0.4)), (6, (0.2, 0.6)), (60, (0.2, 0.6))]
)
def test_mask_schedule_is_linear_between_its_epochs(epoch, expected):
    schedule = MaskSchedule(0.2, 0.6, start_epoch=2, end_epoch=6)
    assert schedule.probabilities(epoch, (0.0, 0.2)) == pytest.approx(expected)


@pytest.mark.parametrize(("p_min", "p_max"), [(0.0, 0.0), (0.3, 0.9)])
def test_mask_schedule_reaches_its_end_values(p_min, p_max, make_task, fit, diary):
    task = make_task("dq")
    notes = diary(lambda model: [p.item() for masks in protections(model) for p in (masks.p_min, masks.p_max)])
    fit(task, [MaskSchedule(p_min, p_max, start_epoch=1, end_epoch=3), notes], epochs=5)
    expected = [[0.0, 0.1], [0.0, 0.1], [p_min / 2, (0.1 + p_max) / 2], [p_min, p_max], [p_min, p_max]]
    np.testing.assert_allclose(notes.entries, expected, atol=1e-7)


def test_mask_schedule_without_masks_does_nothing(make_task, fit):
    fit(make_task("qat"), [MaskSchedule(0.0, 0.0, start_epoch=0, end_epoch=1)], epochs=1)


@pytest.mark.parametrize(("start_epoch", "silent"), [(0, True), (1, False), (9, False)])
def test_a_schedule_that_begins_after_the_last_epoch_is_said(start_epoch, silent, tmp_path, recwarn):
    trainer = pl.Trainer(accelerator="cpu", max_epochs=2, logger=False, default_root_dir=tmp_path)
    MaskSchedule(0.0, 0.0, start_epoch=start_epoch, end_epoch=10).on_fit_start(trainer, pl.LightningModule())
    told = [str(warning.message) for warning in recwarn if "MaskSchedule" in str(warning.message)]
    beyond = f"MaskSchedule: has no effect, changes begin after epoch {start_epoch} (start_epoch), the last of 2 is 1"
    assert told == ([] if silent else [beyond])
