"""The package loads a name when it is first asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import app.engine

ROOT = Path(__file__).parents[3]


def in_a_new_process(code):
    """What `code` prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def test_importing_the_package_loads_no_compiler():
    assert in_a_new_process("import sys, app.engine; print('numba' in sys.modules)") == ["False"]


def test_every_public_name_can_be_imported():
    code = (
        "from app.engine import *; print(Executable.__name__, Graph.__name__, load_program.__name__, compile_seconds())"
    )
    assert in_a_new_process(code) == ["Executable", "Graph", "load_program", "0.0"]


def test_names_are_listed_before_they_are_loaded():
    code = "import sys, app.engine; print(*dir(app.engine), 'numba' in sys.modules)"
    *names, loaded = in_a_new_process(code)
    assert set(app.engine.__all__) <= set(names)
    assert loaded == "False"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'app\.engine' has no attribute 'Engine'"):
        app.engine.Engine  # noqa: B018
