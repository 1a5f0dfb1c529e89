"""All callbacks in one training."""

from __future__ import annotations

import torch

from callbacks import ModelSize, PercentileSampling, RangeMonitor, RangeSync, RangeTracker


def test_all_callbacks_together_leave_training_as_it_is(make_task, fit):
    """None of them draws random numbers or touches a weight."""
    states = []
    for callbacks in ([], [RangeTracker(), RangeSync(), PercentileSampling(), RangeMonitor(1), ModelSize()]):
        torch.manual_seed(5)
        task = make_task("dq")
        fit(task, callbacks, epochs=3, log=bool(callbacks))
        states.append(task.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
