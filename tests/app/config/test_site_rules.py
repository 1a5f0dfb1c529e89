from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from app.cli.main import main
from app.config.cells import select
from app.config.lightning_cli import CellCLI
from app.config.site_rules import take_out
from models.quantization.qconfig import ObserverConfig

FIRST, SECOND = '{"site": "convs.0.weights", "bits": 4}', '{"site": "convs.1.weights", "bits": 2}'
SCHEME = ["*.weights", "*.attention"]


def built(directory: Path, *words: str, cell: str = "synthetic/gcn/dq_int8") -> CellCLI:
    (chosen,) = select(cell)
    files = [word for path in chosen.config_files for word in ("--config", str(path))]
    return CellCLI([*files, *words], directory)


def sites(cli: CellCLI) -> list[str]:
    return [rule.site for rule in cli.model.scheme.overrides]


@pytest.mark.parametrize(
    ("words", "left", "rules"),
    [
        (["--a", "--model.scheme.overrides+=[{a: 1}, {b: 2}]", "--c=1"], ["--a", "--c=1"], [{"a": 1}, {"b": 2}]),
        (["--model.scheme.overrides+", "{a: 1}", "--model.scheme.overrides+={b: 2}"], [], [{"b": 2}, {"a": 1}]),
        (["--model.scheme.overrides+=3"], ["--model.scheme.overrides+=3"], []),
        (["--model.scheme.overrides+"], ["--model.scheme.overrides+"], []),
        (["--model.scheme.overrides=[]", "--trainer.callbacks+=[]"], None, []),
    ],
)
def test_rules_are_taken_out_of_the_words(words: list[str], left: list[str] | None, rules: list[dict]) -> None:
    assert take_out(words) == (words if left is None else left, rules)


@pytest.mark.filterwarnings("error:model")
def test_added_rules_go_in_front_of_those_of_the_scheme(tmp_path: Path) -> None:
    cli = built(tmp_path, f"--model.scheme.overrides+=[{FIRST}]", "--model.scheme.overrides+", SECOND)
    assert sites(cli) == ["convs.1.weights", "convs.0.weights", *SCHEME]
    found = {site.name: site.bits for site in cli.model.network.modules() if getattr(site, "bits", None)}
    assert (found["convs.0.weights"], found["convs.1.weights"], found["convs.0.features"]) == (4, 2, 8)
    assert "convs.1.weights" in cli.resolved()


def test_rules_added_to_a_given_list_go_in_front_of_that(tmp_path: Path) -> None:
    given = '--model.scheme.overrides=[{"site": "*.weights", "bits": 4}]'
    assert sites(built(tmp_path, f"--model.scheme.overrides+={SECOND}", given)) == ["convs.1.weights", "*.weights"]


def test_rules_are_added_where_the_scheme_has_none(tmp_path: Path) -> None:
    cli = built(tmp_path, f"--model.scheme.overrides+={FIRST}", cell="synthetic/gcn/qat_int8")
    assert sites(cli) == ["convs.0.weights"]


def test_a_list_in_place_of_the_scheme_s_own_is_told(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"takes the place of the scheme's own rules for \*\.weights; --model.*\+ would"
    ):
        built(tmp_path, '--model.scheme.overrides=[{"site": "*.weights", "bits": 4}]')


def test_a_list_of_a_config_in_place_of_the_scheme_s_own_is_told(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text('model: {init_args: {scheme: {overrides: [{site: "*.weights", bits: 4}]}}}')
    with pytest.warns(UserWarning, match=r"takes the place of the scheme's own rules for \*\.weights"):
        built(tmp_path, "--config", str(config))


def test_a_rule_takes_nothing_from_the_rule_at_its_place_in_the_list_before(tmp_path: Path) -> None:
    text = (
        '[{"site": "convs.0.inputs", "bits": 4}, {"site": "convs.1.update", "observer": {"statistic": "percentile"}}]'
    )
    config = tmp_path / "mine.yaml"
    config.write_text(f"model: {{init_args: {{scheme: {{overrides: {text}}}}}}}")
    for words in ((f"--model.scheme.overrides={text}",), ("--config", str(config))):
        first, second = built(tmp_path, *words).model.scheme.overrides
        assert (first.bits, first.observer) == (4, None)
        assert second.observer == ObserverConfig("percentile")


def test_a_list_with_the_rules_that_the_network_needs_is_not_told_of(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="model.scheme")
        built(tmp_path, '--model.scheme.overrides=[{"site": "*.weights", "observer": {"statistic": "minmax"}}]')


def test_a_rule_that_changes_nothing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = '--model.scheme.overrides+=[{"site": "convs.7.weights", "bits": 4}]'
    assert main(["fit", "--cell", "synthetic/gcn/dq_int8", "--runs-root", str(tmp_path / "runs"), rules]) == 2
    told = capsys.readouterr().err
    assert "model.scheme.overrides: rule 1 (convs.7.weights) matches no site of this network; did you mean" in told
    assert told.count("\n") == 1
