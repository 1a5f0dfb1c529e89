"""Keeps compiled kernels on disk, by the whole source that they were compiled from.

Numba looks for changes in a kernel's own file only, and would go on to run kernels whose callees, constants or vector
operations have changed in other files.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-call"
import gc
import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from inspect import getfile
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.core.compiler_lock import global_compiler_lock

from .files import lock


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
            _keep(compiled, KernelCache(function, sources))
        decorated: Callable[..., Any] = compiled
        return decorated

    return decorate


def _keep(compiled: Any, cache: Any) -> None:
    """Makes a compiled function look in a cache first, and compile in turn with other processes.

    Its `addresses` say where its versions begin. They are looked up at once: versions that different processes compiled
    may have the same name, which then means the one that was loaded last.
    """
    compile_version, addresses = compiled.compile, dict[Any, int]()

    def compile_in_turn(signature: Any) -> Any:
        with cache.turn, global_compiler_lock, nothing_collected():
            entry_point = compile_version(signature)
            for kinds, version in compiled.overloads.items():
                if kinds not in addresses:
                    addresses[kinds] = version.library.get_pointer_to_function(version.fndesc.llvm_func_name)
        return entry_point

    compiled._cache, compiled.compile, compiled.addresses = cache, compile_in_turn, addresses


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Stops the search for garbage in cycles: compiling makes many objects, and a tenth of its time is that search."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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
    """The files of one kernel in a folder: an index and a file for every compiled version.

    Every file says what it holds and from which sources: two processes may replace the index and a file at once.

    Args:
        folder, name, stamp: where the files are, how their names begin, and what identifies the sources.
        baked: files that are looked at next, and never written.
    """

    def __init__(self, folder: str, name: str, stamp: Any, baked: CheckedFiles | None = None) -> None:
        super().__init__(folder, name, stamp)
        self._baked = baked

    def save(self, key: Any, data: Any) -> None:
        """Writes a compiled version."""
        super().save(key, (self._source_stamp, key, data))

    def load(self, key: Any) -> Any:
        """Returns a compiled version, or None if there is none of these sources."""
        found = None
        with suppress(Exception):  # whatever a damaged file makes pickle raise: what cannot be read is compiled anew
            found = super().load(key)
        stamp, of, data = found or (None, None, None)
        if (stamp, of) == (self._source_stamp, key):
            return data
        return None if self._baked is None else self._baked.load(key)

    def _load_index(self) -> Any:
        try:
            return super()._load_index()
        except OSError:
            raise
        except Exception:  # as in `load`
            return {}


class Turn:
    """Lets one process at a time compile a kernel, so that processes which start together do not all compile it.

    `take` may be called within the `with` block, which gives the turn back at its end. Where `lock` goes
    on without, each compiles for itself: no more than time is lost.
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
        with suppress(OSError):
            lock(self._held.enter_context(self._path.open("ab")).fileno())


_LOCATORS: Any = CompileResultCacheImpl._locator_classes
PROVIDED, IN_TREE = _LOCATORS[:2]
"""How numba names the folder of a kernel within NUMBA_CACHE_DIR, and the one beside its source."""


class _Unwritable(IN_TREE):  # type: ignore[valid-type,misc]
    """The folder beside the source, where no folder can be written: saving to it raises OSError."""

    @classmethod
    def from_function(cls, function: Any, path: Any) -> Any:
        return cls(function, path)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = [*_LOCATORS, _Unwritable]  # noqa: RUF012 - as in the class above it


class KernelCache(FunctionCache):
    """The compiled versions of one kernel on disk. What cannot be read or written is compiled anew.

    They are written to the first folder that can be written. They are read from there and from the folder that comes
    first, NUMBA_CACHE_DIR or `__pycache__`, which may be filled and read-only, as in a container.

    Attributes:
        turn: the turn to compile this kernel; it is taken when a version is not found.
    """

    _impl_class = _Implementation

    def __init__(self, function: Callable[..., Any], sources: Path) -> None:
        super().__init__(function)
        package = function.__module__.partition(".")[0]  # types are kept by the names of their modules
        name = f"{package}.{self._impl.filename_base}"
        stamp = source_digest(sources), self._impl.locator.get_source_stamp()
        first = (PROVIDED if vars(numba.config)["CACHE_DIR"] else IN_TREE)(function, getfile(function)).get_cache_path()
        self._cache_file = CheckedFiles(self._cache_path, name, stamp, CheckedFiles(first, name, stamp))
        self.turn = Turn(Path(self._cache_path) / f"{name}.lock")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Returns the compiled version for argument types, or None; then it is this process's turn to compile it."""
        found = super().load_overload(sig, target_context)
        if found is None:
            self.turn.take()
            found = super().load_overload(sig, target_context)  # another process may have compiled it in the meantime
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Writes the compiled version for argument types."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn_of_no_cache(f"{self._cache_path}: {error.strerror}")
