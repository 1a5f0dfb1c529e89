"""Shows the progress of the runs of a table, read from their folders, so that of all processes on all hosts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.cli.process import meanwhile
from app.errors import UserError
from app.reports.results import score_of
from app.runs.result import Result
from app.runs.run_folder import Run

NEWS_EVERY = 2.0
"""Seconds between two looks, where there is no live table."""


class Progress:
    """How many runs of a plan are finished, running and failed, what they measured, and the time left.

    Args:
        title: of the table.
        plan: name and seed of every run.
        root: the runs' root.
        jobs: runs at once, for the estimate of the time left.
    """

    def __init__(self, title: str, plan: Sequence[tuple[str, int]], root: Path, jobs: int) -> None:
        self.title, self.jobs = title, jobs
        self.runs = [Run.of(root, name, seed) for name, seed in plan]
        self.names = [name for name, _ in plan]
        self._results: dict[Run, Result] = {}
        self._told: set[Run] = set()
        self.damaged: dict[Run, str] = {}  # runs whose result cannot be read, and what to do

    def table(self) -> Group:
        """Returns a table with a row per cell, and the time left below it."""
        states = self._states()
        return Group(self._lines(states, list(dict.fromkeys(self.names))), Text(self._summary(Counter(states))))

    def live(self) -> Group:
        """Returns the time left, and a table with the running cells first, for screens that are too small for all."""
        states = self._states()
        running = [name for name, state in zip(self.names, states, strict=True) if state == "running"]
        lines = self._lines(states, list(dict.fromkeys([*running, *self.names])))
        return Group(Text(self._summary(Counter(states))), lines)

    def news(self) -> list[str]:
        """Returns a line for every run that has ended since the last call."""
        states = self._states()
        lines = []
        for run, name, state in zip(self.runs, self.names, states, strict=True):
            if state in ("finished", "failed") and run not in self._told:
                self._told.add(run)
                score = score_of(self._results[run]) if run in self._results else None
                found = f"{score.metric} {score.value:.{score.decimals}f}" if score else "failed"
                lines.append(f"{name} {run.directory.name}: {found}; {self._summary(Counter(states))}")
        return lines

    def _states(self) -> list[str]:
        states = [run.state for run in self.runs]
        for run, state in zip(self.runs, states, strict=True):
            if state == "finished" and run not in self._results:
                try:
                    self._results[run] = run.read_result()
                except (UserError, OSError) as problem:
                    self.damaged[run] = str(problem)
        return ["failed" if run in self.damaged else state for run, state in zip(self.runs, states, strict=True)]

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

    def _results_of(self, name: str) -> list[Result]:
        pairs = zip(self.runs, self.names, strict=True)
        return [self._results[run] for run, other in pairs if other == name and run in self._results]

    def _so_far(self, name: str) -> str:
        results = self._results_of(name)
        if not results:
            return ""
        score = score_of(results[0])
        return score.summary([score_of(result).value for result in results])

    def _summary(self, count: Counter[str]) -> str:
        done = f"{count['finished']} of {len(self.runs)} runs finished, {count['failed']} failed"
        if not count["open"] and not count["running"]:
            return done
        seconds = self.seconds_left()
        return done + (f"; about {seconds / 60:.0f} min left" if seconds is not None else "")

    def seconds_left(self) -> float | None:
        """Estimates the time left from finished runs of the same cell, or else of all cells; None without any."""
        durations = {
            name: [_seconds(result) for result in self._results_of(name)] for name in dict.fromkeys(self.names)
        }
        known = [seconds for values in durations.values() for seconds in values]
        if not known:
            return None
        pairs = zip(self.runs, self.names, strict=True)
        left = [name for run, name in pairs if run not in self._results and run.state != "failed"]
        return sum(mean(durations[name] or known) for name in left) / self.jobs


@contextmanager
def shown(progress: Progress, console: Console) -> Iterator[None]:
    """Shows the progress during the block: on a terminal a table, elsewhere a line for every run that ends."""
    if console.is_terminal:
        with Live(get_renderable=progress.live, console=console, refresh_per_second=0.5, transient=True):
            yield
        return
    with told(progress.news, console):
        yield


@contextmanager
def told(news: Callable[[], list[str]], console: Console) -> Iterator[None]:
    """Prints what is new during the block, line by line; passes over what was there before."""
    news()

    def print_news() -> None:
        for line in news():
            console.print(line, highlight=False, soft_wrap=True)

    try:
        with meanwhile(print_news, every=NEWS_EVERY):
            yield
    finally:
        print_news()


def _seconds(result: Result) -> float:
    durations = result["durations"]
    return durations["fit"] + durations["evaluate"]
