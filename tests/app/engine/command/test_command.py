"""The engine's own command line: what it prints and writes, and that faults are one sentence and exit code 2."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from app.engine import Executable, load_program
from app.engine.command import main
from app.engine.command.cold import FIGURES, in_new_process
from app.engine.command.describe import describe
from app.engine.command.samples import samples
from app.engine.graph import Graph
from app.engine.kernels import dispatch
from app.engine.program.io import save_program
from tests.app.engine.programs import PROGRAMS, WEIGHTED_PROGRAMS, Draft, gin

ROOT = Path(__file__).parents[4]
NODES, WIDTH = 40, 60


@pytest.fixture
def saved(tmp_path, make_program):
    """The folder of a program that pools."""
    return save_program(make_program("graph_gin", WIDTH), tmp_path / "program")


@pytest.fixture
def arrays(make):
    rng = make(5).rng
    edges = make(4).edges(NODES, 150)
    return {"x": rng.normal(size=(NODES, WIDTH)), "edge_index": edges, "batch": np.arange(NODES) // 8}


def test_info_says_what_goes_in_and_comes_out_and_where_it_is_from(capsys, saved):
    assert main(["info", str(saved)]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["reads"] == "x [N, 60] float32, edge_index [2, E], batch [N]"
    assert lines["writes"] == "logits [G, 3] float32, a row for every graph"
    assert lines["constants"].startswith(f"{load_program(saved).num_bytes:,} bytes")
    assert lines["made"] == "by hand"
    executable = load_program(saved)
    first, last = (float(word) for word in re.findall(r"-?[\d.]+", lines["expects"].split(";")[0]))
    inside, outside = np.full((1, WIDTH), [[last]], np.float32) * 0.99, np.full((1, WIDTH), [[last]], np.float32) * 1.1
    assert (executable.saturated(inside), executable.saturated(outside)) == (0.0, 1.0)
    assert first <= 0 < last


def test_info_keeps_names_with_commas_and_line_ends_apart(capsys, make_program, tmp_path):
    program, names = make_program("gin", WIDTH), ["a", "b, c", "d\ne", "é"]
    described = replace(program, manifest={"data": {"classes": names}})
    assert main(["info", str(save_program(described, tmp_path / "program"))]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert json.loads(lines["data.classes"]) == names


@pytest.mark.parametrize(
    ("data", "meaning"),
    [
        ({"task": "node_classification"}, "the largest logit"),
        ({"task": "graph_multilabel"}, "a logit above 0"),
        ({"task": "graph_regression"}, "the numbers themselves"),
        ({"task": "other"}, None),
        ({}, None),
        ("text", None),
    ],
)
def test_info_says_how_the_logits_of_a_task_are_read(make_program, data, meaning):
    lines = dict(describe(replace(make_program("gin", WIDTH), manifest={"data": data})))
    assert lines.get("means", "").startswith(meaning) if meaning else "means" not in lines


def test_a_program_that_reads_weights_of_edges_says_so_and_gets_them(capsys, make_program, arrays, tmp_path):
    saved = save_program(make_program("gcn_weighted", WIDTH), tmp_path / "program")
    assert main(["info", str(saved)]) == 0
    assert "x [N, 60] float32, edge_index [2, E], edge_weight [E]\n" in capsys.readouterr().out
    assert main(["check", str(saved)]) == 0
    given = {name: arrays[name] for name in ("x", "edge_index")} | {"edge_weight": np.linspace(0, 1, 150)}
    np.savez(tmp_path / "in.npz", **given)
    command = ["run", str(saved), "--input", str(tmp_path / "in.npz"), "--output", str(tmp_path / "out.npz")]
    assert main(command) == 0
    with np.load(tmp_path / "out.npz") as file:
        np.testing.assert_array_equal(file["logits"], load_program(saved).run(**given))


def test_check_compares_with_the_reference(capsys, monkeypatch, saved):
    assert main(["check", str(saved)]) == 0
    assert "codes equal those of the reference" in capsys.readouterr().out
    wrong = dispatch.elementwise
    monkeypatch.setattr(dispatch, "elementwise", lambda name: wrong("lookup" if name == "rescale" else name))
    monkeypatch.setattr(dispatch, "requantize", lambda width: lambda *arguments: arguments[-1].fill(3))
    assert main(["check", str(saved)]) == 2
    assert "this CPU's codes differ from those of the reference" in capsys.readouterr().err


def test_run_writes_what_the_program_computes(capsys, saved, arrays, tmp_path):
    np.savez(tmp_path / "in.npz", **arrays, num_graphs=7)
    output = tmp_path / "new" / "out.npz"
    assert (
        main(["run", str(saved), "--input", str(tmp_path / "in.npz"), "--output", str(output), "--threads", "2"]) == 0
    )
    with np.load(output) as file:
        np.testing.assert_array_equal(file["logits"], load_program(saved).run(**arrays, num_graphs=7))
    assert "logits [7, 3]" in capsys.readouterr().out
    few = ["--max-graphs", "6"]
    assert main(["run", str(saved), "--input", str(tmp_path / "in.npz"), "--output", str(output), *few]) == 2
    assert "7 graphs are more than max_graphs, 6" in capsys.readouterr().err


def test_run_says_how_many_edges_join_two_graphs(capsys, saved, arrays, tmp_path):
    apart, source = np.array([[0, 8], [1, 9]]), tmp_path / "in.npz"
    joined = np.array([[0, 8, 7], [1, 9, 8]])
    for edges, told in ((apart, ""), (joined, f"{source}: 1 edges join two graphs of the batch: ")):
        np.savez(source, **{**arrays, "edge_index": edges})
        assert main(["run", str(saved), "--input", str(source), "--output", str(tmp_path / "out.npz")]) == 0
        _, *more = capsys.readouterr().out.splitlines()
        assert [line.startswith(told) for line in more] == [True] * bool(told)


@pytest.mark.parametrize("name", ["in.npz", "program/manifest.json", "link.npz"])
def test_run_replaces_nothing_that_it_reads(capsys, saved, arrays, tmp_path, name):
    np.savez(tmp_path / "in.npz", **arrays)
    (tmp_path / "link.npz").symlink_to("in.npz")
    before = (tmp_path / name).read_bytes()
    assert main(["run", str(saved), "--input", str(tmp_path / "in.npz"), "--output", str(tmp_path / name)]) == 2
    told = f"error: --output {tmp_path / name}: is read by this command, give another file\n"
    assert capsys.readouterr() == ("", told)
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": None}, "has no array 'x'"),
        ({"edge_attr": np.zeros(3)}, "array 'edge_attr' is not read"),
        ({"x": np.array([None])}, "cannot be read as an npz file: it holds something else than arrays of numbers"),
        ({"x": np.zeros((NODES, 3))}, r"x: expected shape [N, 60], got [40, 3]"),
        ({"num_graphs": np.array([[1, 2]])}, "num_graphs: expected a whole number, got an array [1, 2]"),
        ({"num_graphs": 2**31 - 1}, "2147483647 graphs are more than max_graphs, 1000000"),
    ],
)
def test_inputs_that_do_not_fit_are_one_sentence(capsys, saved, arrays, tmp_path, change, sentence):
    given = {name: array for name, array in {**arrays, **change}.items() if array is not None}
    np.savez(tmp_path / "in.npz", **given)
    assert main(["run", str(saved), "--input", str(tmp_path / "in.npz"), "--output", str(tmp_path / "out.npz")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize("name", ["check", "warmup", "run"])
def test_a_device_that_is_not_there_is_one_sentence(capsys, saved, arrays, tmp_path, name):
    np.savez(tmp_path / "in.npz", **arrays)
    files = ["--input", str(tmp_path / "in.npz"), "--output", str(tmp_path / "out.npz")] if name == "run" else []
    assert main([name, str(saved), *files, "--device", "gpu:1"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: device: expected 'cpu', 'cuda', 'cuda:N' or 'interpreter', got 'gpu:1'")
    assert printed.err.count("\n") == 1


def test_memory_that_is_full_is_one_sentence(capsys, saved, monkeypatch):
    def full(*arguments, **named):
        raise MemoryError("the memory of cuda:0 is full: give it fewer nodes and edges at once")

    monkeypatch.setattr(Executable, "trace", full)
    assert main(["check", str(saved)]) == 1
    assert capsys.readouterr().err == "error: the memory of cuda:0 is full: give it fewer nodes and edges at once\n"


@pytest.mark.parametrize("array", ["batch", "num_graphs"])
def test_arrays_without_effect_are_refused(capsys, tmp_path, array):
    program = save_program(gin(Draft(0, 6), 5, 3), tmp_path / "program")
    arrays = {"x": np.ones((4, 6), np.float32), "edge_index": np.zeros((2, 1), int)}
    np.savez(tmp_path / "in.npz", **arrays, **{array: np.zeros(4, int) if array == "batch" else 1})
    assert main(["run", str(program), "--input", str(tmp_path / "in.npz"), "--output", str(tmp_path / "out.npz")]) == 2
    assert f"in.npz: array {array!r} has no effect: " in capsys.readouterr().err
    assert not (tmp_path / "out.npz").exists()


def damaged_archive():
    """An archive whose member does not have its checksum."""
    content = BytesIO()
    np.savez(content, x=np.full((NODES, WIDTH), 5, np.int8))
    return content.getvalue().replace(b"\5\5\5\5", b"\5\5\5\6", 1)


def archive_with(member):
    """An archive in which the file of x has this content."""
    content = BytesIO()
    with ZipFile(content, "w") as archive:
        archive.writestr("x.npy", member)
    return content.getvalue()


def unknown_compression():
    """An archive that says so of its member, where readers look for it."""
    content = bytearray(archive_with(b""))
    method = content.index(b"PK\1\2") + 10
    content[method : method + 2] = b"\x63\0"
    return bytes(content)


BROKEN_HEADER = b"\x93NUMPY\x01\x00\x16\x00{'descr': '<f4', (    \n"


@pytest.mark.parametrize(
    "content",
    [None, b"", b"no archive", b"PK\3\4 no archive", b"junk" + damaged_archive(), damaged_archive(),
     archive_with(BROKEN_HEADER), unknown_compression()],
)  # fmt: skip
def test_files_that_are_no_archives_are_one_sentence(capsys, saved, tmp_path, content):
    if content is not None:
        (tmp_path / "in.npz").write_bytes(content)
    assert main(["run", str(saved), "--input", str(tmp_path / "in.npz"), "--output", str(tmp_path / "out.npz")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}/in.npz: cannot be read as an npz file: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["check", "missing"], "missing: manifest.json: cannot be read"),
        (["info", "missing"], "missing: manifest.json: cannot be read"),
        (["warmup", "missing"], "missing: manifest.json: cannot be read"),
        (["cold", "missing"], "missing: manifest.json: cannot be read"),
        (["inf", "missing"], "invalid choice: 'inf'"),
        (["warmup", "missing", "--threads", "0"], "--threads: expected a whole number from 1 on, got '0'"),
        (["check", "missing", "--device", "gpu"], "missing: manifest.json: cannot be read"),
        (["warmup", "missing", "--device", "cuda", "--threads", "2"], "--threads counts threads of the CPU"),
        ([], "COMMAND"),
    ],
)
def test_words_that_make_no_sense_are_one_sentence(tmp_path, words, sentence):
    (tmp_path / "missing").mkdir()
    command = [sys.executable, "-m", "app.engine", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", [*PROGRAMS, *WEIGHTED_PROGRAMS])
def test_samples_are_of_all_kinds(make_program, kind):
    """Sparse rows that stay sparse, and that do not; one graph, and several."""
    program = make_program(kind, WIDTH)
    seen = list(samples(program))
    assert len({sample.kind for sample in seen}) == len(seen) == 6
    logits = [Executable(program).run(sample.x, sample.graph) for sample in seen]
    assert all(len(np.unique(array)) >= 2 for array in logits)


def test_a_cold_call_is_measured_in_a_process_that_has_nothing_compiled(capsys, saved, tmp_path, monkeypatch):
    monkeypatch.setenv("DEGREE_QUANT_SIMD", "0")
    assert main(["cold", str(saved)]) == 0
    _, *rows = (line.split(", ")[-1].split() for line in capsys.readouterr().out.splitlines())
    assert [(row[:2], len(row)) for row in rows] == [(["nothing", "compiled"], 6), (["all", "compiled"], 6)]
    counts = []
    for _ in range(2):
        assert set(in_new_process(str(saved), str(tmp_path / "kernels"))) == set(FIGURES)
        counts.append(len(list((tmp_path / "kernels").rglob("*.nbc"))))
    assert counts[0] == counts[1] > 3


WARM = """
import sys
import numpy as np
from app.engine import Graph, compile_seconds, load_program
from app.engine.command import main
main(["warmup", *sys.argv[1:]])
before = compile_seconds()
rng = np.random.default_rng(1)
dense = rng.normal(size=(300, 60)).astype(np.float32)
batch = np.arange(300) // 7
for path in sys.argv[1:]:
    for threads in (1, 2):
        for x in (dense, dense * (rng.random(dense.shape) < 0.05), np.asfortranarray(dense), dense.astype(np.float64)):
            for number in (0, 20, 3000, 50000):
                graph = Graph(rng.integers(0, 300, (2, number)), 300, batch)
                load_program(path, threads=threads).run(x, graph)
        load_program(path, threads=threads).trace(dense, graph)
print(before > 0, compile_seconds() - before)
"""


@pytest.mark.slow
def test_after_a_warmup_nothing_is_compiled(make_program, tmp_path):
    kinds = ["gin", "graph_gin", "gat"]
    for kind in kinds:
        save_program(make_program(kind, WIDTH), tmp_path / kind)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "DEGREE_QUANT_SIMD": "0"}
    environment |= {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WARM, *kinds]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.splitlines()[-1:] == ["True 0.0"], result.stdout + result.stderr


def test_samples_go_with_graphs(make_program):
    for sample in samples(make_program("gin", 3)):
        assert isinstance(sample.graph, Graph)
        assert sample.x.shape == (sample.graph.num_nodes, 3)
