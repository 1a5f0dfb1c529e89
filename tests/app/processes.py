"""Runs commands in processes that begin at once: they are forked from one that has imported the program."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from typing import NoReturn

from app.cli.main import main

PRELOADED = "app.runs.fit"
"""Imports everything heavy."""


def fork(*words: object) -> BaseProcess:
    """Starts a command; `exitcode` of the process is that of the command."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    process = context.Process(target=run, args=([str(word) for word in words],))
    process.start()
    return process


def run(words: Sequence[str]) -> NoReturn:
    """Runs a command in this process and ends it."""
    raise SystemExit(main(words))
