"""Finds and parses the text files of a TUDataset, in a folder or a zip; errors name the file and the line.

Morris et al. 2020, "TUDataset: A collection of benchmark datasets for learning with graphs" (arXiv 2007.08663);
the format: https://chrsmrrs.github.io/datasets/docs/format/
"""

from __future__ import annotations

import lzma
import warnings
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.raw.local_files import LARGEST_PACKED, read_file, read_packed, refuse_output

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
    def again(self) -> str:
        """What to do about a damaged file, which may be one's own."""
        return f"make or get it again (a published one: {self.url})"

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
                f"in {self.root}: put its files there, or a published one ({self.url})"
            )
        with self._readable(file):
            if self.folder is not None:
                path = self.folder / file
                content = read_file(path) if path.exists() else None
            else:
                content = self._packed(file)
            if content is None and part in REQUIRED:
                raise DataError(f"{self.name}: {file} is missing in {self.folder or self.archive}: {self.again}")
            return None if content is None else content.decode()

    def numbers(
        self, part: str, *, columns: int | None = None, kind: Any = np.int64, unknown: bool = False
    ) -> NDArray[Any] | None:
        """Returns the comma-separated numbers of a file, [lines, columns]; None if the data set has no such file.

        Args:
            part: of the file's name.
            columns: how many numbers each line must have; None: any number, the same in all lines.
            kind: np.int64 or np.float32.
            unknown: whether a number may be NaN.
        """
        text = self.text(part)
        if text is None:
            return None
        lines = text.rstrip().splitlines()
        if not lines and part == "A":  # no graph has an edge
            return np.zeros((0, 2), kind)
        if not lines:
            raise DataError(f"{self.name}: {self._file(part)} is empty: {self.again}")
        width = columns or len(lines[0].split(","))
        table = parsed(lines, width, kind)
        if table is None:
            raise self._first_bad_line(part, lines, width, kind)
        finite = (np.isfinite(table) | (np.isnan(table) & unknown)).all(1)
        if not finite.all():
            line = int((~finite).argmax())
            raise self.error(part, line + 1, f"expected finite numbers in float32, got {lines[line][:40]!r}")
        return table

    def labels(self, part: str) -> NDArray[Any] | None:
        """Returns a label for each line, [lines, 1]: whole numbers, or words where no line is a whole number."""
        lines = (self.text(part) or "").rstrip().splitlines()
        words = [line.strip() for line in lines]
        if lines and all(word and "," not in word and parsed([word], 1, np.float64) is None for word in words):
            return np.array(words)[:, None]
        return self.numbers(part, columns=1)

    def width(self, part: str) -> int:
        """Returns the number of columns in the first line of a file; 0 if the data set has no such file."""
        text = self.text(part)
        return len(text.split("\n", 1)[0].split(",")) if text else 0

    def error(self, part: str, line: int, problem: str) -> DataError:
        """Returns the error for a wrong line, counted from 1."""
        return DataError(f"{self.name}: {self._file(part)} line {line}: {problem}: correct it, or {self.again}")

    def wrong_length(self, part: str, found: int, expected: int, what: str) -> DataError:
        """Returns the error for a file with too many or too few lines."""
        return DataError(
            f"{self.name}: {self._file(part)} has {found} lines for {expected} {what}: "
            f"it is cut or of another data set; {self.again}"
        )

    def _first_bad_line(self, part: str, lines: list[str], columns: int, kind: Any) -> DataError:
        words = "whole number" if kind is np.int64 else "number"

        def wrong(last: int) -> int:
            return int(parsed(lines[: last + 1], columns, kind) is None)

        number = bisect_left(range(len(lines)), 1, key=wrong)
        problem = f"expected {columns} {words}{'s' * (columns != 1)}, got {lines[number][:40]!r}"
        return self.error(part, number + 1, problem)

    def _file(self, part: str) -> str:
        return f"{self.name}_{part}.txt"

    def _packed(self, file: str) -> bytes | None:
        refuse_output(self.archive)
        with ZipFile(self.archive) as archive:
            names = [name for name in archive.namelist() if Path(name).name == file]
            if len(names) > 1:
                raise DataError(f"{self.name}: {self.archive.name} holds {' and '.join(names)}: keep one of them")
            return read_packed(archive, names[0], LARGEST_PACKED) if names else None

    def _names(self) -> list[str]:
        """Returns the names of all files, whatever they are for."""
        if self.folder is not None:
            return [path.name for path in self.folder.iterdir()]
        with self._readable(self.archive.name), ZipFile(self.archive) as archive:
            return [Path(name).name for name in archive.namelist()]

    def parts(self) -> list[str]:
        """Returns the parts that there are files of, in alphabetical order."""
        start, end = f"{self.name}_", ".txt"
        names = {name for name in self._names() if name.startswith(start) and name.endswith(end)}
        return sorted(name.removeprefix(start).removesuffix(end) for name in names)

    @contextmanager
    def _readable(self, file: str) -> Iterator[None]:
        source = self.folder or self.archive
        try:
            yield
        except (BadZipFile, EOFError, lzma.LZMAError, zlib.error, NotImplementedError, RuntimeError) as error:
            raise DataError(
                f"{self.name}: {source.name} is cut or damaged ({error}): put {self.url} into {self.root} again"
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(f"{self.name}: {file} is not a text file: {self.again}") from error
        except OSError as error:
            raise DataError(f"{self.name}: {file} cannot be read from {source} ({error.strerror})") from error


def parsed(lines: list[str], columns: int, kind: Any) -> NDArray[Any] | None:
    """Returns the numbers in the lines, [lines, columns]; None if a line holds anything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of nothing but empty lines
            table = np.loadtxt(lines, delimiter=",", dtype=kind, ndmin=2, comments=None)
    except (ValueError, Warning):
        return None
    return table if table.shape == (len(lines), columns) else None
