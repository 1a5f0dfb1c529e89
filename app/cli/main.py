"""Runs the command line. Imports nothing heavy, so that help and typing mistakes are answered at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module

from app import __version__
from app.cli.commands import COMMANDS
from app.cli.failures import failure_of_machine
from app.cli.parser import command_parser, parse_words
from app.cli.process import ended_by_signals, prepare_process, sigterm_stops, tell_once
from app.engine.command.streams import prepare_streams
from app.engine.files import going_to_write
from app.errors import EXIT_FAILURE, EXIT_STOPPED, EXIT_USER_ERROR

CONFIG_DIRS = "app.config.cells:add_config_dirs"
"""What adds the folders of --config-dir, before anything else looks for configs."""

OUTPUTS = "app.runs.run_folder:check_outputs"
"""What refuses files of runs where options say to write."""

SETTINGS = "app.config.suggestions", "setting_names"
"""Module and function that name all settings, for suggestions; slow to import."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code.

    Args:
        argv: the words after `train.py`; by default those of the process.

    Environment:
        DEGREE_QUANT_TRACEBACK=1 shows where an error came from.
    """
    prepare_streams()
    try:
        code = dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except OSError as problem:  # of standard output itself
        return print_error(describe_problem(problem))


def dispatch(arguments: list[str]) -> int:
    """Answers --help, --version and misspelled commands; runs the command that the first one or two words name."""
    for word in arguments:
        if any("\ud800" <= letter <= "\udfff" for letter in word):  # a byte that Python could not decode
            encoding = sys.getfilesystemencoding()
            return print_error(
                f"{word}: not in the encoding of this locale ({encoding}); set PYTHONUTF8=1 or rename it"
            )
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
        return print_error(
            f"no command {name!r}" + (f"; did you mean {close[0]!r}?" if close else "; see train.py --help")
        )
    return run_command(name, arguments)


def run_command(name: str, arguments: list[str]) -> int:
    """Parses the words of a command, runs it and returns its exit code; what the user did wrong is one line."""
    command, parser = COMMANDS[name], command_parser(name)
    options, rest = parse_words(parser, arguments, command, all_settings)
    questions = [word for word in rest if word in command.questions]
    target = command.questions[questions[0]] if questions else command.target
    rest = [word for word in rest if word not in questions]
    stopped = "stopped" + ("; the same command continues from the last finished epoch" if command.resumes else "")
    try:
        with sigterm_stops():
            with ended_by_signals(stopped):
                if getattr(options, "config_dir", None):
                    load_function(CONFIG_DIRS)(options, rest)
                if options.written:
                    load_function(OUTPUTS)(options, rest)
                if command.check:
                    load_function(command.check)(options, rest)
                function = load_function(target)
                prepare_process()  # after the import, for Lightning's own resets the level of its messages
            with going_to_write(options.written):
                return function(options, rest)
    except (ValueError, OSError, ModuleNotFoundError) as problem:
        if os.environ.get("DEGREE_QUANT_TRACEBACK"):
            raise
        told = describe_problem(problem, lambda file: parser.called(options, file))
        return print_error(parser.with_option(options, told))
    except (RuntimeError, MemoryError) as problem:
        failure = failure_of_machine(problem)
        if failure is None or os.environ.get("DEGREE_QUANT_TRACEBACK"):
            raise
        print_error(failure)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        tell_once(stopped)
        return EXIT_STOPPED


def usage() -> str:
    """Returns the top-level help."""
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


def all_settings() -> Sequence[str]:
    """Returns the names of all settings; none where the packages that know them are not installed."""
    module, name = SETTINGS
    try:
        names: Sequence[str] = getattr(import_module(module), name)()
    except ImportError:
        return ()
    return names


def print_error(message: str) -> int:
    """Prints one line and returns the exit code of a user's error."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return EXIT_USER_ERROR


def describe_problem(problem: Exception, called: Callable[[str], str] = str) -> str:
    """Returns what an exception says; of the system's errors the file and the reason, of a missing package the cure.

    Args:
        called: returns what the user calls a file.
    """
    if isinstance(problem, ModuleNotFoundError):
        return (
            f"package {problem.name!r} is not installed for {sys.executable}: "
            "run `make install` and use .venv/bin/python train.py"
        )
    if isinstance(problem, OSError) and problem.strerror:
        return f"{called(str(problem.filename))}: {problem.strerror}" if problem.filename else problem.strerror
    return str(problem) or type(problem).__name__


def load_function(target: str) -> Callable[[argparse.Namespace, list[str]], int]:
    """Imports and returns the function `module:function`."""
    module, name = target.split(":")
    function: Callable[[argparse.Namespace, list[str]], int] = getattr(import_module(module), name)
    return function
