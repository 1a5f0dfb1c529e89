from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from pytorch_lightning.callbacks import LearningRateMonitor

from app.cli.main import main
from app.config.cells import select
from app.config.layers import find, layers_of
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
        (
            ["--a=1", "--model.scheme.overrides+=[{a: 1}, {b: 2}]", "--c=1"],
            [{"a": 1}, {}, {"c": 1}],
            [{"a": 1}, {"b": 2}],
        ),
        (["--model.scheme.overrides+", "{a: 1}", "--model.scheme.overrides+={b: 2}"], [{}, {}], [{"b": 2}, {"a": 1}]),
        (["--model={scheme: {overrides+: {a: 1}, bits: 4}}"], [{"bits": 4}], [{"a": 1}]),
        (["--model.scheme.overrides+=3"], [{"overrides+": 3}], []),
        (["--model.scheme.overrides+"], [{"overrides+": None}], []),
        (["--model.scheme.overrides=[]"], [{"overrides": []}], []),
    ],
)
def test_rules_are_taken_out_of_the_layers(words: list[str], left: list[dict], rules: list[dict]) -> None:
    layers, found = take_out(layers_of(words))
    assert found == rules
    assert [find(layer.settings, ("model", "scheme")) or layer.settings.get("model", {}).get("scheme", layer.settings)
            for layer in layers] == left  # fmt: skip


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


@pytest.mark.parametrize(
    "text",
    [
        f"model: {{init_args: {{scheme: {{overrides+: [{FIRST}]}}}}}}",
        f"model: {{scheme: {{overrides+: {FIRST}}}}}",
        f"model.scheme.overrides+: [{FIRST}]",
    ],
)
@pytest.mark.filterwarnings("error:model")
def test_rules_added_in_a_file_go_in_front_too(tmp_path: Path, text: str) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(text)
    cli = built(tmp_path, "--config", str(config), f"--model.scheme.overrides+={SECOND}")
    assert sites(cli) == ["convs.1.weights", "convs.0.weights", *SCHEME]
    assert config.read_text() == text


def test_a_callback_takes_nothing_from_the_callback_at_its_place_in_the_list_before(tmp_path: Path) -> None:
    last = "pytorch_lightning.callbacks.LearningRateMonitor"
    classes = [*["callbacks.RangeTracker"] * 6, last]
    given = [callback for callback in built(tmp_path).trainer.callbacks if isinstance(callback, LearningRateMonitor)]
    assert [callback.logging_interval for callback in given] == ["epoch"]
    words = f"--trainer.callbacks={json.dumps([{'class_path': name} for name in classes])}"
    own = [
        callback for callback in built(tmp_path, words).trainer.callbacks if isinstance(callback, LearningRateMonitor)
    ]
    assert [callback.logging_interval for callback in own] == [None]


@pytest.mark.parametrize(
    "words",
    [["--model.scheme.protection=null"], ["--model.scheme.protection", "null"], ["--model.scheme={protection: null}"]],
)
def test_a_part_of_a_scheme_can_be_taken_away(tmp_path: Path, words: list[str]) -> None:
    assert built(tmp_path).model.scheme.protection is not None
    assert built(tmp_path, *words).model.scheme.protection is None


def test_what_another_scheme_keeps_of_the_one_before_is_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"model.scheme: mine keeps gradient, observer, overrides of dq; give them"):
        built(tmp_path, "--model.scheme={name: mine, bits: 4, protection: null}")


@pytest.mark.filterwarnings("error:model")
def test_a_name_or_settings_alone_are_not_told_of(tmp_path: Path) -> None:
    built(tmp_path, "--model.scheme.name=mine", "--model.scheme={bits: 4}")


def test_rules_are_added_where_the_scheme_has_none(tmp_path: Path) -> None:
    cli = built(tmp_path, f"--model.scheme.overrides+={FIRST}", cell="synthetic/gcn/qat_int8")
    assert sites(cli) == ["convs.0.weights"]


def test_a_list_in_place_of_the_scheme_s_own_is_told(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"takes the place of the scheme's own rules for \*\.weights; --model.*\+ would"
    ):
        built(tmp_path, '--model.scheme.overrides=[{"site": "*.weights", "bits": 4}]')


@pytest.mark.parametrize("added", ["", "+"])
def test_a_rule_of_the_command_line_for_a_role_without_a_site_is_told(tmp_path: Path, added: str) -> None:
    rules = '[{"site": "*.attention", "bits": 4}, {"site": "*.weights", "bits": 4}]'
    with pytest.warns(UserWarning, match=r"model.scheme.overrides: \*\.attention matches no site") as told:
        built(tmp_path, f"--model.scheme.overrides{added}={rules}")
    assert not any("*.weights matches" in str(warning.message) for warning in told)


def test_a_rule_of_a_file_for_a_role_without_a_site_is_for_all_networks(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text('model: {init_args: {scheme: {overrides+: [{site: "*.attention", bits: 4}]}}}')
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="model.scheme")
        built(tmp_path, "--config", str(config))


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


@pytest.mark.parametrize(
    ("scheme", "words", "told"),
    [
        ("dq_int8", ("scheme.skip_bits=4",), "scheme.skip_bits: has no effect, this network has no residual sums"),
        (
            "dq_int8",
            ("architecture.residual=true",),
            "architecture.residual: has no effect, this network has no",
        ),
        ("dq_int8", ("architecture.residual=true", "architecture.layers=3"), None),
        ("dq_int8", ("architecture.residual=false",), None),
        ("dq_int8", ("architecture.roundings=needed",), None),
        ("fp32", ("architecture.roundings=needed",), "architecture.roundings: has no effect, everything is"),
        ("fp32", ("architecture.roundings=all",), None),
    ],
)
def test_what_has_no_effect_in_a_network_is_told(
    tmp_path: Path, scheme: str, words: tuple[str, ...], told: str | None
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        built(tmp_path, *(f"--model.{word}" for word in words), cell=f"synthetic/gcn/{scheme}")
    found = [str(warning.message) for warning in caught if "has no effect" in str(warning.message)]
    assert len(found) == (told is not None)
    assert told is None or found[0].startswith(f"model.{told}")
