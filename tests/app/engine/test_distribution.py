"""The engine as a distribution of its own: built, installed where there is neither torch nor SciPy, and run."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest

import app
from app import engine
from app.engine import Executable
from app.engine.graph import Graph
from app.engine.program.io import save_program
from tests.app.engine.programs import PROGRAMS

ENGINE = Path(engine.__file__).parent
NODES, WIDTH = 40, 60

RUN_ALL = """
import sys
from importlib.util import find_spec
import numpy as np
from degree_quant_engine import Graph, load_program
assert not [name for name in ("torch", "scipy", "app") if find_spec(name)], "these must not be there"
inputs = np.load("inputs.npz")
graph = Graph(inputs["edge_index"], len(inputs["x"]), inputs["batch"])
for name in sys.argv[1:]:
    np.savez(f"{name}.npz", **load_program(name).trace(inputs["x"], graph))
"""


def call(*command, cwd, **options):
    """What a command prints; it must end well."""
    result = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that is built of the engine's folder."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    fetched = subprocess.run([*pip, "install", "--target", folder / "hatch", "hatchling"], capture_output=True)
    if fetched.returncode:
        pytest.skip("hatchling cannot be fetched: no package index can be reached")
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", folder, ENGINE]
    call(*pip, "wheel", *options, cwd=folder, env={"PYTHONPATH": str(folder / "hatch"), "PATH": ""})
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of an environment that holds the wheel and what it says it needs, from here, and nothing else."""
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    call(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=home)
    (packages,) = home.glob("lib/python*/site-packages")
    (metadata,) = packages.glob("degree_quant_engine-*.dist-info/METADATA")
    needed = [line for line in metadata.read_text().splitlines() if "extra ==" not in line]
    link_with_dependencies(re.findall(r"^Requires-Dist: ([\w-]+)", "\n".join(needed), re.MULTILINE), packages)
    return python


def link_with_dependencies(names, packages):
    """Links installed distributions, and those that they need, into another environment's packages."""
    for name in names:
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            link, target = packages / top, Path(str(found.locate_file(top)))
            if not link.exists() and target.exists():
                link.symlink_to(target)
        needed = [entry for entry in found.requires or [] if "extra ==" not in entry]
        link_with_dependencies([re.match(r"[\w.-]+", entry).group() for entry in needed], packages)


def test_the_wheel_holds_the_engines_sources_and_nothing_else(wheel, python):
    (installed,) = python.parents[1].glob("lib/python*/site-packages/degree_quant_engine")
    sources = {path.relative_to(ENGINE): path.read_bytes() for path in ENGINE.rglob("*.py")}
    assert {path.relative_to(installed): path.read_bytes() for path in installed.rglob("*.py")} == sources
    assert f"-{engine.__version__}-" in wheel.name
    assert engine.__version__ == app.__version__


@pytest.mark.slow
def test_programs_of_every_architecture_give_the_same_codes_without_torch(python, make_program, make, tmp_path):
    rng = make(3).rng
    x = rng.normal(size=(NODES, WIDTH)).astype(np.float32)
    edge_index, batch = make(4).edges(NODES, 150), np.arange(NODES) // 8
    np.savez(tmp_path / "inputs.npz", x=x, edge_index=edge_index, batch=batch)
    programs = {kind: make_program(kind, WIDTH) for kind in PROGRAMS}
    for kind, program in programs.items():
        save_program(program, tmp_path / kind)
    call(python, "-I", "-c", RUN_ALL, *programs, cwd=tmp_path, env={"DEGREE_QUANT_SIMD": "0"})
    for kind, program in programs.items():
        expected = Executable(program).trace(x, Graph(edge_index, NODES, batch))
        with np.load(tmp_path / f"{kind}.npz") as traced:
            assert set(traced) == set(expected)
            for name, value in expected.items():
                np.testing.assert_array_equal(traced[name], value, err_msg=f"{kind}: {name}")
    command = [python, "-I", "-m", "degree_quant_engine", "run", "graph_gin"]
    call(*command, "--input", "inputs.npz", "--output", "logits.npz", cwd=tmp_path)
    with np.load(tmp_path / "logits.npz") as file, np.load(tmp_path / "graph_gin.npz") as traced:
        np.testing.assert_array_equal(file["logits"], traced["logits"])
