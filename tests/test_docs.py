"""What the pages name exists: files, links, headings, commands and their options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from app.cli.commands import COMMANDS
from app.cli.parser import command_parser, parse_words

PROJECT = Path(__file__).resolve().parent.parent
PAGES = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]
NAMES = [page.relative_to(PROJECT).as_posix() for page in PAGES]
PATH = re.compile(r"`((?:app|callbacks|configs|datamodules|docs|models|tests)/[\w./-]*)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
COMMAND = re.compile(r"^(?:[\w./]*python )?train\.py (\S.*)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The names that links to headings of a page may have."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(text: str) -> list[str]:
    """The words behind `train.py` of every command in the code blocks of a text."""
    blocks = re.findall(r"^```(?:bash|sh)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line for line in COMMAND.findall(joined) if "COMMAND" not in line]


@pytest.mark.parametrize("name", NAMES)
def test_paths_exist(name):
    named = PATH.findall((PROJECT / name).read_text())
    assert [path for path in named if not (PROJECT / path).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    page = PROJECT / name
    wrong = []
    for path, heading in LINK.findall(page.read_text()):
        target = (page.parent / path) if path else page
        if not target.exists() or (heading and heading not in anchors(target)):
            wrong.append(f"{path}#{heading}")
    assert wrong == []


@pytest.mark.parametrize("name", [name for name in NAMES if commands((PROJECT / name).read_text())])
def test_commands_and_their_options_exist(name):
    for line in commands((PROJECT / name).read_text()):
        words = shlex.split(line, comments=True)
        count = 2 if " ".join(words[:2]) in COMMANDS else 1
        command = " ".join(words[:count])
        if words[0].startswith("--"):
            continue
        assert command in COMMANDS, line
        parse_words(command_parser(command), words[count:], COMMANDS[command])
