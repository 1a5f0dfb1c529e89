"""A file imports from its own floor or a lower one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("app", "callbacks", "datamodules", "models")
LIGHTNING = {"pytorch_lightning", "lightning_fabric", "torchmetrics"}
QUANTIZATION = ("models.quantization",)
LAYERS = (*QUANTIZATION, "models.layers")
ARCHITECTURES = (*LAYERS, "models.architectures")

FLOORS = {
    "models/quantization": (QUANTIZATION, LIGHTNING | {"torch_geometric"}),
    "models/layers": (LAYERS, LIGHTNING),
    "models/architectures": (ARCHITECTURES, LIGHTNING),
    "models/tasks": ((*ARCHITECTURES, "models.tasks"), set()),
    "datamodules": (("datamodules", *QUANTIZATION), set()),
    "callbacks": (("callbacks", *QUANTIZATION), {"torch_geometric"}),
    "app/engine": (
        ("app.engine", "models.quantization.functional", "models.quantization.program"),
        LIGHTNING | {"torch", "torch_geometric"},
    ),
    "app": (PACKAGES, set()),
    "train.py": (("app.cli",), LIGHTNING | {"torch", "torch_geometric"}),
}
"""Folder or file -> what it may import of this project, and what not of other people's."""

NOWHERE = ("lightning", "torch.ao", "torch.quantization", "tests")


def module_name(path: Path) -> str:
    """`models/layers/graph.py` -> `models.layers.graph`; a package by its folder."""
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = [PROJECT / "train.py", *(path for package in PACKAGES for path in sorted((PROJECT / package).rglob("*.py")))]
MODULES = {module_name(path): path for path in FILES}


def imports(source: str) -> set[str]:
    """Full names of all modules a source imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if name in MODULES or name.split(".")[0] not in PACKAGES}
            found |= modules or {node.module}
            if modules != names:
                found.add(node.module)
    return found


def within(name: str, roots: tuple[str, ...]) -> bool:
    """Whether a module is one of `roots` or below it (`program_io` counts as below `program`)."""
    return any(name == root or name.startswith((f"{root}.", f"{root}_")) for root in roots)


def violations(place: str, source: str) -> list[str]:
    """The imports a source may not have where it stands."""
    own, foreign = FLOORS[place]
    wrong = []
    for name in sorted(imports(source)):
        top = name.split(".")[0]
        allowed = within(name, own) if top in PACKAGES else top not in foreign
        if not allowed or any(name == root or name.startswith(f"{root}.") for root in NOWHERE):
            wrong.append(name)
    return wrong


def floor_of(path: Path) -> str | None:
    """The longest entry of FLOORS that holds the file; None: the file of a mere package."""
    relative = path.relative_to(PROJECT).as_posix()
    fitting = [place for place in FLOORS if relative == place or relative.startswith(f"{place}/")]
    return max(fitting, key=len, default=None)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_imports_stay_on_their_floor(path):
    place = floor_of(path)
    if place is None:
        assert not imports(path.read_text()), "a package above the floors imports nothing"
    else:
        assert violations(place, path.read_text()) == []


def test_the_engine_reaches_no_torch_through_what_it_imports():
    reached, open_ones = set(), {name for name in MODULES if within(name, ("app.engine",))}
    while open_ones:
        name = open_ones.pop()
        reached.add(name)
        parents = {".".join(name.split(".")[:i]) for i in range(1, name.count(".") + 1)}
        found = imports(MODULES[name].read_text()) | parents
        assert not {module.split(".")[0] for module in found} & (LIGHTNING | {"torch", "torch_geometric"}), name
        open_ones |= (found & MODULES.keys()) - reached
    assert "models.quantization.program_io" in reached


@pytest.mark.parametrize(
    ("place", "source", "wrong"),
    [
        ("models/quantization", "import torch_geometric.utils", ["torch_geometric.utils"]),
        ("models/quantization", "def f():\n    from models.layers import Graph", ["models.layers"]),
        ("models/quantization", "from models.quantization import kernels\nfrom torch import nn", []),
        ("models/layers", "from models import architectures", ["models.architectures"]),
        ("models/architectures", "import pytorch_lightning as pl", ["pytorch_lightning"]),
        ("models/tasks", "from app.engine import Executable", ["app.engine"]),
        ("datamodules", "from models.layers.graph import Graph", ["models.layers.graph"]),
        ("callbacks", "from models.tasks import GraphTask", ["models.tasks"]),
        ("app/engine", "import torch", ["torch"]),
        ("app/engine", "from models.quantization.program_io import read_program", []),
        ("app/engine", "from models.quantization.sparse import Pattern", ["models.quantization.sparse"]),
        ("app", "import lightning.pytorch\nfrom torch.ao import quantization",
         ["lightning.pytorch", "torch.ao.quantization"]),
        ("train.py", "from app.experiments import fit", ["app.experiments"]),
    ],
)  # fmt: skip
def test_a_wrong_import_would_be_found(place, source, wrong):
    assert violations(place, source) == wrong
