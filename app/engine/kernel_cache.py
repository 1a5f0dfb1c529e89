"""Keeps compiled kernels on disk, by the whole source that they were compiled from.

Numba looks for changes in a kernel's own file only, and would go on to run kernels whose callees, constants or vector
operations have changed in other files.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-call"
import hashlib
import warnings
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache

try:
    import fcntl
except ImportError:  # not on Windows: there, processes that start together all compile
    fcntl = None  # type: ignore[assignment]

PATIENCE = 60.0
"""Seconds that a process waits for another one to compile a kernel; the slowest takes a few."""


def cached_njit(sources: Path, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns a decorator that compiles a function as `numba.njit` does and keeps what it compiled on disk.

    The folder is the one that numba chooses: NUMBA_CACHE_DIR, else `__pycache__`, else the user's cache. If none can be
    written, every process compiles anew, and is warned once.

    Args:
        sources: the folder of all sources that such functions depend on.
        options: of numba.njit.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Any = numba.njit(**options)(function)
        if compiled is not function:  # NUMBA_DISABLE_JIT leaves functions as they are
            _keep(compiled, _cache_of(function, sources))
        decorated: Callable[..., Any] = compiled
        return decorated

    return decorate


def _keep(compiled: Any, cache: Any) -> None:
    """Makes a compiled function look in a cache first, and compile in turn with other processes."""
    compile_version = compiled.compile

    def compile_in_turn(signature: Any) -> Any:
        with cache.turn:
            return compile_version(signature)

    compiled._cache, compiled.compile = cache, compile_in_turn


@lru_cache
def source_digest(folder: Path) -> str:
    """Returns a hash of names and contents of all Python files in a folder and below."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def warn_of_no_cache(reason: str) -> None:
    """Warns that compiled kernels are not kept; only the first time."""
    warnings.warn(
        f"compiled kernels cannot be kept on disk ({reason}), so that every process compiles them anew: set"
        " NUMBA_CACHE_DIR to a folder that can be written",
        stacklevel=2,
    )


def are_kept() -> bool:
    """Returns whether all kernels that this process has compiled are on disk."""
    return warn_of_no_cache.cache_info().currsize == 0


class CheckedFiles(IndexDataCacheFile):
    """The files of one kernel: an index and a file for every compiled version.

    Every file says what it holds and from which sources: two processes may replace the index and a file at once.
    """

    def save(self, key: Any, data: Any) -> None:
        """Writes a compiled version."""
        super().save(key, (self._source_stamp, key, data))

    def load(self, key: Any) -> Any:
        """Returns a compiled version, or None if there is none of these sources."""
        stamp, of, data = super().load(key) or (None, None, None)
        return data if (stamp, of) == (self._source_stamp, key) else None


class Turn:
    """Lets one process at a time compile a kernel, so that processes which start together do not all compile it.

    `take` may be called within the `with` block, which gives the turn back at its end. If the process that has it takes
    longer than PATIENCE, or the file cannot be locked, each compiles for itself: no more than time is lost.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = ExitStack()

    def __enter__(self) -> None:
        """Begins without a turn."""

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def take(self) -> None:
        """Waits until no other process has the turn, and takes it."""
        if fcntl is None:
            return
        with suppress(OSError):
            file = self._held.enter_context(self._path.open("ab"))
            ends = monotonic() + PATIENCE
            while monotonic() < ends:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    sleep(0.02)
                else:
                    return


class KernelCache(FunctionCache):
    """The compiled versions of one kernel on disk. What cannot be read or written is compiled anew.

    Attributes:
        turn: the turn to compile this kernel; it is taken when a version is not found.
    """

    def __init__(self, function: Callable[..., Any], sources: Path) -> None:
        super().__init__(function)
        stamp = source_digest(sources), self._impl.locator.get_source_stamp()
        self._cache_file = CheckedFiles(self._cache_path, self._impl.filename_base, stamp)
        self.turn = Turn(Path(self._cache_path) / f"{self._impl.filename_base}.lock")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Returns the compiled version for argument types, or None; then it is this process's turn to compile it."""
        found = self._load(sig, target_context)
        if found is None:
            self.turn.take()
            found = self._load(sig, target_context)  # another process may have compiled it in the meantime
        return found

    def _load(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except OSError:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Writes the compiled version for argument types."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn_of_no_cache(f"{self._cache_path}: {error.strerror}")


class _NoCache(NullCache):
    """Where no folder can be written."""

    turn = nullcontext()

    def save_overload(self, sig: Any, cres: Any) -> None:
        warn_of_no_cache("neither beside the source nor in the user's cache")


def _cache_of(function: Callable[..., Any], sources: Path) -> Any:
    try:
        return KernelCache(function, sources)
    except RuntimeError:  # what numba raises where it finds no folder
        return _NoCache()
