"""The command line. This file imports nothing heavy, so help and typing mistakes answer at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

from app import __version__
from app.options import at_least, data, data_sets, place, report, reproduce, sensitivity, tune

EXIT_USER_ERROR = 2


class UserError(ValueError):
    """Something the user can put right: shown as one line, exit code 2."""


@dataclass(frozen=True)
class Command:
    """A subcommand: its help line, its function as `module:function`, its options.

    `open_ended`: options it does not know go on to the Lightning command line. `check`: a function like `target` that
    finds what is wrong with the options before anything heavy is imported.
    """

    help: str
    target: str
    options: Callable[[argparse.ArgumentParser], None]
    open_ended: bool = False
    check: str | None = None


class Parser(argparse.ArgumentParser):
    """Errors are one line with exit code 2; options are never abbreviated."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """One line, exit code 2."""
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(EXIT_USER_ERROR)


def _experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cell", action="append", default=[], metavar="DATASET/ARCHITECTURE/SCHEME",
        help="what to run, e.g. cora/gcn/dq_int8; globs in quotes ('cora/*/dq_*'); may be repeated; see `list`",
    )  # fmt: skip
    parser.add_argument("--seed", default="0", metavar="K", help="seed, list or range: 3 or 0,4 or 0-9 (default: 0)")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="YAML on top of (or instead of) the cell"
    )
    place(parser)


def _fit(parser: argparse.ArgumentParser) -> None:
    _experiment(parser)
    parser.add_argument("--overwrite", action="store_true", help="repeat finished runs from the start")
    parser.add_argument(
        "--threads",
        type=at_least(1),
        default=1,
        metavar="N",
        help="CPU threads (default: 1; graphs of this size gain more from runs side by side)",
    )
    parser.add_argument(
        "--init-from",
        metavar="RUN",
        help="weights to start from: a run, a checkpoint, or a scheme (this cell and seed in it)",
    )


def _predict(parser: argparse.ArgumentParser) -> None:
    _experiment(parser)
    parser.add_argument(
        "--program", metavar="PATH", help="run this integer program instead of the run's own checkpoint"
    )
    parser.add_argument("--output", metavar="FILE.csv", required=True, help="where the predictions go")


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", metavar="DIR", required=True, help="folder of a trained run")
    parser.add_argument("--output", metavar="PATH", help="where the program goes (default: program/ in the run)")
    parser.add_argument(
        "--float64", action="store_true", help="also compare both with the trained model computing in float64 (slow)"
    )


def _benchmark(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", metavar="DIR", required=True, help="folder of a trained run")
    parser.add_argument("--repeats", type=at_least(2), default=50, metavar="N", help="timed calls (default: 50)")
    parser.add_argument("--threads", type=at_least(1), default=1, metavar="N", help="for the FP32 peer (default: 1)")
    parser.add_argument("--output", metavar="FILE.json", help="also write the figures as JSON")


def _benchmark_training(parser: argparse.ArgumentParser) -> None:
    _experiment(parser)
    parser.add_argument("--steps", type=at_least(2), default=200, metavar="N", help="timed steps (default: 200)")
    parser.add_argument("--threads", type=at_least(1), default=1, metavar="N", help="CPU threads (default: 1)")
    parser.add_argument("--output", metavar="FILE.json", help="also write the figures as JSON")


def _networks(parser: argparse.ArgumentParser, workloads: str) -> None:
    """What `benchmark latency` and `benchmark memory` run, on which data, and where the figures go."""
    several: dict[str, Any] = {"action": "append", "default": [], "metavar": "NAME"}
    parser.add_argument("--workload", help=workloads, **several)
    parser.add_argument("--network", help="gcn, gcn_factored, gin or gat (default: all)", **several)
    parser.add_argument("--data-root", metavar="DIR", help="of raw data (default: $DEGREE_QUANT_DATA or data)")
    parser.add_argument("--output", metavar="FILE.json", help="also write the figures as JSON")


def _benchmark_latency(parser: argparse.ArgumentParser) -> None:
    _networks(parser, "cifar10, zinc, reddit_binary, ..., or all but reddit_full: all (default: cifar10, zinc)")
    parser.add_argument("--threads", help="CPU threads, several times for several (default: 1)", action="append",
                        type=at_least(1), default=[], metavar="N")  # fmt: skip
    parser.add_argument("--repeats", type=at_least(2), default=5, metavar="N", help="timed calls (default: 5)")
    parser.add_argument("--plot", metavar="FILE.png", help="also draw them as bars; needs Matplotlib")


def _benchmark_memory(parser: argparse.ArgumentParser) -> None:
    _networks(parser, "one of `benchmark latency` (default: cifar10)")


def _demo(parser: argparse.ArgumentParser) -> None:
    place(parser)
    parser.add_argument("--overwrite", action="store_true", help="train again what is finished")


def _none(parser: argparse.ArgumentParser) -> None:
    pass


CELLS = "app.cells:check_words"
COMMANDS: dict[str, Command] = {
    "fit": Command("train cells, choose on validation, test, export; resumes what was cut short",
                   "app.experiments:fit", _fit, True, CELLS),
    "validate": Command("evaluate a finished run on the validation split", "app.evaluate:validate", _experiment, True,
                        CELLS),
    "test": Command("evaluate a finished run on the test split", "app.evaluate:test", _experiment, True, CELLS),
    "predict": Command("write predictions as CSV, from a run's checkpoint or an integer program",
                       "app.evaluate:predict", _predict, True, CELLS),
    "export": Command("write the integer program of a run", "app.export:export", _export),
    "sensitivity": Command("what each site costs trained runs: alone in codes, and alone in floats",
                           "app.sensitivity:sensitivity", sensitivity),
    "benchmark": Command("time a run's FP32 PyG forward against its INT8 and INT4 programs",
                         "app.latency:benchmark", _benchmark),
    "benchmark training": Command("time the training steps of cells against FP32, interleaved",
                                  "app.training_speed:benchmark_training", _benchmark_training, True, CELLS),
    "benchmark latency": Command("time two-layer networks of width 128 in the engine against PyG and torch",
                                  "app.network_latency:benchmark_latency", _benchmark_latency),
    "benchmark memory": Command("measure the memory of their forwards, each in a fresh process",
                                "app.network_memory:benchmark_memory", _benchmark_memory),
    "reproduce": Command("run what is missing of a table of the paper, in many processes; resumes, shows the table",
                         "app.reproduce:reproduce", reproduce, True, "app.grids:check_words"),
    "tune": Command("search the hyper-parameters of a cell on the validation split",
                    "app.tuning:tune", tune, True, CELLS),
    "report": Command("tables of mean and deviation over the seeds of finished runs", "app.report:report", report),
    "demo": Command("train, export and time FP32, QAT and DQ on the embedded data set", "app.demo:demo", _demo),
    "data": Command("what data is there, what is missing and where it belongs; prepare and verify it",
                    "app.data_command:data", data),
    "describe": Command("print networks, parameters and data sets (the paper's Tables 5 to 7)",
                        "app.describe:describe", data_sets),
    "list": Command("list the cells", "app.cells:list_cells", _none),
}  # fmt: skip


CONFIGURATION = ("model", "data", "trainer", "optimizer", "lr_scheduler")
"""The sections of a configuration: `--SECTION` and `--SECTION.SETTING` go on to the Lightning command line."""

QUESTIONS = {"--help-all": "app.experiments:help_all", "--print_config": "app.experiments:print_config"}
"""Options of open-ended commands that ask about the configuration instead of using it."""


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
