from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app import __version__
from app.cli.main import main

CELL = "synthetic/gcn/dq_int8"
Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("fitt", "no command 'fitt'; did you mean 'fit'?"),
        ("zzz", "see train.py --help"),
        ("fit", "--cell DATASET/ARCHITECTURE/SCHEME"),
        ("fit --cel x/y/z", "no option '--cel'; did you mean '--cell'?"),
        ("fit --over --cell x/y/z", "no option '--over'; did you mean '--overwrite'?"),
        ("fit --trainerr.max_epochs 3", "no option '--trainerr.max_epochs'"),
        ("fit --seed_everything 3", "no option '--seed_everything'"),
        ("list --cell x", "no option '--cell' (see train.py list --help)"),
        ("fit --print_confg", "did you mean '--print_config'?"),
        ("fit --cell coraa/gcn/dq_int8", "did you mean 'cora'?"),
        ("fit --cell cora/gcn/dq_int88", "no scheme 'dq_int88'; did you mean 'dq_int8'?"),
        (f"fit --cell {CELL} --seed x", "--seed 'x': expected a whole number"),
        (f"fit --cell {CELL} --threads 0", "--threads: expected a whole number from 1 to 1024, got '0'"),
        (f"fit --cell {CELL} --threads two", "--threads: expected a whole number from 1 to 1024, got 'two'"),
        ("benchmark callers --callers 100000", "--callers: expected a whole number from 1 to 1024, got '100000'"),
        (f"fit --cell {CELL} --config missing.yaml", "--config missing.yaml: No such file or directory"),
        ("describe synthetic --config missing.yaml", "--config missing.yaml: No such file or directory"),
        ("data verify synthetic --config missing.yaml", "--config missing.yaml: No such file or directory"),
        (f"predict --cell {CELL} --output x.csv --program missing", "--program missing: no program here (no manifest"),
        (f"predict --cell {CELL} --output x.csv --program LICENSE", "--program LICENSE: "),
        (f"predict --cell {CELL} --output LICENSE --program LICENSE", "--output LICENSE: is that of --program too"),
        ("report --latency missing.json", "--latency missing.json: No such file or directory"),
        ("report --from missing.jsonl", "--from missing.jsonl: No such file or directory"),
        ("report --document missing.md --runs-root nowhere", "--document missing.md: cannot be read"),
        ("report --summary . --runs-root nowhere", "--summary .: is a folder; name a file"),
        ("report --output . --runs-root nowhere", "--output .: is a folder; name a file"),
        (f"tune --cell {CELL} --output best.yaml --storage .", "--storage .: is a folder; name a file"),
        ("test --overwrite", "no option '--overwrite'"),
        (f"predict --cell {CELL}", "--output"),
        ("export", "--run"),
        ("export --run x --outputt y", "no option '--outputt'; did you mean '--output'?"),
        ("benchmark --run x --repeats 0", "--repeats: expected a whole number from 2 on, got '0'"),
        ("benchmark --run x --threads -1", "--threads: expected"),
        ("list cora", "no option 'cora'"),
        ("report --runs-root /nonexistent", "/nonexistent: no finished runs below this folder"),
        ("benchmark training --steps 1", "--steps: expected a whole number from 2 on"),
        ("benchmark training --cell synthetic/gcn/dq_int8", "add --cell synthetic/gcn/fp32"),
        ("demo --foo", "no option '--foo'"),
    ],
)
def test_a_wrong_word_is_one_line(refused: Refused, words: str, told: str) -> None:
    assert told in refused(*words.split())


def test_bugs_of_ours_stay_visible_on_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEGREE_QUANT_TRACEBACK", "1")
    with pytest.raises(ValueError, match="no finished runs"):
        main(["report", "--runs-root", str(tmp_path)])


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["list"], ["fit", "--help"], ["fitt"], ["fit", "--cel"], ["fit", "--cell", "x/y/z"]],
)
def test_help_and_typing_mistakes_import_nothing_heavy(
    start: Callable[..., subprocess.Popen[str]], words: list[str]
) -> None:
    code = (
        "import sys\nfrom app.cli.main import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'pytorch_lightning', 'torch_geometric', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    process = start("-c", code)
    _, err = process.communicate()
    assert process.returncode == 0, err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_no_command_shows_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


def test_a_mistake_in_a_process_of_its_own(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start("train.py", "fit", "--cell", CELL, "--runs-root", str(tmp_path), "--model.scheme.bits", "four")
    out, err = process.communicate()
    assert (process.returncode, out, err) == (2, "", "error: model.scheme.bits: expected int, got 'four'\n")


def test_without_its_packages_the_program_says_how_to_get_them(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("-S", "train.py", "fit", "--cell", CELL)
    out, err = process.communicate()
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert "is not installed for" in err
    assert "make install" in err


def test_lightning_is_silenced_after_its_import(start: Callable[..., subprocess.Popen[str]]) -> None:
    code = (
        "import logging\nfrom app.cli.main import main\n"
        "main(['data', 'status', 'digits'])\nprint(logging.getLogger('pytorch_lightning').level)"
    )
    assert start("-c", code).communicate()[0] == f"digits         ready\n{logging.WARNING}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fit", "--cell", CELL], "stopped; the same command continues from the last finished epoch"),
        (["reproduce", "table2"], "stopped; the same command continues from the last finished epoch"),
        (["benchmark", "processors"], "stopped"),
        (["list"], "stopped"),
    ],
)
def test_a_command_that_is_stopped_says_whether_it_goes_on_the_next_time(
    words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.cli.main.load_function", lambda target: stopped)
    assert main(words) == 130
    assert capsys.readouterr().err == f"{sentence}\n"


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fit", "--cell", CELL], "stopped; the same command continues from the last finished epoch"),
        (["export", "--run", "nowhere"], "stopped"),
    ],
)
def test_a_signal_while_modules_are_imported_ends_a_command_too(
    start: Callable[..., subprocess.Popen[str]], number: str, words: list[str], sentence: str
) -> None:
    code = f"""if True:
        import builtins, signal, sys
        from app.cli.main import main
        imported = builtins.__import__
        def interrupted(name, *rest):
            if name == "torch":
                signal.raise_signal(signal.{number})
            return imported(name, *rest)
        builtins.__import__ = interrupted
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.exit(main({words!r}))
    """
    process = start("-c", code)
    assert (*process.communicate(), process.returncode) == ("", f"{sentence}\n", 130)
