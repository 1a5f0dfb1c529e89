"""Compiled kernels are kept on disk, never longer than the sources they come from."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest

from app.engine.kernel_cache import CheckedFiles, source_digest

ROOT = Path(__file__).parents[3]

KERNEL = """
from pathlib import Path
from app.engine.kernel_cache import cached_njit
from callee import addend

@cached_njit(Path(__file__).parent)
def add(x):
    return x + addend()
"""
CALLEE = """
from numba import njit

@njit
def addend():
    return {number}
"""
RUN = """
from numba.core import event
from kernel import add
with event.install_recorder("numba:compile") as compiled:
    print(add(1), "compiled" if compiled.buffer else "loaded")
"""


@pytest.fixture
def package(tmp_path):
    """A folder with a kernel that calls a function in another file."""
    (tmp_path / "kernel.py").write_text(KERNEL)
    (tmp_path / "callee.py").write_text(CALLEE.format(number=1))
    return tmp_path


def run(package, code=RUN, **variables):
    """What a new process writes that imports from the package."""
    environment = os.environ | {"PYTHONPATH": f"{package}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"} | variables
    environment = {name: value for name, value in environment.items() if value}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


def test_kernels_are_compiled_anew_when_what_they_call_has_changed(package):
    assert run(package, NUMBA_CACHE_DIR="").stdout == "2 compiled\n"
    assert run(package, NUMBA_CACHE_DIR="").stdout == "2 loaded\n"
    (package / "callee.py").write_text(CALLEE.format(number=5))
    assert run(package, NUMBA_CACHE_DIR="").stdout == "6 compiled\n"
    assert run(package, NUMBA_CACHE_DIR="").stdout == "6 loaded\n"


def test_where_nothing_can_be_written_kernels_run_and_one_warning_says_what_to_set(package):
    (package / "__pycache__").touch()  # no folder can have this name now
    code = f"{RUN}\nprint(add(1.5))\nfrom app.engine import kernel_cache\nprint(kernel_cache.are_kept())"
    result = run(package, code, NUMBA_CACHE_DIR="", HOME=os.devnull, XDG_CACHE_HOME="")
    assert result.stdout == "2 compiled\n2.5\nFalse\n"
    assert result.stderr.count("UserWarning: compiled kernels cannot be kept on disk") == 1
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in result.stderr
    assert run(package, NUMBA_CACHE_DIR=str(package / "cache")).stderr == ""


UNWRITABLE = """
import tempfile
def fail(*arguments, **options):
    raise OSError(30, "Read-only file system")
tempfile.TemporaryFile = fail  # how numba finds out whether a folder can be written; root can write anywhere
"""


@pytest.mark.parametrize("folder", ["", "cache"], ids=["beside the source", "NUMBA_CACHE_DIR"])
def test_a_filled_cache_is_used_where_it_cannot_be_written(package, folder):
    cache = str(package / folder) if folder else ""
    assert run(package, NUMBA_CACHE_DIR=cache).stdout == "2 compiled\n"
    result = run(package, UNWRITABLE + RUN, NUMBA_CACHE_DIR=cache)
    assert (result.stdout, result.stderr) == ("2 loaded\n", "")
    (package / "callee.py").write_text(CALLEE.format(number=5))
    assert run(package, UNWRITABLE + RUN, NUMBA_CACHE_DIR=cache).stdout == "6 compiled\n"


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize(
    "damage", [lambda whole: b"", lambda whole: whole[: len(whole) // 2], lambda whole: b"\x80\x04none"]
)
def test_damaged_files_are_compiled_anew_and_replaced(package, ending, damage):
    cache = package / "cache"
    assert run(package, NUMBA_CACHE_DIR=str(cache)).stdout == "2 compiled\n"
    files = [*cache.rglob(f"*.{ending}")]
    assert files
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    assert run(package, NUMBA_CACHE_DIR=str(cache)).stdout == "2 compiled\n"
    assert run(package, NUMBA_CACHE_DIR=str(cache)).stdout == "2 loaded\n"


TOGETHER = """
import sys
from pathlib import Path
from time import sleep
Path(sys.argv[1]).touch()
while not Path("go").exists():
    sleep(0.01)
"""


def start_together(package, number, **variables):
    """What so many processes write that import and compile at the same time."""
    environment = (
        os.environ | {"PYTHONPATH": f"{package}:{ROOT}", "NUMBA_CACHE_DIR": str(package / "cache")} | variables
    )
    commands = [[sys.executable, "-c", f"import kernel\n{TOGETHER}\n{RUN}", f"ready{i}"] for i in range(number)]
    processes = [subprocess.Popen(c, cwd=package, env=environment, stdout=subprocess.PIPE, text=True) for c in commands]
    while not all((package / command[-1]).exists() for command in commands):
        assert all(process.poll() is None for process in processes)
        sleep(0.01)
    (package / "go").touch()
    return [process.communicate()[0] for process in processes]


def test_processes_that_start_together_compile_once(package):
    written = start_together(package, 4)
    assert sorted(written) == ["2 compiled\n", *["2 loaded\n"] * 3]


def test_who_waits_for_too_long_compiles_for_itself(package):
    """Here for a lock that is never given back."""
    assert run(package, "import kernel", NUMBA_CACHE_DIR=str(package / "cache")).stdout == ""
    code = "import app.engine.kernel_cache as cache, kernel; print(kernel.add._cache.turn._path)"
    path = Path(run(package, code, NUMBA_CACHE_DIR=str(package / "cache")).stdout.strip())
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        impatient = f"import app.engine.files as files; files.PATIENCE = 0.1{RUN}"
        assert run(package, impatient, NUMBA_CACHE_DIR=str(package / "cache")).stdout == "2 compiled\n"


def test_a_kernel_that_cannot_be_compiled_gives_its_turn_back(package):
    code = """
import numba, kernel
for x in ("text", 1):
    try:
        print(kernel.add(x))
    except numba.TypingError:
        print("refused")
with kernel.add._cache.turn._path.open("ab") as file:
    import fcntl
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""
    assert run(package, code, NUMBA_CACHE_DIR=str(package / "cache")).stdout == "refused\n2\n"


def test_without_compiling_nobody_is_warned(package):
    (package / "__pycache__").touch()
    result = run(package, "import kernel", NUMBA_CACHE_DIR="", HOME=os.devnull, XDG_CACHE_HOME="")
    assert result.stderr == ""


def test_a_cache_that_breaks_off_costs_a_warning(package):
    """The folder can be written when the kernel is defined and is gone when it has been compiled."""
    code = f"import shutil, kernel; shutil.rmtree('cache'); open('cache', 'w').close(){RUN}"
    code = f"import os; os.chdir({str(package)!r}); {code}"
    result = run(package, code, NUMBA_CACHE_DIR="cache")
    assert result.stdout == "2 compiled\n"
    assert result.stderr.count("compiled kernels cannot be kept on disk") == 1


def test_functions_stay_as_they_are_where_numba_is_switched_off(package):
    assert run(package, NUMBA_DISABLE_JIT="1").stdout == "2 loaded\n"


def test_a_file_that_another_process_replaced_is_not_loaded(tmp_path):
    ours, others = (CheckedFiles(str(tmp_path), "kernel", stamp) for stamp in ("new", "old"))
    ours.save("int32", "our code")
    index = (tmp_path / "kernel.nbi").read_bytes()
    others.save("int32", "stale code")
    (tmp_path / "kernel.nbi").write_bytes(index)
    assert ours.load("int32") is None
    ours.save("int32", "our code")
    assert ours.load("int32") == "our code"
    assert ours.load("int64") is None


def test_the_digest_sees_every_file_by_name_and_content(tmp_path):
    digests = set()
    for name, content in (("a.py", "1"), ("a.py", "2"), ("b.py", "2"), ("below/c.py", "")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
        source_digest.cache_clear()
        digests.add(source_digest(tmp_path))
    (tmp_path / "notes.txt").touch()
    source_digest.cache_clear()
    assert source_digest(tmp_path) in digests
    assert len(digests) == 4


def test_sources_under_two_names_share_no_kernels(package):
    """As an installed engine and a checkout do: kernels are kept with types that are looked up by module."""
    (package / "real").mkdir()
    (package / "real" / "kernel.py").write_text(KERNEL)
    for name in ("one", "two"):
        (package / name).symlink_to(package / "real", target_is_directory=True)
    code = RUN.replace("from kernel", "from {}.kernel")
    told = [run(package, code.format(name), NUMBA_CACHE_DIR="").stdout.split()[1] for name in ("one", "two") * 2]
    assert told == ["compiled", "compiled", "loaded", "loaded"]
