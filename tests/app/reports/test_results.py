from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config.settings import ADDED
from app.engine.files import write_atomically
from app.errors import UserError
from app.reports.results import Results, apart_by_data, bits_of, collect, score_of, values_by_seed
from app.reports.summaries import OF_FOLDERS, check_alike, hash_of, merged, read_lines, write_lines
from app.runs.run_folder import Run


def test_a_score_is_in_the_unit_of_tables(make_result: Callable[..., dict]) -> None:
    score = score_of(make_result("a/b/c", 0, 0.5))
    assert (score.metric, score.value) == ("accuracy %", 50.0)
    assert score_of(make_result("a/b/c", 0, 0.5, val=0.6), "val").value == 60.0
    error = score_of(make_result("a/b/c", 0, 0.45, metric="mae"))
    assert (error.metric, error.value, error.sign) == ("MAE", 0.45, -1)


def test_a_metric_that_is_no_number_is_shown_as_such(make_result: Callable[..., dict]) -> None:
    score = score_of({**make_result("a/b/c", 0, 0.5), "metrics": {"test/accuracy": None}})
    assert score.summary([score.value]) == "undefined in 1 of 1"


def test_a_summary_has_mean_and_sample_deviation_and_number(make_result: Callable[..., dict]) -> None:
    score = score_of(make_result("a/b/c", 0, 0.5))
    assert score.summary([80.0, 82.0, 87.0]) == "83.0 +- 3.6 (3)"
    assert score.summary([81.5]) == "81.5 (1)"
    assert score_of(make_result("a/b/c", 0, 0.45, metric="mae")).summary([0.45, 0.47]) == "0.460 +- 0.014 (2)"


def test_a_summary_says_how_many_values_are_undefined(make_result: Callable[..., dict]) -> None:
    score = score_of(make_result("a/b/c", 0, 0.5))
    assert score.summary([50.0, float("nan"), 52.0]) == "undefined in 1 of 3"
    assert score.deviation([50.0, float("nan")]) == ""


def test_a_result_without_a_known_metric_is_refused() -> None:
    with pytest.raises(UserError, match="a/b/c seed 4: its result has no test metric"):
        score_of({"cell": "a/b/c", "seed": 4, "metrics": {"val/accuracy": 1.0}})


@pytest.mark.parametrize(
    ("scheme", "bits"),
    [("fp32", 32), ("fp32+first5000", 32), ("dq_int8", 8), ("lsq_dq_int4+from_fp32", 4), ("mine", None)],
)
def test_bits_are_those_of_the_scheme_s_name_where_none_are_recorded(scheme: str, bits: int | None) -> None:
    assert bits_of({"cell": f"a/b/{scheme}"}) == bits
    assert bits_of({"cell": f"a/b/{scheme}", "bits": 6}) == 6


@pytest.mark.parametrize(
    ("weights", "activations", "exceptions", "bits"),
    [
        (8, 8, {}, 8),
        (32, 32, {}, 32),
        (4, 8, {}, 8),
        (4, 4, {"readout.scores": 8}, 8),
        (4, 32, {}, None),
        (8, 8, {"convs.1.update": 32}, None),
    ],
)
def test_bits_of_a_mixed_scheme_are_the_largest_unless_a_part_is_in_fp32(
    weights: int, activations: int, exceptions: dict[str, int], bits: int | None
) -> None:
    widths = {"weights": weights, "activations": activations, "exceptions": exceptions}
    assert bits_of({"cell": "a/b/dq_int4", "bits": 4, "bit_widths": widths}) == bits


def test_values_are_by_seed(root: Path) -> None:
    values = values_by_seed(collect(root)["cora/gcn/dq_int8"])
    assert values == {0: pytest.approx(80), 1: pytest.approx(82), 2: pytest.approx(87)}


def test_results_are_collected_by_cell(root: Path) -> None:
    assert {name: [r["seed"] for r in runs] for name, runs in collect(root).items()} == {
        "cora/gcn/dq_int8": [0, 1, 2],
        "cora/gcn/fp32": [0],
        "cora/gcn/qat_int8": [0, 1, 2, 3],
        "cora/gcn/qat_int8+m": [0],
        "reddit_binary/gin/dq_int8": [0],
    }
    Run(root / "cora/gcn/fp32/seed=1").write_failure(ValueError("diverged"))
    assert len(collect(root)["cora/gcn/fp32"]) == 1


def as_kept(results: Results) -> Results:
    """What summaries keep of results: not where the runs lie, and of their settings only a hash."""
    kept = {
        name: [
            {k: v for k, v in run.items() if k not in OF_FOLDERS}
            | ({"settings_hash": hash_of(run)} if run["settings"] else {})
            for run in results[name]
        ]
        for name in results
    }
    assert kept != results
    return kept


def test_a_summary_file_holds_every_result(root: Path, tmp_path: Path) -> None:
    lines = tmp_path / "all.jsonl"
    lines.write_text(write_lines(collect(root)))
    assert read_lines(lines) == as_kept(collect(root))
    assert write_lines(read_lines(lines)) == lines.read_text()


def test_a_summary_file_with_another_line_is_refused(root: Path, tmp_path: Path) -> None:
    lines = tmp_path / "all.jsonl"
    lines.write_text(write_lines(collect(root)) + "{}\n")
    with pytest.raises(UserError, match="line 11 is not a result"):
        read_lines(lines)
    lines.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not text"):
        read_lines(lines)


def test_of_a_cell_and_seed_in_both_the_found_result_counts(make_results: Callable[..., dict]) -> None:
    kept, found = make_results({"a/b/c": (0.7, 0.7)}), make_results({"a/b/c": (0.8,), "a/b/d": (0.9,)})
    joined = merged(kept, found)
    assert values_by_seed(joined["a/b/c"]) == {0: 80.0, 1: 70.0}
    assert values_by_seed(joined["a/b/d"]) == {0: 90.0}


def test_copies_of_a_run_are_all_collected(root: Path, make_result: Callable[..., dict]) -> None:
    other = json.dumps(make_result("cora/gcn/fp32", 0, 0.5, bits=32))
    write_atomically(Run(root / "elsewhere/cora/gcn/fp32/seed=0").result, other)
    assert len(collect(root)["cora/gcn/fp32"]) == 2


SETTINGS = {
    "seed_everything": 0,
    "trainer": {"default_root_dir": "somewhere", "max_epochs": 2},
    "model": {"class_path": "models.tasks.NodeClassification", "init_args": {"lr": 0.1, "dropout": 0.5}},
    "data": {"root": "here"},
    "init_from": None,
}


@pytest.fixture
def write_run(tmp_path: Path, make_result: Callable[..., dict]) -> Callable[..., Run]:
    """write_run(folder, seed, test, lr=..., **more settings) writes a finished run of cora/gcn/dq_int8 below folder."""

    def write(folder: str, seed: int, test: float, lr: float = 0.1, **more: object) -> Run:
        run = Run(tmp_path / folder / "cora/gcn/dq_int8" / f"seed={seed}")
        settings = copy.deepcopy(SETTINGS) | {"seed_everything": seed} | more
        settings["trainer"]["default_root_dir"] = str(run.directory)
        settings["model"]["init_args"]["lr"] = lr
        write_atomically(run.config, yaml.safe_dump(settings))
        write_atomically(run.result, json.dumps(make_result("cora/gcn/dq_int8", seed, test)))
        return run

    return write


def test_runs_of_a_cell_with_other_settings_are_told_apart(tmp_path: Path, write_run: Callable[..., Run]) -> None:
    for folder, lr in (("trials/a", 0.1), ("trials/b", 0.02)):
        for seed in (0, 1):
            write_run(folder, seed, lr, lr=lr)
    found = collect(tmp_path)
    assert {name: values_by_seed(runs) for name, runs in found.items()} == {
        "cora/gcn/dq_int8+lr=0.02": {0: pytest.approx(2), 1: pytest.approx(2)},
        "cora/gcn/dq_int8+lr=0.1": {0: pytest.approx(10), 1: pytest.approx(10)},
    }
    assert found["cora/gcn/dq_int8+lr=0.02"][0]["other_settings"] == {
        "cell": "cora/gcn/dq_int8",
        "folder": "trials/b/cora/gcn/dq_int8/seed=0",
        "settings": {"model.lr": "0.02"},
        "changed": ["model.lr"],
    }


def test_names_say_what_was_changed_and_nothing_else(tmp_path: Path, write_run: Callable[..., Run]) -> None:
    usual = {"a": 1, "b": 2, "c": 3}
    for folder, changed in (("s1", {}), ("s2", {"a": 9}), ("s3", {"b": 9}), ("s4", {"a": 8, "b": 8, "c": 8})):
        write_run(folder, 0, 0.5, data={**usual, **changed})
    found = collect(tmp_path)
    names = {"usual": [], "a=9": ["data.a"], "b=9": ["data.b"], "a=8,b=8,...": ["data.a", "data.b", "data.c"]}
    assert {name.partition("+")[2]: runs[0]["other_settings"]["changed"] for name, runs in found.items()} == names


def test_seeds_of_one_folder_with_other_settings_are_told_apart(tmp_path: Path, write_run: Callable[..., Run]) -> None:
    write_run("", 0, 0.5, lr=0.1)
    write_run("", 1, 0.6, lr=0.2)
    assert set(collect(tmp_path)) == {"cora/gcn/dq_int8+lr=0.1", "cora/gcn/dq_int8+lr=0.2"}


def test_runs_in_their_place_keep_the_name_of_their_cell(tmp_path: Path, write_run: Callable[..., Run]) -> None:
    write_run("", 0, 0.5, lr=0.1)
    write_run("trials/b", 0, 0.6, lr=0.2)
    assert set(collect(tmp_path)) == {"cora/gcn/dq_int8", "cora/gcn/dq_int8+lr=0.2"}


def test_settings_that_change_no_result_tell_no_runs_apart(tmp_path: Path, write_run: Callable[..., Run]) -> None:
    write_run("host1", 0, 0.5, data={"root": "here"}, init_from="runs/cora/gcn/fp32/seed=0")
    write_run("host2", 1, 0.6, data={"root": "there"}, init_from="runs/cora/gcn/fp32/seed=1")
    assert {name: len(runs) for name, runs in collect(tmp_path).items()} == {"cora/gcn/dq_int8": 2}


def test_a_setting_that_older_runs_lack_tells_no_runs_apart(tmp_path: Path, write_run: Callable[..., Run]) -> None:
    write_run("", 0, 0.5)
    for seed, (key, value) in enumerate(ADDED.items(), 1):
        write_run("", seed, 0.6, **{key: value})
    assert {name: len(runs) for name, runs in collect(tmp_path).items()} == {"cora/gcn/dq_int8": 1 + len(ADDED)}


def test_groups_that_show_the_same_settings_are_numbered(tmp_path: Path, write_run: Callable[..., Run]) -> None:
    for folder, setting in (("a", "x"), ("b", "y")):
        write_run(folder, 0, 0.5, data={"a": "x y" if setting == "x" else "x/x_y", "b": 1, "c": setting})
    assert set(collect(tmp_path)) == {"cora/gcn/dq_int8+a=x_y,c=x", "cora/gcn/dq_int8+a=x_y,c=y"}
    write_run("b", 0, 0.5, data={"a": "x/x_y", "b": 1, "c": "z/x"})
    assert set(collect(tmp_path)) == {"cora/gcn/dq_int8+a=x_y,c=x#1", "cora/gcn/dq_int8+a=x_y,c=x#2"}


def test_a_summary_keeps_runs_apart(tmp_path: Path, write_run: Callable[..., Run]) -> None:
    write_run("a", 0, 0.5, lr=0.1)
    write_run("b", 0, 0.6, lr=0.2)
    lines = tmp_path / "all.jsonl"
    lines.write_text(write_lines(collect(tmp_path)))
    assert read_lines(lines) == as_kept(collect(tmp_path))


def test_a_damaged_result_costs_its_own_run(
    tmp_path: Path, write_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    write_run("", 0, 0.5)
    damaged = write_run("", 1, 0.5)
    damaged.result.write_text("{")
    assert values_by_seed(collect(tmp_path)["cora/gcn/dq_int8"]) == {0: 50.0}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"left out: {damaged.result}: damaged; delete it")


def test_a_result_with_another_metric_costs_its_own_run(
    tmp_path: Path, write_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    write_run("", 0, 0.5)
    other = write_run("", 1, 0.5)
    result = other.read_result()
    write_atomically(other.result, json.dumps({**result, "metrics": {"test/hits": 0.5}}))
    assert values_by_seed(collect(tmp_path)["cora/gcn/dq_int8"]) == {0: 50.0}
    assert capsys.readouterr().err == "left out: cora/gcn/dq_int8 seed 1: its result has no test metric\n"


def test_copies_of_a_run_that_do_not_agree_are_told(
    tmp_path: Path, write_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, _ = (write_run(folder, 0, test) for folder, test in (("a", 0.5), ("b", 0.6), ("c", 0.6)))
    assert values_by_seed(collect(tmp_path)["cora/gcn/dq_int8"]) == {0: 60.0}
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{one.directory} and {two.directory} are the same run with different results: the second is shown"


def read(result: dict[str, Any], graphs: str, split: str) -> dict[str, Any]:
    """A result of a run that read this data."""
    return {
        **result,
        "data": {"name": "D", "substitute": "", "fingerprint": {"name": "D", "graphs": graphs, "split": split}},
    }


DATA = {
    "other data of another scheme": [("d/n/fp32", 0, "A", "s"), ("d/n/fp32", 1, "A", "s"), ("d/n/qat", 0, "B", "s")],
    "of another network": [("d/n/fp32", 0, "A", "s"), ("d/n/qat", 0, "A", "s"), ("d/m/qat", 0, "B", "s")],
    "of another seed at the same split": [("d/n/a", 0, "A", "s"), ("d/n/a", 1, "A", "s"), ("d/n/a", 2, "B", "s")],
    "of the same seed at another split": [("d/n/a", 0, "A", "s"), ("d/n/a", 1, "C", "t"), ("d/n/b", 0, "B", "u")],
}
SEVERAL = {
    "one data": [("d/n/a", 0, "B", "t"), ("d/n/b", 0, "A", "s"), ("d/n/c", 1, "A", "s")],
    "folds": [("d/n/a", 0, "B", "t"), ("d/n/b", 0, "A", "s"), ("d/n/b", 1, "A1", "s1"), ("d/n/b", 2, "A2", "s2")],
}
ONE_DATA = {
    "folds have graphs standardised each in its way": [("d/n/a", 0, "A", "s"), ("d/n/a", 1, "B", "t")],
    "variants may change the data": [("d/n/a", 0, "A", "s"), ("d/n/a+half", 0, "B", "s")],
    "other data sets": [("d/n/a", 0, "A", "s"), ("e/n/a", 0, "B", "s")],
}


def of_data(runs: list[tuple[str, int, str, str]], make_result: Callable[..., dict[str, Any]]) -> Any:
    results: dict[str, list[dict[str, Any]]] = {}
    for cell, seed, graphs, split in runs:
        results.setdefault(cell, []).append(read(make_result(cell, seed, 0.5), graphs, split))
    return results


@pytest.mark.parametrize("case", DATA)
def test_runs_of_other_data_stand_in_rows_of_their_own(
    make_result: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str], case: str
) -> None:
    results = of_data(DATA[case], make_result)
    apart = apart_by_data(results)
    cell, seed, graphs, _ = DATA[case][-1]
    own = cell.replace("d/", f"d#{graphs}/")
    assert [run["seed"] for run in apart[own]] == [seed]
    assert {(name, run["seed"]) for name in apart for run in apart[name]} == {
        (own if run == DATA[case][-1] else run[0], run[1]) for run in DATA[case]
    }
    told = f"{cell} seed {seed} and 0 more read other data than the rest of d: they stand in rows of their own, d#B\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("case", SEVERAL)
def test_runs_of_the_same_graphs_and_runs_of_a_cell_stay_together(
    make_result: Callable[..., dict[str, Any]], case: str
) -> None:
    apart = apart_by_data(of_data(SEVERAL[case], make_result))
    assert {(name, run["seed"]) for name, runs in apart.items() for run in runs} == {
        ("d#B/n/a", 0), *((cell, seed) for cell, seed, *_ in SEVERAL[case][1:])
    }  # fmt: skip


@pytest.mark.parametrize("case", ONE_DATA)
def test_runs_that_need_not_have_read_the_same_graphs_stay(
    make_result: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str], case: str
) -> None:
    results = of_data(ONE_DATA[case], make_result)
    assert apart_by_data(results) == results
    assert capsys.readouterr().err == ""


def test_runs_without_a_fingerprint_stay(make_result: Callable[..., dict[str, Any]]) -> None:
    results = of_data([("d/n/a", 1, "A", "s")], make_result)
    results["d/n/b"] = [make_result("d/n/b", 1, 0.5), {**make_result("d/n/b", 2, 0.5), "data": {"fingerprint": None}}]
    assert apart_by_data(results) == results


def test_a_summary_tells_the_settings_of_its_runs_apart(
    tmp_path: Path, write_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, seed, lr in (("kept", 0, 0.1), ("same", 1, 0.1), ("other", 1, 0.2)):
        write_run(folder, seed, 0.5, lr=lr)
    lines = tmp_path / "all.jsonl"
    lines.write_text(write_lines(collect(tmp_path / "kept")))
    kept = read_lines(lines)
    check_alike(merged(kept, collect(tmp_path / "same")), "--from A")
    with pytest.raises(UserError, match=r"^--from A: runs of cora/gcn/dq_int8 have other settings than each other"):
        check_alike(merged(kept, collect(tmp_path / "other")), "--from A")
    assert capsys.readouterr().err == ""


def test_kept_results_without_settings_count_and_are_told(
    tmp_path: Path, write_run: Callable[..., Run], make_results: Callable[..., Results], capsys: Any
) -> None:
    kept = make_results({"cora/gcn/dq_int8": (0.5, 0.5)})
    check_alike(kept, "--from A")
    write_run("", 0, 0.5)
    check_alike(merged(kept, collect(tmp_path)), "--from A")
    assert capsys.readouterr().err == (
        "--from A: kept results of 1 cell do not tell their settings; "
        "they count as having those of the runs beside them\n"
    )


def test_results_of_one_cell_in_several_metrics_are_refused(make_result: Callable[..., dict[str, Any]]) -> None:
    runs = [make_result("a/b/c", seed, 0.5, metric=metric) for seed, metric in enumerate(("accuracy", "f1"))]
    with pytest.raises(UserError, match=r"^X: runs of a/b/c have other metrics \(F1 %, accuracy %\) than each other"):
        check_alike({"a/b/c": runs}, "X")


def test_the_hash_of_settings_is_the_same_for_older_runs(tmp_path: Path, write_run: Callable[..., Run]) -> None:
    write_run("a", 0, 0.5)
    write_run("b", 0, 0.5, **ADDED)
    one, two = (hash_of(runs[0]) for folder in "ab" for runs in collect(tmp_path / folder).values())
    assert one == two
