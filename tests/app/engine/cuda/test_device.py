"""Names of devices, and what each needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from app.engine import Executable
from app.engine.cuda import device as devices
from app.engine.cuda.device import device_of

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def _forgotten():
    device_of.cache_clear()
    yield
    device_of.cache_clear()


def says(monkeypatch, name, *, triton=True, interpreted="", gpus=0):
    monkeypatch.setattr(devices, "find_spec", lambda package: triton or None)
    monkeypatch.setenv("TRITON_INTERPRET", interpreted)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(ValueError, match=r"^device: ") as refused:
        device_of(name)
    return str(refused.value)


def test_what_is_missing_is_named(monkeypatch):
    for name in ("gpu", "cuda:", "cuda:x", "cuda:-1", ""):
        assert "expected 'cpu', 'cuda', 'cuda:N' or 'interpreter'" in says(monkeypatch, name)
    assert "needs Triton, which is not installed" in says(monkeypatch, "cuda", triton=False)
    assert "torch finds no GPU with CUDA here" in says(monkeypatch, "cuda")
    assert "which TRITON_INTERPRET=1 forbids" in says(monkeypatch, "cuda", interpreted="1", gpus=1)
    assert "there are 2 GPUs here, numbered from 0, got 'cuda:2'" in says(monkeypatch, "cuda:2", gpus=2)
    assert "needs TRITON_INTERPRET=1 in the environment" in says(monkeypatch, "interpreter")


def test_the_reference_stays_on_the_cpu(make_program):
    with pytest.raises(ValueError, match="device: the reference backend runs on the CPU only, got 'cuda'"):
        Executable(make_program("gin", 5), "reference", device="cuda")


def test_memory_that_is_full_is_a_memory_error(monkeypatch):
    with pytest.raises(MemoryError, match="the memory of cpu is full"), devices.Device(torch.device("cpu")).current():
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(("package", "called"), [("torch", "torch"), ("triton", "Triton")])
def test_without_a_package_a_device_is_refused_and_the_cpu_serves(tmp_path, package, called):
    (tmp_path / "standalone").symlink_to(ROOT / "app" / "engine", target_is_directory=True)
    code = f"""
import sys
sys.path.insert(0, ".")
from importlib import util
find = util.find_spec
util.find_spec = lambda name, *rest: None if name == "{package}" else find(name, *rest)
sys.modules["{package}"] = None
from standalone import backends
print(backends.backend_of("compiled", "cpu") is backends.COMPILED)
print("torch" in sys.modules and sys.modules["torch"] is not None)
try:
    backends.backend_of("compiled", "cuda")
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["True", "False", f"device: 'cuda' needs {called}, which is not installed"]
