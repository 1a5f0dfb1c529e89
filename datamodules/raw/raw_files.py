"""Files of published data sets: downloads them, and reads them only if size and SHA-256 are the known ones."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

from app.engine.files import write_atomically
from datamodules.errors import DataError
from datamodules.raw.local_files import LARGEST_PACKED, read_file

TIMEOUT_SECONDS = 30.0
SLACK = 1 << 20
"""Bytes that a file may be longer than the published one and still be compared with it."""


@dataclass(frozen=True)
class RawFile:
    """A published file.

    Args:
        dataset: name of the data set, for messages.
        name: of the file.
        url: where it is published.
        size: in bytes.
        sha256: of the content.
        gzipped: whether the file is compressed; size and SHA-256 are those of the content, since compressors differ.
    """

    dataset: str
    name: str
    url: str
    size: int
    sha256: str
    gzipped: bool = False

    def read(self, folder: Path) -> bytes:
        """Returns the content of the file in `folder`, verified.

        Raises:
            DataError: if the file is missing, unreadable, cut or altered.
        """
        try:
            content = read_file(folder / self.name, self.size + SLACK)
        except FileNotFoundError:
            raise self.error("is missing", folder) from None
        except OSError as error:
            raise self.error(f"cannot be read ({error.strerror})", folder) from error
        return self._verified(content, folder)

    def download(self, folder: Path) -> None:
        """Downloads the file into `folder`, where it is put only when it is complete and verified.

        Raises:
            DataError: without a network, if the content is not the known one, or if `folder` is not writable.
        """
        try:
            content = fetch(self.url)
        except (OSError, HTTPException) as error:
            raise self.error(f"is missing and its download failed ({reason_of(error)})", folder) from error
        self._verified(content, folder)
        try:
            write_atomically(folder / self.name, content)
        except OSError as error:
            raise self.error(f"is missing and cannot be written ({error.strerror})", folder) from error

    def error(self, problem: str, folder: Path) -> DataError:
        """Returns an error that names the data set, the file, what is wrong with it, and the remedy."""
        return DataError(f"{self.dataset}: {self.name} {problem}: put {self.url} into {folder}")

    def _verified(self, content: bytes, folder: Path) -> bytes:
        if self.gzipped:
            try:
                with gzip.GzipFile(fileobj=BytesIO(content)) as file:
                    content = file.read(self.size + 1)  # more would only show that it is another file
                    if len(content) <= self.size:
                        file.read(1)  # checks the sum at the end
            except (OSError, EOFError, zlib.error) as error:
                raise self.error(f"is cut or damaged ({error})", folder) from error
        if len(content) < self.size:
            raise self.error(f"is cut ({len(content)} of {self.size} bytes)", folder)
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise self.error("is not the published file (its SHA-256 differs)", folder)
        return content


def reason_of(error: Exception) -> str:
    """Returns in a few words why a download failed."""
    return str(getattr(error, "reason", None) or error)


def fetch(url: str) -> bytes:
    """Downloads the content of a URL.

    Raises:
        OSError, HTTPException: without a network, or if there is more than can be a file of ours.
    """
    with urlopen(url, timeout=TIMEOUT_SECONDS) as response:
        content: bytes = response.read(LARGEST_PACKED + 1)
    if len(content) > LARGEST_PACKED:
        raise OSError(f"it sends more than {LARGEST_PACKED:,} bytes")
    return content
