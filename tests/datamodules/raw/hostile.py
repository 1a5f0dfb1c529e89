"""Files that run code when they are read without care."""

from __future__ import annotations

import os
from io import BytesIO

import torch


class Dangerous:
    """Its pickle makes a folder when it is loaded without care."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def saved(value: object) -> bytes:
    """What `torch.save` writes of a value."""
    file = BytesIO()
    torch.save(value, file)
    return file.getvalue()
