"""The files that a network of one's own is written in."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

OURS = ("app", "callbacks", "datamodules", "models")
"""Packages of this project, which are no part of somebody's network."""

INSTALLED = {"site-packages", "dist-packages"}
"""Folders of packages whose other files are not followed."""


def hash_of(make: Callable[..., Any], module_name: str) -> str:
    """Returns a hash of the file that defines a class or function, and of those beside it that it imports.

    These lie where its own module, or the package that this is in, was found; what they import there counts as well.

    Args:
        make: the class or function.
        module_name: of the module where it was found.
    """
    module = inspect.getmodule(make.func if isinstance(make, partial) else make) or sys.modules[module_name]
    file = inspect.getsourcefile(module)
    if file is None:
        return "unknown"
    content = hashlib.sha256(Path(file).read_bytes())
    for name, path in sorted(imported_beside(module, Path(file)).items()):
        content.update(f"{name}\0".encode() + path.read_bytes())
    return content.hexdigest()[:32]


def imported_beside(module: ModuleType, file: Path) -> dict[str, Path]:
    """Returns the files by their modules that a module imports, and those import, from where it was found itself."""
    above = module.__name__.count(".") + (file.name == "__init__.py")
    if INSTALLED & set(file.parts) or above >= len(file.parents):
        return {}
    found: dict[str, Path] = {}
    left = [(module.__name__, file)]
    while left:
        for name in _imports(*left.pop()):
            path = _file_of(name, file.parents[above])
            if path is not None and path != file and name not in found:
                found[name] = path
                left.append((name, path))
    return found


def _file_of(name: str, root: Path) -> Path | None:
    path = root.joinpath(*name.split("."))
    files = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return None if name.partition(".")[0] in OURS else next(filter(Path.is_file, files), None)


def _imports(name: str, file: Path) -> Iterator[str]:
    """Yields the names of the modules that a file imports, of all packages that they are in, and of what may be one."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except SyntaxError:  # a file that is imported only where it is needed
        return
    for node in nodes:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            if node.level > len(package.split(".")) * bool(package):
                continue
            base = resolve_name("." * node.level + (node.module or ""), package)
            names = [f"{base}.{part}".lstrip(".") for part in names]
        for full in names:
            parts = full.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))
