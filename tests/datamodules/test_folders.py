from __future__ import annotations

from pathlib import Path

import pytest

from datamodules.folders import cache_root, data_root, dataset_folder


@pytest.mark.parametrize(
    ("root", "variable", "expected"),
    [("given", "elsewhere", "given"), (None, "elsewhere", "elsewhere"), (None, "", "data"), (None, None, "data")],
)
def test_the_data_root_is_the_given_one_or_the_environments_or_a_default(
    monkeypatch: pytest.MonkeyPatch, root: str | None, variable: str | None, expected: str
) -> None:
    set_or_delete(monkeypatch, "DEGREE_QUANT_DATA", variable)
    assert data_root(root) == Path(expected)


def test_a_data_set_has_a_folder_of_its_own_unless_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEGREE_QUANT_DATA", "elsewhere")
    assert dataset_folder(None, "zinc") == Path("elsewhere/zinc")
    assert dataset_folder("given", "zinc") == Path("given")


@pytest.mark.parametrize(
    ("cache", "variable", "users", "expected"),
    [
        ("given", "elsewhere", "/users", "given"),
        (None, "elsewhere", "/users", "elsewhere"),
        (None, "", "/users", "/users/degree-quant"),
        (None, None, None, "/home/somebody/.cache/degree-quant"),
    ],
)
def test_the_cache_is_the_given_one_or_the_environments_or_the_users(
    monkeypatch: pytest.MonkeyPatch, cache: str | None, variable: str | None, users: str | None, expected: str
) -> None:
    set_or_delete(monkeypatch, "DEGREE_QUANT_CACHE", variable)
    set_or_delete(monkeypatch, "XDG_CACHE_HOME", users)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_root(cache) == Path(expected)


def set_or_delete(monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None) -> None:
    monkeypatch.delenv(variable, raising=False)
    if value is not None:
        monkeypatch.setenv(variable, value)
