"""Which results count in a table: those of runs that were trained with the settings it states."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence, Sized

from app.config.grids import Grid, Slot
from app.config.stated import contradictions, stated
from app.reports.results import Results
from app.runs.result import Result


def counted(grid: Grid, results: Results, overrides: Sequence[str] = (), *, tell: bool = True) -> Results:
    """Returns the results that count in the table of a grid, and names the others in lines on standard error (`tell`).

    Those from a summary do not tell their settings, and count.

    Args:
        overrides: further words of the command line with which the runs were trained.
    """
    found: Results = {}
    told: list[str] = []
    for name, slot in {slot.name: slot for slot in grid.slots if slot.name in results}.items():
        differing = differing_runs(slot, results[name], overrides)
        told += other_settings(results[name], differing)
        if runs := [run for number, run in enumerate(results[name]) if number not in differing]:
            found[name] = runs
    if tell:
        for line in told:
            print(f"{grid.name}: left out {line}", file=sys.stderr)
    return found


def differing_runs(slot: Slot, runs: Sequence[Result], overrides: Sequence[str]) -> dict[int, list[str]]:
    """Returns, by the number of every run with other settings than a slot states, in what they differ."""
    settings = {number: run["settings"] for number, run in enumerate(runs) if run.get("settings")}
    if not settings:
        return {}
    files = [f"--config={path}" for path in slot.cell.config_files]
    said = stated([*files, *slot.overrides, *overrides])
    found = {number: list(contradictions(said, trained_with)) for number, trained_with in settings.items()}
    return {number: differing for number, differing in found.items() if differing}


def other_settings(runs: Sequence[Result], differing: Mapping[int, Sequence[str]]) -> list[str]:
    """Returns a line about the runs of a cell that were trained with other settings, if there are any."""
    if not differing:
        return []
    first = next(iter(differing))
    settings = "; ".join(differing[first][:3])
    return [f"{runs[first]['folder']}{and_more(differing)}, trained with other settings: {settings}"]


def and_more(found: Sized) -> str:
    """Returns how many there are besides the first, as words."""
    return f" and {len(found) - 1} more" if len(found) > 1 else ""
