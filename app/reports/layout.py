"""Layout of a table of results: which cell of the grid stands in which row and column."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.config.grids import Grid
from app.reports.results import Results, score_of

DATA_SETS = ("cora", "citeseer", "mnist", "cifar10", "zinc", "reddit_binary")
"""The paper's data sets in its order; rows are sorted by it, and rows of other data sets come last."""

COMPARED = tuple((f"dq_int{bits}", f"{rival}_int{bits}") for bits in (8, 4) for rival in ("qat", "nqat"))
"""Pairs of columns that are compared where no grid says which."""


@dataclass(frozen=True)
class Placement:
    """Where the results of a cell stand in a table.

    Attributes:
        row: `dataset/architecture`, with the metric behind it where the row's first placement has another one.
        column: the name of a scheme, or what the grid calls it.
        name: of the cell, `dataset/architecture/scheme` with `+variant` where there is one.
        settings: what the variant changes, as words of the command line; empty where only its name is known.
    """

    row: str
    column: str
    name: str
    settings: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The cell's name with the network that stands in the row, which may be one of the user's own."""
        return self.row.partition(" ")[0] + "/" + self.name.rpartition("/")[2]

    @property
    def dataset(self) -> str:
        """The first part of the cell's name."""
        return self.name.partition("/")[0]

    @property
    def scheme(self) -> str:
        """The last part of the cell's name, without the variant."""
        return self.name.rpartition("/")[2].partition("+")[0]

    @property
    def is_fp32(self) -> bool:
        """Whether others are compared with it: of a scheme that is only called like FP32 the bits are not known."""
        return self.scheme == "fp32"

    @property
    def variant(self) -> str:
        """The word for changed settings; empty where the cell is plain."""
        return self.name.partition("+")[2]


@dataclass(frozen=True)
class Layout:
    """A table to be filled.

    Attributes:
        title: of the table.
        placements: what stands where, in the order of the columns.
        compare: pairs of columns to compare over seeds.
        choose: names of choices, each with the columns among which validation decides.
    """

    title: str
    placements: tuple[Placement, ...]
    compare: Sequence[tuple[str, str]] = COMPARED
    choose: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of_grid(cls, grid: Grid) -> Layout:
        """Returns the layout that a grid describes."""
        placements = [Placement(slot.row, slot.column, slot.name, slot.overrides) for slot in grid.slots]
        return cls(grid.title, tuple(placements), grid.compare, grid.choose)

    @classmethod
    def of_results(cls, names: Iterable[str]) -> Layout:
        """Returns the layout with all cells of these names: a column per scheme and variant, FP32 first."""
        placements = [Placement(*_row_and_column(name), name) for name in names]
        placements.sort(key=lambda place: (place.row, not place.is_fp32, place.column))
        return cls("Test results, mean +- deviation (seeds)", tuple(placements))

    @classmethod
    def joined(cls, layouts: Sequence[Layout]) -> Layout:
        """Returns the placements and choices of all layouts as one; the first title counts."""
        placements = {(place.row, place.column, place.name): place for layout in layouts for place in layout.placements}
        choose: dict[str, list[str]] = {}
        for layout in layouts:
            for name, columns in layout.choose.items():
                choose.setdefault(name, []).extend(columns)
        return cls(layouts[0].title, tuple(placements.values()), choose=choose)

    def restricted_to(self, names: Container[str]) -> Layout:
        """Returns the layout with only those placements whose cell is among `names`."""
        return replace(self, placements=tuple(place for place in self.placements if place.name in names))

    def apart_by_metric(self, results: Results) -> Layout:
        """Returns the layout in which results of another metric than the first of their row have a row of their own."""
        first: dict[str, str] = {}
        placements = []
        for place in self.placements:
            if place.name in results:
                metric = score_of(results[place.name][0]).metric
                if metric != first.setdefault(place.row, metric):
                    place = replace(place, row=f"{place.row} ({metric})")
            placements.append(place)
        return replace(self, placements=tuple(placements))

    @property
    def rows(self) -> dict[str, list[Placement]]:
        """The placements of every row, the rows by data set in the paper's order."""
        order = {name: number for number, name in enumerate(DATA_SETS)}
        places = sorted(self.placements, key=lambda place: order.get(place.dataset, len(order)))
        return _grouped(places, lambda place: place.row)

    @property
    def places(self) -> list[Placement]:
        """All placements, row by row."""
        return [place for places in self.rows.values() for place in places]

    @property
    def cells(self) -> dict[str, str]:
        """What the cell of each name is called in a table, row by row."""
        return {place.name: place.shown for place in self.places}

    @property
    def columns(self) -> list[str]:
        """The names of the columns, FP32 first."""
        columns = _grouped(self.placements, lambda place: place.column)
        return sorted(columns, key=lambda name: not columns[name][0].is_fp32)

    def fp32_of(self, place: Placement) -> Placement | None:
        """Returns the FP32 cell of the row that a placement is compared with; None where the row has none.

        That is the one of the same variant, which has the same settings; where there is none, the plain cell; where
        there is none either, the first in the order of the entries.
        """
        of_row = self.fp32_of_row(place.row)
        by_variant = {other.variant: other for other in reversed(of_row)}
        return by_variant.get(place.variant) or by_variant.get("") or next(iter(of_row), None)

    def fp32_of_row(self, row: str) -> list[Placement]:
        """The FP32 cells of a row, in the order of the entries."""
        return [place for place in self.placements if place.row == row and place.is_fp32]

    @property
    def changed(self) -> set[Placement]:
        """The placements with settings that their column does not name.

        A column that is named after a scheme is for plain cells; any other, for the variant of its first placement.
        """
        first = {column: places[0] for column, places in _grouped(self.placements, lambda place: place.column).items()}
        return {
            place
            for place in self.placements
            if place.variant
            and not place.column.endswith(f"+{place.variant}")
            and (place.column == place.scheme or place.variant != first[place.column].variant)
        }


def _row_and_column(name: str) -> tuple[str, str]:
    row, _, column = name.rpartition("/")
    return row, column


def _grouped(placements: Iterable[Placement], key: Callable[[Placement], str]) -> dict[str, list[Placement]]:
    groups: dict[str, list[Placement]] = {}
    for place in placements:
        groups.setdefault(key(place), []).append(place)
    return groups
