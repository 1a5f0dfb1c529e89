"""Reads the text files of a TUDataset, from a folder or a zip, and says in which line they are wrong.

Morris et al. 2020, "TUDataset: A collection of benchmark datasets for learning with graphs" (arXiv 2007.08663);
the format: https://chrsmrrs.github.io/datasets/docs/format/
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from datamodules.base import DataError

URL = "https://www.chrsmrrs.com/graphkerneldatasets"
REQUIRED = ("A", "graph_indicator")

Integers = NDArray[np.int64]


class TextFiles:
    """The files `<name>_<part>.txt` of one data set.

    They are looked for in `<root>/<name>/`, `<root>/<name>/raw/` and, in any folder of it, `<root>/<name>.zip`.

    Raises:
        DataError: in every method, if the data is missing or damaged.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name, self.root = name, root

    @property
    def url(self) -> str:
        """Where the zip is published."""
        return f"{URL}/{self.name}.zip"

    @property
    def archive(self) -> Path:
        """Where the zip is, or belongs."""
        return self.root / f"{self.name}.zip"

    @property
    def folder(self) -> Path | None:
        """The folder with the text files, if there is one."""
        folders = (self.root / self.name, self.root / self.name / "raw")
        return next((folder for folder in folders if (folder / self._file("A")).is_file()), None)

    @property
    def missing(self) -> bool:
        """Whether there is neither."""
        return self.folder is None and not self.archive.is_file()

    def text(self, part: str) -> str | None:
        """The content of a file, None if the data set has none such."""
        file = self._file(part)
        if self.missing:
            raise DataError(
                f"{self.name}: no {self._file('A')} in {self.root / self.name} and no {self.archive.name} "
                f"in {self.root}: put {self.url} into {self.root}"
            )
        with self._readable(file):
            if self.folder is not None:
                path = self.folder / file
                content = path.read_bytes() if path.is_file() else None
            else:
                content = self._packed(file)
            if content is None and part in REQUIRED:
                raise DataError(
                    f"{self.name}: {file} is missing in {self.folder or self.archive}: get {self.url} again"
                )
            return None if content is None else content.decode()

    def numbers(self, part: str, columns: int | None = None, kind: Any = np.int64) -> NDArray[Any] | None:
        """The comma-separated numbers of a file, [lines, columns]; None if the data set has none such.

        Args:
            part: `A`, `graph_labels`, ...
            columns: how many there must be in each line, None for any number.
            kind: np.int64 or np.float32.
        """
        text = self.text(part)
        if text is None:
            return None
        lines = text.rstrip().splitlines()
        if not lines:
            raise DataError(f"{self.name}: {self._file(part)} is empty: get {self.url} again")
        try:
            table = np.loadtxt(lines, delimiter=",", dtype=kind, ndmin=2, comments=None)
        except ValueError:
            table = None
        if table is None or len(table) != len(lines) or table.shape[1] != (columns or table.shape[1]):
            raise self._first_bad_line(part, lines, columns, kind)
        return table

    def width(self, part: str) -> int:
        """How many columns the first line of a file has; 0 if the data set has no such file."""
        text = self.text(part)
        return len(text.split("\n", 1)[0].split(",")) if text else 0

    def error(self, part: str, line: int, problem: str) -> DataError:
        """The sentence for a wrong line, counted from 1."""
        return DataError(f"{self.name}: {self._file(part)} line {line}: {problem}: correct it, or get {self.url} again")

    def wrong_length(self, part: str, found: int, expected: int, what: str) -> DataError:
        """The sentence for a file with too many or too few lines."""
        return DataError(
            f"{self.name}: {self._file(part)} has {found} lines for {expected} {what}: "
            f"it is cut or of another data set; get {self.url} again"
        )

    def _first_bad_line(self, part: str, lines: list[str], columns: int | None, kind: Any) -> DataError:
        words = "whole number" if kind is np.int64 else "number"
        width = columns or len(lines[0].split(","))
        number = next((k for k, line in enumerate(lines) if not fits(line, width, kind)), 0)
        problem = f"expected {width} {words}{'s' * (width != 1)}, got {lines[number][:40]!r}"
        return self.error(part, number + 1, problem)

    def _file(self, part: str) -> str:
        return f"{self.name}_{part}.txt"

    def _packed(self, file: str) -> bytes | None:
        with ZipFile(self.archive) as archive:
            names = [name for name in archive.namelist() if Path(name).name == file]
            return archive.read(names[0]) if names else None

    @contextmanager
    def _readable(self, file: str) -> Iterator[None]:
        source = self.folder or self.archive
        try:
            yield
        except (BadZipFile, EOFError, lzma.LZMAError, zlib.error, NotImplementedError) as error:
            raise DataError(
                f"{self.name}: {source.name} is cut or damaged ({error}): put {self.url} into {self.root} again"
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(f"{self.name}: {file} is not a text file: get {self.url} again") from error
        except OSError as error:
            raise DataError(f"{self.name}: {file} cannot be read from {source} ({error.strerror})") from error


def fits(line: str, columns: int, kind: Any) -> bool:
    """Whether a line has so many comma-separated numbers."""
    try:
        return len([kind(word) for word in line.split(",")]) == columns
    except ValueError:
        return False


def read_topology(files: TextFiles) -> tuple[Integers, Integers, Integers]:
    """The graphs' sizes and edges, checked.

    Shapes:
        num_nodes [G]; num_edges [G]; edge_index [2, E] (source, target), numbers within the graph, graph by graph.

    Raises:
        DataError: naming the first line that is wrong.
    """
    indicator = _column(files, "graph_indicator")
    if indicator[0] != 1 or (indicator[1:] < indicator[:-1]).any():
        line = 1 if indicator[0] != 1 else int((indicator[1:] < indicator[:-1]).argmax()) + 2
        raise files.error("graph_indicator", line, f"graph {indicator[line - 1]}, expected them in order from 1 on")
    num_nodes = np.bincount(indicator - 1)
    if (num_nodes == 0).any():
        graph = int(num_nodes.argmin()) + 1
        line = int((indicator > graph).argmax()) + 1
        raise files.error("graph_indicator", line, f"graph {indicator[line - 1]}, but graph {graph} has no nodes")
    edges = files.numbers("A", columns=2)
    assert edges is not None
    outside = ((edges < 1) | (edges > len(indicator))).any(1)
    if outside.any():
        line = int(outside.argmax())
        raise files.error("A", line + 1, f"edge {_pair(edges[line])}, but the nodes are 1 to {len(indicator)}")
    edges -= 1
    graph = indicator[edges[:, 0]]
    across = graph != indicator[edges[:, 1]]
    if across.any():
        line = int(across.argmax())
        raise files.error("A", line + 1, f"edge {_pair(edges[line] + 1)} joins two different graphs")
    order = np.argsort(graph, kind="stable")
    first_node = np.cumsum(num_nodes) - num_nodes
    inside = edges - first_node[graph - 1][:, None]
    return num_nodes, np.bincount(graph - 1, minlength=len(num_nodes)), inside[order].T


def read_nodes(files: TextFiles, part: str, num_nodes: int, kind: Any = np.int64) -> NDArray[Any] | None:
    """The lines of a file with one line per node, None if the data set has none such.

    Raises:
        DataError: if it has more or fewer lines.
    """
    table = files.numbers(part, kind=kind)
    if table is not None and len(table) != num_nodes:
        raise files.wrong_length(part, len(table), num_nodes, "nodes")
    return table


def read_graphs(files: TextFiles, part: str, num_graphs: int, kind: Any = np.int64) -> NDArray[Any]:
    """The lines of a file with one line per graph.

    Raises:
        DataError: if it is missing or has more or fewer lines.
    """
    table = files.numbers(part, kind=kind)
    if table is None:
        raise DataError(f"{files.name}: {files.name}_{part}.txt is missing: add it, or get {files.url} again")
    if len(table) != num_graphs:
        raise files.wrong_length(part, len(table), num_graphs, "graphs")
    return table


def _column(files: TextFiles, part: str) -> Integers:
    table = files.numbers(part, columns=1)
    assert table is not None
    return table[:, 0]


def _pair(edge: Integers) -> str:
    return f"({edge[0]}, {edge[1]})"
