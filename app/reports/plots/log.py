"""What a run logged for TensorBoard, over epochs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.runs.run_folder import Run

Curve = tuple[np.ndarray, np.ndarray]
"""Epochs, ascending and counted from 1, and the value at each."""


class Log:
    """The scalars of a run by their tag."""

    def __init__(self, run: Run) -> None:
        self._events = EventAccumulator(str(run.board), {"scalars": 0}).Reload()
        self.tags: list[str] = self._events.Tags()["scalars"]
        epochs = {event.step: event.value for event in self._events.Scalars("epoch")} if "epoch" in self.tags else {}
        self._steps = np.array(sorted(epochs))
        self._epochs = np.array([epochs[step] + 1 for step in sorted(epochs)])  # Lightning counts from 0

    @classmethod
    def of(cls, run: Run) -> Log | None:
        """Reads the log of a run; None if it has none."""
        return cls(run) if run.board.is_dir() else None

    def named(self, kind: str) -> Iterator[str]:
        """Yields the names of what was logged of a kind: `convs.0.inputs` for `scale/convs.0.inputs`."""
        return (tag.partition("/")[2] for tag in sorted(self.tags) if tag.startswith(f"{kind}/"))

    def curve(self, tag: str) -> Curve:
        """Returns the values of a tag over epochs, of repeated steps the last; empty without any."""
        found = {event.step: event.value for event in self._events.Scalars(tag)} if tag in self.tags else {}
        steps = np.array(sorted(found))
        values = np.array([found[step] for step in sorted(found)])
        known = len(steps) > 0 and len(self._steps) > 0
        return (np.interp(steps, self._steps, self._epochs) if known else steps), values

    def last(self, tag: str) -> float | None:
        """Returns the last value of a tag; None without any."""
        values = self.curve(tag)[1]
        return float(values[-1]) if len(values) else None
