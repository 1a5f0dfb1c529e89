from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from app import __version__
from app.cli.commands import COMMANDS
from app.cli.main import command_parser, main
from app.cli.options import at_least
from app.runs.run_folder import Run

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
        ("fit --print_confg", "did you mean '--print_config'?"),
        ("fit --cell coraa/gcn/dq_int8", "did you mean 'cora'?"),
        ("fit --cell cora/gcn/dq_int88", "no scheme 'dq_int88'; did you mean 'dq_int8'?"),
        (f"fit --cell {CELL} --seed x", "--seed 'x': expected a whole number"),
        (f"fit --cell {CELL} --threads 0", "--threads: expected a whole number from 1 on, got '0'"),
        (f"fit --cell {CELL} --threads two", "--threads: expected a whole number from 1 on, got 'two'"),
        (f"fit --cell {CELL} --config missing.yaml", "--config missing.yaml: No such file or directory"),
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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--trainer.max_epoch 5", "trainer.max_epoch: no such setting; did you mean trainer.max_epochs?"),
        ("--trainer.max_epochs abc", "trainer.max_epochs: expected int, got 'abc'"),
        ("--trainer.max_epochs -5", "max_epochs"),
        ("--trainer.devices 0", "devices"),
        ("--trainer.accelerator gpuu", "accelerator"),
        ("--trainer.callbacks+=callbacks.RangeTrackr", "there are callbacks.ExportInt8, "),
        ("--model.scheme.bits four", "model.scheme.bits: expected int, got 'four'"),
        ("--model.scheme.bits 9", "bits: expected a whole number from 2 to 8, got 9"),
        ("--model.scheme.bitz 4", "model.scheme.bitz: no such setting; did you mean model.scheme.bits?"),
        ("--model.scheme.gradient xyz", "model.scheme.gradient: expected one of ste, gc, got 'xyz'"),
        ("--model.scheme.observer.statistic max", "expected one of minmax, percentile, got 'max'"),
        ("--model.scheme.observer.percentile 99", "expected per cent from 0 to below 50, got 99.0"),
        ("--model.scheme.protection.p_min 0.5", "expected 0 <= p_min <= p_max <= 1, got p_min=0.5, p_max=0.1"),
        ("--model.scheme dq", "model.scheme: expected settings by name, got 'dq'"),
        ("--model.lr abc", "model.lr: expected float, got 'abc'"),
        ("--model.lr", "a value is missing"),
        ("--model.lrr 3", "model.lrr: no such setting; did you mean model.lr?"),
        ("--model.architecture GCNN", "model.architecture: no class 'GCNN'; there are models.architectures.GCN"),
        ("--model.architecture models.architectures.GCNN", "no class 'models.architectures.GCNN'; there are"),
        ("--model.architecture.hidden 0", "layers and hidden must be at least 1"),
        ("--model.architecture.norm edg", "model.architecture.norm: expected one of edge, factored, got 'edg'"),
        ("--model NodeClasification", "no class 'NodeClasification'; there are models.tasks.NodeClassification"),
        ("--data datamodules.Cora", "there are datamodules.CitationDataModule, datamodules.DigitsDataModule, "),
        ("--data.features words", "data.features: expected one of row_normalized, raw, got 'words'"),
        ("--data.num_nodes 5", "the split needs at least"),
        ("--data.name Cora", "data.name: not a setting of the class chosen there"),
        ("surplus", "'surplus': a word that no option takes"),
    ],
)
def test_a_wrong_setting_is_one_line_naming_it(refused: Refused, tmp_path: Path, words: str, told: str) -> None:
    assert told in refused("fit", "--cell", CELL, "--runs-root", tmp_path, *words.split())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"model:\n  init_args:\n    lrr: 3\n", "model.lrr: no such setting; did you mean model.lr?"),
        (b"modl:\n  lr: 3\n", "modl.lr: no such setting"),
        (b"trainer:\n  max_epoch: 3\n", "trainer.max_epoch: no such setting; did you mean trainer.max_epochs?"),
        (b"model: {init_args: {scheme: {bits: four}}}\n", "model.scheme.bits: expected int, got 'four'"),
        (b"a: [1, 2\nb: }\n", "wrong.yaml: not valid YAML: line 2"),
        (b"- a\n", "wrong.yaml: expected settings (`model: ...`), got list"),
        (b"", "wrong.yaml: expected settings (`model: ...`), got NoneType"),
        (b"\x00\xff", "wrong.yaml: not a text file in UTF-8"),
    ],
)
def test_a_wrong_config_is_one_line(refused: Refused, tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_bytes(content)
    assert told in refused("fit", "--cell", CELL, "--config", path, "--runs-root", tmp_path)


def test_what_fails_before_training_is_not_held_against_the_next_attempt(
    refused: Refused, train: Callable[..., Run], tmp_path: Path
) -> None:
    told = refused("fit", "--cell", CELL, "--runs-root", tmp_path, "--init-from", tmp_path / "nothing")
    assert f"--init-from {tmp_path / 'nothing'}: no checkpoint" in told
    assert train(CELL, tmp_path, epochs=1).result.exists()


@pytest.mark.parametrize("callback", ["EarlyStopping", "ModelCheckpoint"])
def test_a_callback_that_waits_for_what_nobody_logs_is_one_line(callback, refused, tmp_path):
    words = f"[{{class_path: pytorch_lightning.callbacks.{callback}, init_args: {{monitor: val/none}}}}]"
    settings = ("--trainer.max_epochs", 1, "--trainer.enable_progress_bar", "false", "--trainer.callbacks+", words)
    told = refused("fit", "--cell", CELL, "--runs-root", tmp_path, *settings)
    assert told.startswith("trainer: ")
    assert "val/none" in told


def test_several_devices_for_one_graph_are_refused(refused: Refused, tmp_path: Path) -> None:
    told = refused("fit", "--cell", "cora/gcn/fp32", "--trainer.devices", 2, "--runs-root", tmp_path)
    assert told == "trainer.devices: Cora is one graph, which 2 devices cannot share; use 1 and run seeds side by side"


def test_missing_raw_files_without_network_are_one_line(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(url: str, timeout: float) -> None:
        raise OSError("no route")

    monkeypatch.setattr("datamodules.raw.raw_files.urlopen", no_network)
    told = refused("fit", "--cell", "cora/gcn/fp32", "--data.root", tmp_path / "raw", "--runs-root", tmp_path / "runs")
    assert told.startswith("Cora: ind.cora.x is missing and its download failed (no route): put https://")
    assert told.endswith(str(tmp_path / "raw" / "Cora" / "raw"))


def test_a_runs_root_that_cannot_be_written_is_one_line(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = refused("fit", "--cell", CELL, "--runs-root", tmp_path / "file")
    assert "cannot be written (Not a directory); give another --runs-root" in told


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_run_that_is_not_there_is_one_line(refused: Refused, tmp_path: Path, command: str) -> None:
    told = refused(command, "--cell", CELL, "--seed", 5, "--runs-root", tmp_path)
    assert told == f"{tmp_path / CELL / 'seed=5'}: no trained run here; train it with `train.py fit`"


@pytest.mark.parametrize("command", ["export", "benchmark"])
def test_a_run_folder_that_is_none_is_one_line(refused: Refused, tmp_path: Path, command: str) -> None:
    assert refused(command, "--run", tmp_path) == f"{tmp_path}: no trained run here; train it with `train.py fit`"


def test_fp32_has_no_program(refused: Refused, fp32_run: Run) -> None:
    assert "its scheme is FP32; only quantized runs have an integer program" in refused(
        "export", "--run", fp32_run.directory
    )


def test_outputs_of_the_wrong_kind_are_refused_before_the_work(refused: Refused, dq_run: Run, tmp_path: Path) -> None:
    root = dq_run.directory.parents[3]
    file = tmp_path / "file"
    file.write_text("precious")
    assert "is a folder" in refused("benchmark", "--run", dq_run.directory, "--output", tmp_path)
    assert "is a folder" in refused("predict", "--cell", CELL, "--seed", 3, "--runs-root", root, "--output", tmp_path)
    assert "is a file" in refused("export", "--run", dq_run.directory, "--output", file)
    assert file.read_text() == "precious"


def test_settings_that_make_another_model_than_was_trained_are_one_line(refused: Refused, dq_run: Run) -> None:
    root = dq_run.directory.parents[3]
    told = refused("test", "--cell", CELL, "--seed", 3, "--runs-root", root, "--model.architecture.hidden", 5)
    assert f"{dq_run.best_checkpoint}: is of another model" in told


def test_a_program_that_is_none_or_of_another_width_is_one_line(refused: Refused, dq_run: Run, tmp_path: Path) -> None:
    predict = ["predict", "--cell", CELL, "--runs-root", tmp_path, "--output", tmp_path / "x.csv", "--program"]
    assert str(tmp_path / "nothing") in refused(*predict, tmp_path / "nothing")
    told = refused(*predict, dq_run.program)
    assert told == f"--program {dq_run.program}: reads 120 features per node, synthetic has 1433"
    assert not (tmp_path / "x.csv").exists()


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


def test_help_names_every_command_and_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    for name in COMMANDS:
        assert name in overview
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0
        text = capsys.readouterr().out
        assert all(option in text for action in command_parser(name)._actions for option in action.option_strings)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_no_command_shows_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


def test_print_config_prints_the_resolved_yaml_and_makes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--cell", CELL, "--seed", "4", "--model.lr", "0.3", "--runs-root", str(tmp_path / "runs")]
    assert main(["fit", "--print_config", *words]) == 0
    out, err = capsys.readouterr()
    settings = yaml.safe_load(out)
    assert err == ""
    assert settings["seed_everything"] == 4
    assert settings["model"]["init_args"]["lr"] == 0.3
    assert settings["model"]["init_args"]["scheme"]["bits"] == 8
    assert settings["data"]["class_path"] == "datamodules.SyntheticDataModule"
    assert not (tmp_path / "runs").exists()


def test_print_config_is_a_config_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["fit", "--cell", "synthetic/gat/nqat_int4", "--model.lr", "0.3", "--print_config"]) == 0
    first = capsys.readouterr().out
    (tmp_path / "all.yaml").write_text(first)
    assert main(["fit", "--config", str(tmp_path / "all.yaml"), "--print_config"]) == 0
    assert capsys.readouterr().out.replace("/all/", "/") == first


def test_help_all_lists_settings_without_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["fit", "--help-all"])
    assert end.value.code == 0
    assert "--trainer.max_epochs" in capsys.readouterr().out


def test_list_names_every_scheme(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("synthetic", "gcn_factored", "nqat_int4"))


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


@pytest.mark.parametrize(("text", "holds"), [("2", True), ("1", False), ("-3", False), ("2.0", False), ("²", False)])
def test_at_least(text: str, holds: bool) -> None:
    number = at_least(2)
    if holds:
        assert number(text) == int(text)
    else:
        with pytest.raises(Exception, match="expected a whole number from 2 on"):
            number(text)
