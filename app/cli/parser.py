"""Takes the words of a command apart: its options, and settings of the configuration. Imports nothing heavy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NoReturn

from app.cli.commands import COMMANDS, Command
from app.cli.words import parse, take_out
from app.errors import EXIT_USER_ERROR

CONFIGURATION = ("model", "data", "trainer", "optimizer", "lr_scheduler", "export")
"""The sections of a configuration: `--SECTION` and `--SECTION.SETTING` go on to the Lightning command line."""

SURELY = 0.8
"""How like an option of the command a misspelt word has to be, for its settings not to be asked at all."""

ALIKE = 0.7
"""How like a setting."""


class Stored(argparse._StoreAction):
    """Stores the value of an option, and knows whether there is one already.

    Attributes:
        only_with: the option without which this one has no effect.
        instead_of: the option with which it has none.
    """

    given = False
    only_with: str | None = None
    instead_of: str | None = None

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Stores it."""
        if self.given and option_string:
            values = self.again(parser, getattr(namespace, self.dest), values, option_string)
        self.given = True
        super().__call__(parser, namespace, values, option_string)

    def again(self, parser: argparse.ArgumentParser, before: Any, values: Any, option_string: str) -> Any:
        """Returns what is stored of a second value."""
        raise NotImplementedError


class Once(Stored):
    """Stores the value of an option that is given once: a second value would silently take the place of the first."""

    def again(self, parser: argparse.ArgumentParser, before: Any, values: Any, option_string: str) -> NoReturn:
        """Refuses it."""
        parser.error(f"{option_string}: given twice; leave one of them out")


class Joined(Stored):
    """Joins the values of an option that takes a list, `A,B`: given twice, both count."""

    def again(self, parser: argparse.ArgumentParser, before: Any, values: Any, option_string: str) -> str:
        """Returns all of them as one text."""
        return f"{before},{values}"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with exit code 2, and whose options cannot be abbreviated.

    An option is given once, unless its action adds up what it is given: `append`, `extend`, or ours, `join`.
    """

    def __init__(self, **kwargs: object) -> None:
        self._files: dict[str, Literal["read", "written"]] = {}
        self._replaced: dict[str, str] = {}
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)  # type: ignore[arg-type]
        for name, action in ((None, Once), ("store", Once), ("join", Joined)):
            self.register("action", name, action)

    def add_argument(self, *names: str, **settings: Any) -> argparse.Action:
        """Adds an option; the help of one that may be repeated, or that depends on another one, says so.

        Args:
            only_with, instead_of: as in `Stored`; given so that it has no effect, the option is refused.
            file: "read" or "written", if the option names files (or folders) that the command reads or writes.
            replaces: the option whose file this one may take the place of.
        """
        if settings.get("action") in {"append", "extend", "join"}:
            settings["help"] += "; may be repeated"
        others = {kind: settings.pop(kind) for kind in ("only_with", "instead_of") if kind in settings}
        for kind, other in others.items():
            settings["help"] += f"; {kind.replace('_', ' ')} {other}"
        file, replaced = settings.pop("file", None), settings.pop("replaces", None)
        action = super().add_argument(*names, **settings)
        if file is not None:
            self._files[action.dest] = file
        if replaced is not None:
            self._replaced[action.dest] = replaced
        for kind, other in others.items():
            setattr(action, kind, other)
        return action

    def refuse_without_effect(self) -> None:
        """Ends the program if an option was given that has no effect beside the others, or without one."""
        stored = [action for action in self._actions if isinstance(action, Stored) and action.given]
        given = {name for action in stored for name in action.option_strings}
        for action in stored:
            if action.only_with and action.only_with not in given:
                self.error(f"{action.option_strings[0]}: has no effect without {action.only_with}")
            if action.instead_of in given:
                self.error(f"{action.option_strings[0]}: has no effect with {action.instead_of}; give one of them")

    def refuse_same_file(self, options: argparse.Namespace) -> None:
        """Ends the program if a file that is written is another one of the command, too: one would take its place."""
        named: dict[Path, str] = {}
        for name, word in self._words(options):
            if name not in self._files or "://" in word:
                continue
            other = named.setdefault(Path(word).absolute(), name)
            written = "written" in {self._files[name], self._files[other]}
            first, second = (self._option(dest) for dest in (other, name))
            meant = first == self._replaced.get(name) or second == self._replaced.get(other)
            if other != name and written and not meant:
                self.error(f"{second} {word}: is that of {first} too; name another file")

    def written(self, options: argparse.Namespace) -> list[tuple[str, str]]:
        """Returns the files (or folders) that options say to write, each behind its option."""
        words = ((name, word) for name, word in self._words(options) if "://" not in word)
        return [(self._option(name), word) for name, word in words if self._files.get(name) == "written"]

    def called(self, options: argparse.Namespace, file: str) -> str:
        """Returns what the user calls a file: `--config FILE` where an option names it."""
        named = (self._option(name) for name, word in self._words(options) if Path(word) == Path(file))
        return f"{next(named, '')} {file}".lstrip()

    def with_option(self, options: argparse.Namespace, message: str) -> str:
        """Returns a message that begins with a file that an option names, with that option in front."""
        for name, word in self._words(options):
            if self._files.get(name) == "read" and message.startswith(f"{word}: "):
                return f"{self._option(name)} {message}"
        return message

    def _words(self, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
        """Yields destination and word of options, as often as they have one."""
        for action in self._actions:
            value = getattr(options, action.dest, None)
            for word in value if isinstance(value, list) else [value]:
                if word and isinstance(word, str):
                    yield action.dest, word

    def _option(self, name: str) -> str:
        """Returns the option of a destination; of what has no name in front, nothing."""
        return next("".join(action.option_strings[-1:]) for action in self._actions if action.dest == name)

    def error(self, message: str) -> NoReturn:
        """Prints one line and exits with code 2."""
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(EXIT_USER_ERROR)


def command_parser(name: str) -> Parser:
    """Returns the parser of a command."""
    command = COMMANDS[name]
    lines = []
    if command.overrides:
        lines += [
            "further options override any setting of the configs, for example",
            "  --data.root DIR --model.lr 0.005 --trainer.max_epochs 50 --model.scheme.bits 6",
        ]
    if command.questions:
        lines += [
            "  --print_config     print the resolved configuration and stop",
            "  --help-all         every setting there is (slow: imports everything)",
        ]
    parser = Parser(prog=f"train.py {name}", description=command.help, epilog="\n".join(lines) or None)
    command.options(parser)
    return parser


def parse_words(
    parser: Parser, arguments: Sequence[str], command: Command, settings: Callable[[], Sequence[str]] = tuple
) -> tuple[argparse.Namespace, list[str]]:
    """Returns the options in the words of a command, and the words left over, which are settings and questions.

    Among the options are, as `written`, the files that they say to write, each behind its option. What is misspelt is
    named before what is missing: mostly, that is the same.

    Args:
        settings: returns the names of all settings, for suggestions; slow.
    """
    required = [action for action in parser._actions if action.required]
    parser.usage = parser.format_usage().removeprefix("usage: ")
    for action in required:
        action.required = False
    # Settings go first: argparse would take the value of an option that it does not know for a word of the command.
    changes, own = take_out(arguments, CONFIGURATION if command.overrides else ())
    options, rest = parser.parse_known_intermixed_args(own)
    for word in parse(rest):
        if word.name not in command.questions:
            parser.error(unknown_word(word.name, parser, command, settings))
    refuse_repeated(parser, changes)
    parser.refuse_without_effect()
    parser.refuse_same_file(options)
    options.written = parser.written(options)
    missing = [action for action in required if getattr(options, action.dest) is None]
    if missing:
        names = ("/".join(action.option_strings) or action.metavar or action.dest for action in missing)
        parser.error(f"{', '.join(map(str, names))}: has to be given")
    return options, [*rest, *changes]


def unknown_word(name: str, parser: Parser, command: Command, settings: Callable[[], Sequence[str]]) -> str:
    """Returns what is said of a word that can be no option of the command, with what may be meant."""
    name = name.removesuffix("+")
    if command.overrides and not name.startswith("-"):
        return f"{name!r}: a word that no option takes"
    known = [*(option for action in parser._actions for option in action.option_strings), *command.questions]
    close = get_close_matches(name, known, n=1, cutoff=SURELY)
    if not close and command.overrides and name.startswith("--"):
        close = close_settings(name.removeprefix("--"), settings())
    others = [word for word in known if word != "--help"]  # which resembles any short word
    close = close or get_close_matches(name, others, n=1)
    return f"no option {name!r}" + (f"; did you mean {' or '.join(map(repr, close))}?" if close else "")


def close_settings(word: str, settings: Sequence[str]) -> list[str]:
    """Returns the settings, two at most, that a word may mean, as options: by its last part (`bits`), or by all."""
    parts: dict[str, str] = {}
    for name in sorted(settings, key=len, reverse=True):  # of several with a last part, the shortest
        parts[name.rpartition(".")[2]] = parts[name] = name
    close = [word] if word in parts else get_close_matches(word, parts, n=2, cutoff=ALIKE)
    return list(dict.fromkeys(f"--{parts[name]}" for name in close))


def refuse_repeated(parser: Parser, words: Sequence[str]) -> None:
    """Ends the program if a setting is given twice: the second value would silently take the place of the first.

    What is added to a list (`--trainer.callbacks+=X`) has settings of its own, with the names of those before.
    """
    given: set[str] = set()
    for word in parse(words):
        name = word.name.replace(".init_args", "")
        if name.endswith("+"):
            given = {other for other in given if not other.startswith(name.removesuffix("+"))}
        elif name in given:
            parser.error(f"{word.name}: given twice; leave one of them out")
        else:
            given.add(name)
