from __future__ import annotations

import pytest

from app.cli.commands import COMMANDS
from app.cli.main import load_function, main
from app.cli.parser import command_parser


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    assert all(f"  {name} " in overview for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_names_all_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*name.split(), "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(option in text for action in command_parser(name)._actions for option in action.option_strings)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_functions_of_a_command_exist(name: str) -> None:
    command = COMMANDS[name]
    for target in filter(None, (command.target, command.check, *command.questions.values())):
        assert callable(load_function(target))
