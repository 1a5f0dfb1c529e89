"""What the code of a network of one's own is: its file, and those beside it that it imports."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest

from models.tasks.sources import hash_of, imported_beside

FILES = {
    "mine/__init__.py": "",
    "mine/nets/__init__.py": "from .gcn import Net",
    "mine/nets/gcn.py": "import torch\nimport models\nfrom ..layers import conv\nfrom mine import settings\n"
    "import alone\n\nclass Net: ...\n\ndef late():\n    import missing, needed",
    "mine/layers/__init__.py": "",
    "mine/layers/conv.py": "import mine.nets.gcn",
    "mine/settings.py": "",
    "mine/other.py": "",
    "alone.py": "",
    "needed.py": "no Python",
    "models/__init__.py": "",
    "simple.py": "class Net: ...\n\nclass Call:\n    def __call__(self): ...\n\ncall = Call()",
}
READ = {"mine", "mine.layers", "mine.layers.conv", "mine.nets", "mine.settings", "alone", "needed"}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes files into a folder where modules are looked for last."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    def put(files: dict[str, str]) -> None:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        invalidate_caches()

    put(FILES)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return put


def test_files_that_are_imported_from_where_it_was_found_are_of_a_network(
    write: Callable[..., None], tmp_path: Path
) -> None:
    module = import_module("mine.nets.gcn")
    assert imported_beside(module, tmp_path / "mine/nets/gcn.py").keys() == READ
    package = import_module("mine.nets")
    assert imported_beside(package, tmp_path / "mine/nets/__init__.py").keys() == READ - {"mine.nets"} | {
        "mine.nets.gcn"
    }


@pytest.mark.parametrize("changed", ["mine/nets/gcn.py", "mine/layers/conv.py", "mine/settings.py", "needed.py"])
def test_another_hash_is_of_other_files(write: Callable[..., None], changed: str) -> None:
    make = import_module("mine.nets.gcn").Net
    before = hash_of(make, "mine.nets.gcn")
    write({"mine/other.py": "# not imported", "models/__init__.py": "# ours"})
    assert hash_of(make, "mine.nets.gcn") == before
    write({changed: "# changed"})
    assert hash_of(make, "mine.nets.gcn") != before


def test_a_network_that_imports_nothing_beside_it_is_its_file(write: Callable[..., None], tmp_path: Path) -> None:
    module = import_module("simple")
    content = (tmp_path / "simple.py").read_bytes()
    for make in (module.Net, module.call):
        assert hash_of(make, "simple") == hashlib.sha256(content).hexdigest()[:32]


def test_installed_packages_are_not_followed() -> None:
    module = import_module("torch_geometric.nn.models.basic_gnn")
    assert imported_beside(module, Path(str(module.__file__))) == {}
