from __future__ import annotations

import pytest

from app.cli.words import Word, as_words, parse


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--a.b", "1", "--c=2"], [("--a.b", "1"), ("--c", "2")]),
        (["--a", "-1", "--b", "--c", "x=y"], [("--a", "-1"), ("--b", None), ("--c", "x=y")]),
        (["--a=", "--b+", "[1]", "--c+=x=y"], [("--a", ""), ("--b+", "[1]"), ("--c+", "x=y")]),
        (["stray", "--a", "1", "x=2"], [("stray", None), ("--a", "1"), ("x=2", None)]),
        (["--a"], [("--a", None)]),
        ([], []),
    ],
)
def test_words_are_taken_apart_in_both_forms(words: list[str], expected: list[tuple[str, str | None]]) -> None:
    assert parse(words) == [Word(*pair) for pair in expected]


@pytest.mark.parametrize("words", [["--a.b", "1", "--c"], ["--a=", "stray", "--b+", "[1]"]])
def test_one_word_each_means_the_same(words: list[str]) -> None:
    assert parse([str(word) for word in parse(words)]) == parse(words)


def test_parts_of_a_word() -> None:
    word = Word("--model.scheme.overrides+", "[]")
    assert (word.key, word.section, word.is_option) == ("model.scheme.overrides+", "model", True)
    assert Word("--data+", "x").section == "data"
    assert not Word("data", None).is_option


def test_settings_become_words() -> None:
    values = {"a.b": 0.1, "c": "ste", "d": None, "e": {"f": [1]}, "g": True}
    assert as_words(values) == ("--a.b=0.1", "--c=ste", "--d=null", '--e={"f": [1]}', "--g=true")
