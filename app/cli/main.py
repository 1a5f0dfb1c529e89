"""The command line. This file imports nothing heavy, so help and typing mistakes answer at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

from app import __version__
from app.cli.commands import CELLS, COMMANDS, QUESTIONS
from app.errors import EXIT_USER_ERROR


class Parser(argparse.ArgumentParser):
    """Errors are one line with exit code 2; options are never abbreviated."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """One line, exit code 2."""
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(EXIT_USER_ERROR)


CONFIGURATION = ("model", "data", "trainer", "optimizer", "lr_scheduler")
"""The sections of a configuration: `--SECTION` and `--SECTION.SETTING` go on to the Lightning command line."""


def usage() -> str:
    """The top-level help."""
    lines = [f"  {name:18} {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: train.py COMMAND [OPTIONS]",
            "",
            "Degree-Quant: train graph neural networks that run in INT8 and INT4, and run them.",
            "",
            "commands:",
            *lines,
            "",
            "  train.py COMMAND --help    options of a command",
            "  train.py --version         version",
            "",
            "example: train.py fit --cell synthetic/gcn/dq_int8 --seed 3",
        ]
    )


def parser_of(name: str) -> Parser:
    """The parser of a subcommand."""
    command = COMMANDS[name]
    epilog = None
    if command.open_ended:
        epilog = (
            "further options override any setting of the configs, for example\n"
            "  --data.root DIR --model.lr 0.005 --trainer.max_epochs 50 --model.scheme.bits 6"
        )
    if epilog and command.check == CELLS:
        epilog += (
            "\n  --print_config     print the resolved configuration and stop\n"
            "  --help-all         every setting there is (slow: imports everything)"
        )
    parser = Parser(prog=f"train.py {name}", description=command.help, epilog=epilog)
    command.options(parser)
    return parser


def check_options(parser: Parser, rest: list[str], open_ended: bool, questions: Mapping[str, str]) -> None:
    """Ends the program if a word of `rest` can be no option of the command, before anything heavy is imported."""
    known = [option for action in parser._actions for option in action.option_strings]
    for before, word in zip(["", *rest], rest, strict=False):
        name = word.split("=")[0].removesuffix("+")
        is_value = not word.startswith("--") and before.startswith("--") and "=" not in before
        if open_ended and (is_value or name[2:].split(".")[0] in CONFIGURATION or word in questions):
            continue
        if open_ended and not word.startswith("-"):
            parser.error(f"{word!r}: a word that no option takes")
        close = get_close_matches(name, known + list(questions), n=1)
        parser.error(f"no option {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))


def fail(message: str) -> int:
    """Prints one line and returns the exit code of a user's error."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return EXIT_USER_ERROR


def describe(problem: Exception) -> str:
    """What an exception says; for the system's errors, the file and the reason; for a missing package, the cure."""
    if isinstance(problem, ModuleNotFoundError):
        return (
            f"package {problem.name!r} is not installed for {sys.executable}: "
            "run `make install` and use .venv/bin/python train.py"
        )
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.filename}: {problem.strerror}" if problem.filename else problem.strerror
    return str(problem) or type(problem).__name__


def function(target: str) -> Callable[[argparse.Namespace, list[str]], int]:
    """Imports and returns the function `module:function`."""
    module, name = target.split(":")
    return getattr(import_module(module), name)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code. DEGREE_QUANT_TRACEBACK=1 shows where an error came from."""
    try:
        code = run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def run(arguments: list[str]) -> int:
    """`main` for given words."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else EXIT_USER_ERROR
    if arguments[0] == "--version":
        print(f"degree-quant-lightning {__version__}")
        return 0
    words = 2 if " ".join(arguments[:2]) in COMMANDS else 1
    name, arguments = " ".join(arguments[:words]), arguments[words:]
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, n=1)
        return fail(f"no command {name!r}" + (f"; did you mean {close[0]!r}?" if close else "; see train.py --help"))
    parser = parser_of(name)
    options, rest = parser.parse_known_intermixed_args(arguments)
    questions = QUESTIONS if COMMANDS[name].check == CELLS else {}
    check_options(parser, rest, COMMANDS[name].open_ended, questions)
    question = next((word for word in rest if word in questions), None)
    try:
        if check := COMMANDS[name].check:
            function(check)(options, rest)
        if question:
            return function(QUESTIONS[question])(options, [word for word in rest if word not in QUESTIONS])
        return function(COMMANDS[name].target)(options, rest)
    except BrokenPipeError:
        raise
    except (ValueError, OSError, ModuleNotFoundError) as problem:
        if os.environ.get("DEGREE_QUANT_TRACEBACK"):
            raise
        return fail(describe(problem))
    except KeyboardInterrupt:
        print("stopped; the same command continues from the last finished epoch", file=sys.stderr)
        return 130
