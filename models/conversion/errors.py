"""What a network has that cannot be converted, said in one sentence."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from traceback import extract_tb
from types import TracebackType

import torch
import torch_geometric
from torch.fx import Node
from torch.fx.proxy import TraceError

LIBRARIES = tuple(str(Path(file).parent) for file in (torch.__file__, torch_geometric.__file__, __file__))
"""Folders of files that are not the user's."""

LAZY = "has no weights yet: give the width that it reads (take in_channels as an argument), or run the model once"
"""What is said of a layer whose width its first input would say."""


class UnsupportedModel(ValueError):  # noqa: N818 - it is a statement on the model
    """A network, or a part of it, that cannot be converted: where it is, why, and what to do."""


class Untraceable(Exception):  # noqa: N818 - it is a statement on the forward
    """What no trace has: why, and what to do."""


class SharedLayer(UnsupportedModel):
    """A layer with weights that is called more than once."""


def place_of(node: Node) -> str:
    """Returns where a call stands: the path of its module, or the line of the user's code."""
    if node.op == "call_module":
        return str(node.target)
    lines = [line.strip() for line in (node.stack_trace or "").splitlines()]
    for line, code in reversed(list(pairwise([*lines, ""]))):
        file, _, rest = line.removeprefix('File "').partition('", line ')
        if rest and not file.startswith(LIBRARIES):
            return f"{Path(file).name}:{rest.partition(',')[0]} ({code})"
    return node.name


def place_of_traceback(traceback: TracebackType | None) -> str | None:
    """Returns the last line of the user's code in a traceback; None: there is none."""
    inside = [frame for frame in extract_tb(traceback) if not frame.filename.startswith((*LIBRARIES, "<"))]
    return f"{Path(inside[-1].filename).name}:{inside[-1].lineno} ({inside[-1].line})" if inside else None


def reason_of(error: Exception) -> str:
    """Returns why a forward cannot be traced in which something failed, and what to do."""
    said = str(error).partition("\n")[0]
    if isinstance(error, Untraceable):
        return said
    if isinstance(error, NameError) and "submodule" in said:
        return "calls a layer that no module holds; put layers into a torch.nn.ModuleList or a ModuleDict"
    if "iterated" in said or "Proxy" in said or "symbolic tracing" in said:  # what is said of the stand-in of a tensor
        return "computes with entries or the size of a tensor outside of layers; do it in the data, or leave it out"
    if isinstance(error, TraceError) or "control flow" in said:
        return "decides by the values or the shape of a tensor; decide by a setting of the module instead"
    return f"cannot be traced without data ({said or type(error).__name__})"
