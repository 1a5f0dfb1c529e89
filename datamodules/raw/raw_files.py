"""Files of published data sets: known by size and SHA-256, read only when intact, downloaded atomically."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from app.engine.files import write_atomically
from datamodules.base import DataError

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class RawFile:
    """One published file: the data set's and the file's name, where it comes from, its size in bytes.

    `gzipped`: the file is packed; size and SHA-256 are those of what is in it, since packers differ.
    """

    dataset: str
    name: str
    url: str
    size: int
    sha256: str
    gzipped: bool = False

    def read(self, folder: Path) -> bytes:
        """The verified content of the file in `folder`.

        Raises:
            DataError: if it is missing, unreadable, cut or altered.
        """
        try:
            content = (folder / self.name).read_bytes()
        except FileNotFoundError:
            raise self.error("is missing", folder) from None
        except OSError as error:
            raise self.error(f"cannot be read ({error.strerror})", folder) from error
        return self._verified(content, folder)

    def download(self, folder: Path) -> None:
        """Fetches the file into `folder`, which never sees a partial or an altered one.

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
        """The sentence for the user: data set, file, what is wrong with it, and the remedy."""
        return DataError(f"{self.dataset}: {self.name} {problem}: put {self.url} into {folder}")

    def _verified(self, content: bytes, folder: Path) -> bytes:
        if self.gzipped:
            try:
                content = gzip.decompress(content)
            except (OSError, EOFError, zlib.error) as error:
                raise self.error(f"is cut or damaged ({error})", folder) from error
        if len(content) < self.size:
            raise self.error(f"is cut ({len(content)} of {self.size} bytes)", folder)
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise self.error("is not the published file (its SHA-256 differs)", folder)
        return content


def reason_of(error: Exception) -> str:
    """Why a download failed, in a few words."""
    return str(getattr(error, "reason", None) or error)


def fetch(url: str) -> bytes:
    """The content behind a URL."""
    with urlopen(url, timeout=TIMEOUT_SECONDS) as response:
        return response.read()
