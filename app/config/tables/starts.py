"""Which runs of a table begin with the weights of which: `init_from`, of the entries and of the files of schemes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from app.cli.words import parse
from app.config.cells import files_of
from app.config.settings import read_yaml, value_of
from app.errors import UserError


def check_starts(runs: Mapping[str, Sequence[str]]) -> None:
    """Checks that no runs of a table wait for one another, or one for itself: they would do so for ever.

    Args:
        runs: what goes on top of each cell, as words of the command line, by the names of the folders of runs.

    Raises:
        UserError: naming the runs that do.
    """
    starts = Starts(runs)
    for name in runs:
        chain = [name]
        for start in starts.after(name):
            if start in chain:
                raise UserError(f"init_from: {_circle(chain[chain.index(start) :])}")
            chain.append(start)


def _circle(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} would begin with its own weights; name another run"
    told = ", ".join(f"{one} begins with {other}" for one, other in pairwise([*names, names[0]]))
    return f"{told}: none can be trained first; let one of them begin with another run"


class Starts:
    """What runs begin with, as far as the runs of a table and the files of schemes say it.

    Args:
        runs: as in `check_starts`.
    """

    def __init__(self, runs: Mapping[str, Sequence[str]]) -> None:
        self.runs, self.schemes = runs, files_of("scheme")
        self.read: dict[Path, Any] = {}

    def after(self, name: str) -> Iterator[str]:
        """Yields the run that a run begins with, the one that this one begins with, and so on."""
        start = self.of(name)
        while start is not None:
            yield start
            start = self.of(start)

    def of(self, name: str) -> str | None:
        """Returns the run that a run begins with; None: it begins without, with a place, or nothing says it."""
        network, _, scheme = name.rpartition("/")
        given = [word.value for word in parse(self.runs.get(name, ())) if word.key == "init_from"]
        if given:
            source = value_of(given[-1] or "")
        elif name in self.runs or "+" not in scheme:
            source = self._of_scheme(scheme.partition("+")[0])
        else:  # the variant of another table
            return None
        is_run = isinstance(source, str) and source.partition("+")[0] in self.schemes
        return f"{network}/{source}" if is_run else None

    def _of_scheme(self, scheme: str) -> Any:
        file = self.schemes[scheme]
        if file not in self.read:
            self.read[file] = read_yaml(file, str(file)).get("init_from")
        return self.read[file]
