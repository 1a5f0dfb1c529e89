"""How far the runs of a table are, read from their folders, so from the work of all processes on all hosts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from app.results import headline
from app.runs import Run


class Progress:
    """What has been done of a plan.

    Args:
        title: of the table.
        plan: name and seed of every run.
        root: the runs' root.
        jobs: processes at work here, for the estimate of the time left.
    """

    def __init__(self, title: str, plan: Sequence[tuple[str, int]], root: Path, jobs: int) -> None:
        self.title, self.jobs = title, jobs
        self.runs = [Run.of(root, name, seed) for name, seed in plan]
        self.names = [name for name, _ in plan]
        self._results: dict[Run, dict[str, Any]] = {}

    def table(self) -> Group:
        """A line per cell, and the time left."""
        states = self._states()
        return Group(self._lines(states, list(dict.fromkeys(self.names))), Text(self._summary(Counter(states))))

    def live(self) -> Group:
        """The time left, and a line per cell, those at work first: what a screen shows that is too small for all."""
        states = self._states()
        running = [name for name, state in zip(self.names, states, strict=True) if state == "running"]
        lines = self._lines(states, list(dict.fromkeys([*running, *self.names])))
        return Group(Text(self._summary(Counter(states))), lines)

    def _states(self) -> list[str]:
        states = [run.state for run in self.runs]
        for run, state in zip(self.runs, states, strict=True):
            if state == "finished" and run not in self._results:
                self._results[run] = run.read_result()
        return list(states)

    def _lines(self, states: Sequence[str], names: Sequence[str]) -> Table:
        table = Table(title=self.title)
        table.add_column("cell", no_wrap=True)
        for column in ("runs", "finished", "running", "failed", "so far"):
            table.add_column(column, justify="right")
        for name in names:
            count = Counter(state for state, other in zip(states, self.names, strict=True) if other == name)
            numbers = (sum(count.values()), count["finished"], count["running"], count["failed"])
            table.add_row(name, *(str(number or "") for number in numbers), self._so_far(name))
        return table

    def _of(self, name: str) -> list[dict[str, Any]]:
        pairs = zip(self.runs, self.names, strict=True)
        return [self._results[run] for run, other in pairs if other == name and run in self._results]

    def _so_far(self, name: str) -> str:
        results = self._of(name)
        if not results:
            return ""
        metric = headline(results[0])
        return metric.text([headline(result).value for result in results])

    def _summary(self, count: Counter[str]) -> str:
        done = f"{count['finished']} of {len(self.runs)} runs finished, {count['failed']} failed"
        if not count["open"] and not count["running"]:
            return done
        seconds = self.seconds_left()
        return done + (f"; about {seconds / 60:.0f} min left" if seconds is not None else "")

    def seconds_left(self) -> float | None:
        """From how long finished runs of the same cell took, or else those of all; None without any."""
        durations = {name: [_seconds(result) for result in self._of(name)] for name in dict.fromkeys(self.names)}
        known = [seconds for values in durations.values() for seconds in values]
        if not known:
            return None
        pairs = zip(self.runs, self.names, strict=True)
        left = [name for run, name in pairs if run not in self._results and run.state != "failed"]
        return sum(mean(durations[name] or known) for name in left) / self.jobs


def _seconds(result: dict[str, Any]) -> float:
    durations = result["durations"]
    return durations["fit"] + durations["evaluate"]
