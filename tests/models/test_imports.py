from __future__ import annotations

import sys

import pytest

from models.imports import import_by_name, named_in


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Working directory with modules of a user; `sys.path` and `sys.modules` are as before afterwards."""
    (tmp_path / "users_fine.py").write_text("class Good: ...\n")
    (tmp_path / "users_needy.py").write_text("import users_absent.part\n")
    (tmp_path / "users_broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in [name for name in sys.modules if name.startswith("users_")]:
        del sys.modules[name]


@pytest.mark.usefixtures("here")
def test_modules_of_the_working_directory_are_found():
    module = import_by_name("users_fine", "model.network")
    assert named_in(module, "Good", "model.network") is module.Good


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("users_none", "data: there is no module users_none in "),
        ("users_none.part", "data: there is no module users_none in "),
        ("users_fine.part", "data: there is no module users_fine.part in "),
        ("users_needy", "data: users_needy needs the package users_absent, which "),
        ("users_broken", "data: users_broken fails while imported: ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_missing_is_named(name, sentence):
    with pytest.raises(ValueError, match=sentence):
        import_by_name(name, "data")


@pytest.mark.usefixtures("here")
def test_the_nearest_name_is_proposed():
    with pytest.raises(ValueError, match=r"data: users_fine \(.*users_fine.py\) has no Goood; did you mean Good\?"):
        named_in(import_by_name("users_fine", "data"), "Goood", "data")
