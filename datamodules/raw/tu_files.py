"""Finds and parses the text files of a TUDataset, in a folder or a zip; errors name the file and the line.

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

from datamodules.errors import DataError

URL = "https://www.chrsmrrs.com/graphkerneldatasets"
REQUIRED = ("A", "graph_indicator")


class TextFiles:
    """The files `<name>_<part>.txt` of one data set; a part is `A`, `graph_indicator`, `graph_labels`, ...

    They are looked for in `<root>/<name>/`, in `<root>/<name>/raw/`, and in all folders of `<root>/<name>.zip`.

    Raises:
        DataError: in every method that reads, if the data is missing or damaged.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name, self.root = name, root

    @property
    def url(self) -> str:
        """The address of the published zip."""
        return f"{URL}/{self.name}.zip"

    @property
    def archive(self) -> Path:
        """The path where the zip is, or belongs."""
        return self.root / f"{self.name}.zip"

    @property
    def folder(self) -> Path | None:
        """The folder with the text files, None if there is none."""
        folders = (self.root / self.name, self.root / self.name / "raw")
        return next((folder for folder in folders if (folder / self._file("A")).is_file()), None)

    @property
    def missing(self) -> bool:
        """Whether there is neither a folder nor a zip."""
        return self.folder is None and not self.archive.is_file()

    def text(self, part: str) -> str | None:
        """Returns the content of a file, None if the data set has no such file."""
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

    def numbers(self, part: str, *, columns: int | None = None, kind: Any = np.int64) -> NDArray[Any] | None:
        """Returns the comma-separated numbers of a file, [lines, columns]; None if the data set has no such file.

        Args:
            part: of the file's name.
            columns: how many numbers each line must have; None: any number, the same in all lines.
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
        """Returns the number of columns in the first line of a file; 0 if the data set has no such file."""
        text = self.text(part)
        return len(text.split("\n", 1)[0].split(",")) if text else 0

    def error(self, part: str, line: int, problem: str) -> DataError:
        """Returns the error for a wrong line, counted from 1."""
        return DataError(f"{self.name}: {self._file(part)} line {line}: {problem}: correct it, or get {self.url} again")

    def wrong_length(self, part: str, found: int, expected: int, what: str) -> DataError:
        """Returns the error for a file with too many or too few lines."""
        return DataError(
            f"{self.name}: {self._file(part)} has {found} lines for {expected} {what}: "
            f"it is cut or of another data set; get {self.url} again"
        )

    def _first_bad_line(self, part: str, lines: list[str], columns: int | None, kind: Any) -> DataError:
        words = "whole number" if kind is np.int64 else "number"
        width = columns or len(lines[0].split(","))
        number = next((k for k, line in enumerate(lines) if not is_row(line, width, kind)), 0)
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


def is_row(line: str, columns: int, kind: Any) -> bool:
    """Whether a line consists of so many comma-separated numbers."""
    try:
        return len([kind(word) for word in line.split(",")]) == columns
    except ValueError:
        return False
