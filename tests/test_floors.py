"""A file imports from its own room or a lower one."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("app", "callbacks", "datamodules", "models")
LIGHTNING = {"pytorch_lightning", "lightning_fabric", "torchmetrics"}
HEAVY = LIGHTNING | {"torch", "torch_geometric", "numba", "scipy", "matplotlib", "optuna"}

PROGRAM = ("app.engine.program", "app.engine.files")
BESIDE_COMMANDS = ("app.engine.files", "app.engine.memory", "app.engine.command.streams")
KERNELS = ("app.engine.kernel_cache", "app.engine.compiler")
QUANTIZATION = ("models.quantization",)
LAYERS = (*QUANTIZATION, "models.layers")
ARCHITECTURES = (*LAYERS, "models.architectures")
CONVERSION = (*ARCHITECTURES, "models.imports", "models.schemes", "models.conversion")
BELOW = ("app.errors", "app.cli", "app.engine", "models", "datamodules", "callbacks")
"""What every room of the application may use."""

CONFIG = (*BELOW, "app.config")
RUNS = (*CONFIG, "app.runs")
REPORTS = (*RUNS, "app.reports")

FLOORS = {
    "models/quantization": ((*QUANTIZATION, *PROGRAM, *KERNELS), LIGHTNING | {"torch_geometric"}),
    "models/layers": ((*LAYERS, *PROGRAM), LIGHTNING),
    "models/architectures": ((*ARCHITECTURES, *PROGRAM), LIGHTNING),
    "models/imports.py": ((), HEAVY),
    "models/seeds.py": ((), HEAVY),
    "models/schemes.py": (QUANTIZATION, LIGHTNING | {"torch_geometric"}),
    "models/hyper_parameters.py": ((), HEAVY),
    "models/conversion": ((*CONVERSION, *PROGRAM), LIGHTNING),
    "models/__init__.py": (CONVERSION, LIGHTNING),
    "models/tasks": ((*CONVERSION, "models.hyper_parameters", "models.tasks", "app.engine.memory"), set()),
    "datamodules": (("datamodules", *QUANTIZATION, "app.engine.files"), set()),
    "callbacks": (("callbacks", *QUANTIZATION, *PROGRAM, "app.cli.console"), {"torch_geometric"}),
    "app/engine/program": (PROGRAM, HEAVY),
    "app/engine/compiler": (("app.engine.compiler",), HEAVY - {"numba"}),
    "app/engine/simd": (("app.engine.simd", "app.engine.buffers"), HEAVY - {"numba"}),
    "app/engine/kernels": (
        ("app.engine.kernels", "app.engine.simd", "app.engine.buffers", *KERNELS),
        HEAVY - {"numba"},
    ),
    "app/engine/cuda": (("app.engine",), HEAVY - {"torch"}),
    "app/engine": (("app.engine",), HEAVY - {"numba"}),
    "app/errors.py": ((), HEAVY),
    "app/cli": (("app.errors", "app.cli", *BESIDE_COMMANDS), HEAVY),
    "app/config": (CONFIG, set()),
    "app/runs": (RUNS, set()),
    "app/reports": (REPORTS, set()),
    "app/grids": ((*REPORTS, "app.grids"), set()),
    "app/deploy": ((*REPORTS, "app.deploy"), set()),
    "app/benchmarks": ((*REPORTS, "app.benchmarks"), set()),
    "app/data": ((*RUNS, "app.data"), set()),
    "app/demo.py": ((*RUNS, "app.benchmarks"), set()),
    "train.py": (("app.cli.main",), HEAVY),
}
"""Room -> what of this project it may import, with all that lies below that, and what not of other people's."""

ANYONE = {"app", "models.seeds"}
"""Modules that every room may import, though not what lies below them: the version of the program, seeds of draws."""

NOWHERE = ("lightning", "torch.ao", "torch.quantization", "tests")


def module_name(path: Path) -> str:
    """`models/layers/graph.py` -> `models.layers.graph`; a package by its folder."""
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(path: Path) -> str:
    """The package from which a file's relative imports start."""
    return ".".join(path.relative_to(PROJECT).parts[:-1])


FILES = [PROJECT / "train.py", *(path for package in PACKAGES for path in sorted((PROJECT / package).rglob("*.py")))]
MODULES = {module_name(path): path for path in FILES}


def imports(source: str, package: str = "") -> set[str]:
    """Full names of all modules that a source in `package` imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            names = {f"{module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if name in MODULES or name.split(".")[0] not in PACKAGES}
            found |= modules or {module}
            if modules != names:
                found.add(module)
    return found


def within(name: str, roots: tuple[str, ...]) -> bool:
    """Whether a module is one of `roots` or below it."""
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def violations(place: str, source: str, package: str = "") -> list[str]:
    """The imports that a source may not have where it stands."""
    own, foreign = FLOORS[place]
    wrong = []
    for name in sorted(imports(source, package)):
        top = name.split(".")[0]
        allowed = within(name, own) or name in ANYONE if top in PACKAGES else top not in foreign
        if not allowed or within(name, NOWHERE):
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
        assert violations(place, path.read_text(), package_of(path)) == []


@pytest.mark.parametrize("path", sorted((PROJECT / "app" / "engine").rglob("*.py")), ids=lambda path: path.name)
def test_the_engine_names_its_own_modules_relatively(path):
    assert not {name for name in imports(path.read_text()) if name.split(".")[0] in PACKAGES}


def test_a_program_is_read_and_written_without_torch_and_without_a_compiler(tmp_path):
    code = (
        "import sys; from app.engine.program.io import read_program, save_program; from app.engine.files import "
        "write_atomically; sys.exit(int(any(name in sys.modules for name in ('torch', 'numba', 'scipy'))))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0


def test_the_engine_runs_in_a_folder_of_its_own(tmp_path):
    """Under another name, with nothing of this project beside it: so it can be a distribution of its own."""
    (tmp_path / "standalone").symlink_to(PROJECT / "app" / "engine", target_is_directory=True)
    code = (
        "import sys; sys.path.insert(0, '.'); from standalone import Graph, load_program; "
        "sys.exit(int(any(name.split('.')[0] in ('app', 'models', 'torch') for name in sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES} - {PROJECT}), ids=str)
def test_every_room_says_what_it_is_for_and_holds_at_most_a_dozen_files(folder):
    files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= 12
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


@pytest.mark.parametrize(
    ("place", "source", "wrong"),
    [
        ("models/quantization", "import torch_geometric.utils", ["torch_geometric.utils"]),
        ("models/quantization", "def f():\n    from models.layers import Graph", ["models.layers"]),
        ("models/quantization", "from models.quantization.fused import kernels\nfrom torch import nn", []),
        ("models/quantization", "from app.engine.program.grid import Grid", []),
        ("models/quantization", "from app.engine import Executable", ["app.engine"]),
        ("models/layers", "from models import architectures", ["models.architectures"]),
        ("models/architectures", "import pytorch_lightning as pl", ["pytorch_lightning"]),
        ("models/imports.py", "import torch", ["torch"]),
        ("models/hyper_parameters.py", "import torch", ["torch"]),
        ("models/seeds.py", "import torch", ["torch"]),
        ("models/schemes.py", "from models.layers import Graph", ["models.layers"]),
        ("models/conversion", "from models.tasks import GraphTask", ["models.tasks"]),
        ("models/__init__.py", "from models.tasks import GraphTask", ["models.tasks"]),
        ("models/tasks", "from app.engine import Executable", ["app.engine"]),
        ("datamodules", "from models.layers.graph import Graph", ["models.layers.graph"]),
        ("callbacks", "from models.tasks import GraphTask", ["models.tasks"]),
        ("app/engine", "import torch", ["torch"]),
        ("app/engine", "from models.quantization.sparse import Pattern", ["models.quantization.sparse"]),
        ("app/engine", "from app.errors import UserError", ["app.errors"]),
        ("app/engine/program", "import numba", ["numba"]),
        ("app/engine/program", "from app.engine.graph import Graph", ["app.engine.graph"]),
        ("app/engine/compiler", "from app.engine.simd import vectors", ["app.engine.simd.vectors"]),
        ("app/engine/simd", "from app.engine.kernels import plain", ["app.engine.kernels.plain"]),
        ("app/engine/kernels", "from app.engine.program.grid import Grid", ["app.engine.program.grid"]),
        ("app/errors.py", "from app.cli.main import main", ["app.cli.main"]),
        ("app/cli", "import torch\nfrom app.config.cells import select", ["app.config.cells", "torch"]),
        ("app/config", "from app.runs.run_folder import Run", ["app.runs.run_folder"]),
        ("app/runs", "from app.reports.formats.writers import deliver", ["app.reports.formats.writers"]),
        ("app/reports", "from app.grids.progress import Progress", ["app.grids.progress"]),
        ("app/grids", "from app.deploy.export import export", ["app.deploy.export"]),
        ("app/deploy", "from app.benchmarks.workloads import WORKLOADS", ["app.benchmarks.workloads"]),
        ("app/benchmarks", "from app.grids.tuning import tune", ["app.grids.tuning"]),
        ("app/data", "from app.reports.formats.writers import deliver", ["app.reports.formats.writers"]),
        ("app/demo.py", "from app.grids.reproduce import reproduce", ["app.grids.reproduce"]),
        ("app/config", "import lightning.pytorch\nfrom torch.ao import quantization",
         ["lightning.pytorch", "torch.ao.quantization"]),
        ("app/engine/cuda", "import numba\nfrom models.layers import Graph", ["models.layers", "numba"]),
        ("train.py", "from app.runs.completion import complete", ["app.runs.completion"]),
    ],
)  # fmt: skip
def test_a_wrong_import_would_be_found(place, source, wrong):
    assert violations(place, source) == wrong


def test_every_room_is_tried():
    marks = [mark for mark in test_a_wrong_import_would_be_found.pytestmark if mark.name == "parametrize"]
    assert {case[0] for mark in marks for case in mark.args[1]} == FLOORS.keys()
