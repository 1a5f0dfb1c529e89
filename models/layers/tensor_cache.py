"""What was derived from a tensor, for as long as it lives, and copies on another device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from models.quantization.sparse import lasting

T = TypeVar("T")


class TensorCache:
    """Caches what was derived from a tensor (see `lasting`) for as long as the tensor lives and is not written to.

    Tensors made in inference mode are not cached: torch does not track whether they are written to.
    """

    def __init__(self) -> None:
        self._entries: Any = WeakTensorKeyDictionary()

    def get(self, key: Tensor) -> Any:
        """Returns the cached value or None."""
        if key.is_inference():
            return None
        version, value = self._entries.get(key, (None, None))
        return value if version == key._version else None

    def get_or_make(self, key: Tensor, make: Callable[[], T]) -> T:
        """Returns the cached value; makes it if there is none, so that training can use it."""
        known: T | None = self.get(key)
        if known is not None:
            return known
        with lasting():
            return self.put(key, make())

    def put(self, key: Tensor, value: T) -> T:
        """Caches and returns `value`."""
        if not key.is_inference():
            self._entries[key] = (key._version, value)
        return value


def sent(x: Tensor, device: torch.device) -> Tensor:
    """Returns a copy on a device; to a GPU it goes from pinned memory, so that the host need not wait for it."""
    here = x.pin_memory() if device.type == "cuda" and x.layout is torch.strided else x
    return here.to(device, non_blocking=True)
