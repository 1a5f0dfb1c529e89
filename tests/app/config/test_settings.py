from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.config.settings import ADDED_ANYWHERE, FREE, computing_settings, differing_settings, read_yaml

CELL = "synthetic/gcn/dq_int8"
Refused = Callable[..., str]


def test_read_yaml_reads_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: {b: [1, null]}")
    assert read_yaml(tmp_path / "x.yaml", "x") == {"a": {"b": [1, None]}}


def test_what_is_merged_may_be_changed_and_numbers_need_no_point(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: &a {b: 1e-4, c: 2}\nd: {<<: *a, c: -3E3}\n")
    assert read_yaml(tmp_path / "x.yaml", "x") == {"a": {"b": 0.0001, "c": 2}, "d": {"b": 0.0001, "c": -3000.0}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"model:\n  init_args:\n    lrr: 3\n", "model.lrr: no such setting; did you mean model.lr?"),
        (b"modl:\n  lr: 3\n", "modl.lr: no such setting"),
        (b"trainer:\n  max_epoch: 3\n", "trainer.max_epoch: no such setting; did you mean trainer.max_epochs?"),
        (b"model: {init_args: {scheme: {bits: four}}}\n", "model.scheme.bits: expected int, got 'four'"),
        (b"a: [1, 2\nb: }\n", "wrong.yaml: not valid YAML: line 2"),
        (b"model:\n  init_args: {lr: 1, lr: 2}\n", "wrong.yaml: not valid YAML: line 2: 'lr' is given twice"),
        (b"a: 2024-13-45\n", "wrong.yaml: not valid YAML: month must be in 1..12; put a date in quotes"),
        (b"- a\n", "wrong.yaml: expected settings (`model: ...`), got list"),
        (b"", "wrong.yaml: expected settings (`model: ...`), got NoneType"),
        (b"\x00\xff", "wrong.yaml: not a text file in UTF-8"),
    ],
)
def test_a_wrong_config_is_one_line(refused: Refused, tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_bytes(content)
    assert told in refused("fit", "--cell", CELL, "--config", path, "--runs-root", tmp_path)


def test_a_setting_that_older_runs_lack_differs_only_where_it_is_changed() -> None:
    assert differing_settings({"a": 1}, {"a": 1, "export": True}) == []
    assert differing_settings({"a": 1}, {"a": 1, "export": False}) == ["export: True -> False"]


def test_settings_of_schemes_that_older_runs_lack_differ_only_where_they_are_changed() -> None:
    old = {"scheme": {"bits": 4, "overrides": [{"observer": {"momentum": 0.1}}]}}
    added = {"symmetric": False, "activation_scales": "tensor"}
    new = {"scheme": {"bits": 4, **added, "overrides": [{"observer": {"momentum": 0.1, "warmup": 0}}]}}
    assert differing_settings(old, new) == []
    assert computing_settings(old) == computing_settings(new)
    assert differing_settings({"readout": {"pool": "sum"}}, {"readout": {"pool": "sum", "roundings": "all"}}) == []
    new["scheme"]["symmetric"] = True
    assert differing_settings(old, new) == ["scheme.symmetric: None -> True"]


def test_settings_that_older_runs_lack_compute_the_same_by_default() -> None:
    assert computing_settings({"a": 1}) == computing_settings({"a": 1, "export": True, "optimizer": None})


def test_the_folder_of_a_log_may_differ() -> None:
    one, other = ({"trainer": {"logger": [{"init_args": {"save_dir": folder}}]}} for folder in "ab")
    assert differing_settings(one, other) == []


def test_equal_settings_do_not_differ() -> None:
    settings = {"model": {"lr": 0.1, "overrides": [{"site": "a"}], "noise": None}}
    assert differing_settings(settings, json.loads(json.dumps(settings))) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"model": {"lr": 0.1}}, {"model": {"lr": 0.2}}, "model.lr: 0.1 -> 0.2"),
        ({"a": {"noise": None}}, {"a": {"noise": {"fraction": 0.5}}}, "a.noise.fraction: None -> 0.5"),
        ({"c": [{"site": "x"}]}, {"c": [{"site": "y"}]}, "c.0.site: x -> y"),
        ({"a": 1}, {"a": 1, "init_from": "run"}, "init_from: None -> run"),
    ],
)
def test_a_differing_setting_is_named_with_both_values(old: dict, new: dict, told: str) -> None:
    assert differing_settings(old, new) == [told]


def nested(key: str, value: object) -> dict:
    for part in reversed(key.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("name", [*sorted(part.rpartition(".")[2] for part in FREE), *ADDED_ANYWHERE])
def test_an_argument_of_a_network_is_compared_whatever_it_is_called(name: str) -> None:
    key = f"model.init_args.network_args.{name}"
    default = ADDED_ANYWHERE.get(name, True)
    old, new, without = nested(key, default), nested(key, "other"), nested("model.init_args.network_args", {})
    assert differing_settings(old, new) == [f"{key}: {default} -> other"]
    assert computing_settings(old) != computing_settings(new)
    assert differing_settings(old, without) != []


@pytest.mark.parametrize(
    "key",
    ["data.init_args.root", "data.init_args.dataset.init_args.root", "trainer.default_root_dir",
     "trainer.enable_progress_bar"],
)  # fmt: skip
def test_where_and_how_loudly_a_run_is_made_may_differ(key: str) -> None:
    assert differing_settings(nested(key, "a"), nested(key, "b")) == []
    assert differing_settings({key.split(".")[0]: {"lr": 1}}, {key.split(".")[0]: {"lr": 2}}) != []
