"""What is kept: the memory that this process frees, and values that are computed once. Imports nothing heavy."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable
from functools import cache
from typing import Any, Generic, TypeVar, overload

Computed = TypeVar("Computed")

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Of glibc's `mallopt`."""

CHOSEN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
"""Environment variables by which a user has decided already."""


@cache
def keep_freed_memory() -> None:
    """Lets glibc reuse freed buffers instead of returning them: fresh pages cost as much as the work on them.

    Holds for the whole process. Other C libraries are left alone, and so is what the environment says (CHOSEN).
    """
    if platform.libc_ver()[0] == "glibc" and not any(name in os.environ for name in CHOSEN):
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(TRIM_THRESHOLD, 1 << 30)


class kept(Generic[Computed]):  # noqa: N801 - a decorator, named as `property` is
    """A property that is computed when it is first asked for.

    `functools.cached_property` without the lock that it has before Python 3.12: there threads wait for each other
    although their objects differ. Two threads may both compute a value; these must be equal.
    """

    def __init__(self, compute: Callable[[Any], Computed]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> kept[Computed]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Computed: ...

    def __get__(self, instance: object | None, owner: type) -> kept[Computed] | Computed:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)  # which is found before this next time
        return value
