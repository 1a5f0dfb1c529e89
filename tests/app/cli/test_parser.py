from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from app.cli.commands import COMMANDS
from app.cli.parser import Parser, command_parser, parse_words

Refused = Callable[..., str]


def parsed(text: str) -> tuple[argparse.Namespace, list[str]]:
    words = text.split()
    return parse_words(command_parser(words[0]), words[1:], COMMANDS[words[0]])


def options_with_values() -> list[tuple[str, str]]:
    """Every option of every command that takes one value."""
    return [
        (name, action.option_strings[0])
        for name in COMMANDS
        for action in command_parser(name)._actions
        if action.option_strings and action.nargs is None
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_given_twice_is_refused_or_counts_twice(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command, option in options_with_values():
        if command != name:
            continue
        parser = command_parser(name)
        for needed in parser._actions:
            needed.required = False
        (action,) = [a for a in parser._actions if option in a.option_strings]
        usual = ("30:3", "40:4") if action.metavar == "NODES:PARTS" else ("3", "4")
        first, second = list(map(str, action.choices))[:2] if action.choices else usual
        if "may be repeated" in str(action.help):
            found, _ = parser.parse_known_args([option, first, option, second])
            value = getattr(found, action.dest)
            read = action.type if callable(action.type) else str
            assert (value.split(",") if isinstance(value, str) else value) == [read(first), read(second)]
        else:
            with pytest.raises(SystemExit):
                parser.parse_known_args([option, first, option, second])
            assert f"{option}: given twice; leave one of them out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("report --output x --summary ./x", "--summary ./x: is that of --output too"),
        ("report --from x --output x", "--from x: is that of --output too"),
        ("tune --cell a/b/c --storage x --output x", "--output x: is that of --storage too"),
        ("predict --config x --output x", "--output x: is that of --config too"),
        ("benchmark latency --output x --plot x", "--plot x: is that of --output too"),
    ],
)
def test_a_file_that_is_written_twice_or_read_and_written_is_refused(
    capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    words = text.split()
    name = " ".join(words[:2]) if words[0] == "benchmark" else words[0]
    with pytest.raises(SystemExit):
        parse_words(command_parser(name), words[len(name.split()) :], COMMANDS[name])
    assert told in capsys.readouterr().err


def test_a_summary_may_be_the_one_that_was_read() -> None:
    assert parsed("report --from x --summary x")[0].summary == "x"


def test_several_values_at_once_and_one_after_the_other_are_the_same() -> None:
    assert parsed("sensitivity --run a b --run c")[0].run == ["a", "b", "c"]
    assert parsed("reproduce t --schemes fp32 --schemes dq_*,qat_*")[0].schemes == "fp32,dq_*,qat_*"
    assert parsed("fit --cell a/b/c --seed 0-2 --seed 7")[0].seed == "0-2,7"
    assert parsed("fit --cell a/b/c")[0].seed == "0"


@pytest.mark.parametrize("text", ["--model.lr 0.1 {} --export=false", "{} --model.lr 0.1 --export=false"])
@pytest.mark.parametrize(
    ("command", "dest", "value"), [("reproduce", "name", "table2"), ("describe", "names", ["cora"])]
)
def test_settings_may_stand_before_the_words_of_a_command(text: str, command: str, dest: str, value: object) -> None:
    word = value if isinstance(value, str) else "cora"
    options, rest = parsed(f"{command} {text.format(word)}")
    assert getattr(options, dest) == value
    assert rest == ["--model.lr", "0.1", "--export=false"]


def test_a_setting_given_twice_is_refused_however_it_is_written(refused: Refused) -> None:
    words = ["fit", "--cell", "synthetic/gcn/fp32", "--model.lr", "1"]
    for again in ("--model.lr=2", "--model.init_args.lr=2"):
        assert "given twice" in refused(*words, again)


def test_items_of_a_list_have_settings_of_their_own() -> None:
    item = "--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=val/loss"
    _, rest = parsed(f"fit --cell a/b/c {item} {item}")
    assert rest == [*item.split(), *item.split()]


@pytest.mark.parametrize(
    ("word", "meant"),
    [("--bits", "--model.scheme.bits"), ("--root", "--data.root"), ("--modl.lr", "--model.lr"),
     ("--epochs", "--trainer.min_epochs' or '--trainer.max_epochs"),
     ("--weight_bit", "--model.scheme.weight_bits"), ("--outptu", "--output")],
)  # fmt: skip
def test_a_setting_without_its_first_words_is_suggested(refused: Refused, word: str, meant: str) -> None:
    assert f"no option {word!r}; did you mean '{meant}'?" in refused("predict", "--cell", "a/b/c", word, "4")


def test_a_parser_of_ours_says_in_its_help_what_may_be_repeated() -> None:
    parser = Parser(prog="x")
    assert parser.add_argument("--a", action="append", help="several").help == "several; may be repeated"
    assert parser.add_argument("--b", help="one").help == "one"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("reproduce t --jobs 1 --ray auto", "--jobs: has no effect with --ray; give one of them"),
        ("reproduce t --ray auto --threads 2", "--threads: has no effect with --ray; give one of them"),
        ("tune --cell a/b/c --storage s --output o --gpus-per-run 0.5", "--gpus-per-run: has no effect without --ray"),
    ],
)
def test_an_option_without_effect_is_refused(text: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(text)
    assert capsys.readouterr().err.startswith(f"error: {told} (see ")


def test_an_option_with_effect_is_taken() -> None:
    options, _ = parsed("reproduce t --ray auto --cpus-per-run 2 --gpus-per-run 0.25")
    assert (options.ray, options.cpus_per_run, options.gpus_per_run) == ("auto", 2, 0.25)
    options, _ = parsed("reproduce t --jobs 3")
    assert (options.ray, options.jobs, options.cpus_per_run) == (None, 3, 1)
