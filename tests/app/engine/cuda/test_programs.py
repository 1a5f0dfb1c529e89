"""Programs on a device: every value is that of the reference."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import torch

from app.engine import Executable
from app.engine.command import main
from app.engine.command.samples import samples
from app.engine.graph import Graph
from app.engine.program.io import save_program
from app.engine.program.model import INPUT
from tests.app.engine.programs import PROGRAMS, WEIGHTED_PROGRAMS, Draft

pytestmark = pytest.mark.gpu
NODES, WIDTH, EDGES = 12, 20, 40


def features_for(make):
    return make(8).rng.normal(size=(NODES, WIDTH)).astype(np.float32)


def batch_for(make, kind):
    """Three graphs, of which one is empty, and weights if the program reads them."""
    weights = make(2).rng.normal(0.3, 0.5, EDGES).astype(np.float32) if kind in WEIGHTED_PROGRAMS else None
    return Graph(make(4).edges(NODES, EDGES), NODES, np.arange(NODES) % 2 * 2, 3, edge_weight=weights)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("kind", [*PROGRAMS, *WEIGHTED_PROGRAMS])
def test_every_value_is_that_of_the_reference(device, make, make_program, kind, bits):
    program, x, graph = make_program(kind, WIDTH, bits=bits), features_for(make), batch_for(make, kind)
    expected = Executable(program, "reference").trace(x, graph)
    got = Executable(program, device=device).trace(x, graph)
    assert list(got) == list(expected)
    for name, value in expected.items():
        assert got[name].dtype == value.dtype, name
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_run_returns_the_logits_and_placed_features_keep_them_there(device, make, make_program):
    program, x, graph = make_program("sage", WIDTH), features_for(make), batch_for(make, "sage")
    there, expected = Executable(program, device=device), Executable(program).run(x, graph)
    np.testing.assert_array_equal(there.run(x, graph), expected)
    logits = there.run_placed(there.place(x), graph)
    assert isinstance(logits, torch.Tensor)
    assert logits.device.type == ("cuda" if device == "cuda" else "cpu")
    np.testing.assert_array_equal(logits.cpu().numpy(), expected)


def test_given_codes_replace_messages(device, make, make_program):
    program, x, graph = make_program("gcn_edge", WIDTH), features_for(make), batch_for(make, "gcn_edge")
    reference = Executable(program, "reference")
    given = {"message0": reference.trace(x, graph)["message0"][::-1].copy()}
    expected, got = (each.trace(x, graph, given=given) for each in (reference, Executable(program, device=device)))
    assert not np.array_equal(expected["logits"], reference.run(x, graph))
    np.testing.assert_array_equal(got["logits"], expected["logits"])


def raw(seed):
    """A program that prepares raw features: normalised rows, and then columns."""
    draft = Draft(seed, WIDTH)
    x = draft.emit("row_normalize", INPUT, coded=False)
    scaling = {"mean": tuple([0.01] * WIDTH), "deviation": tuple([0.3] * WIDTH)}
    return draft.finish(draft.linear(draft.emit("quantize", draft.emit("standardize", x, coded=False, **scaling)), 3))


def test_raw_features_are_prepared_as_the_reference_does(device, make):
    x, graph = np.abs(features_for(make)), batch_for(make, "raw")
    expected, got = (
        Executable(raw(0), **settings).trace(x, graph) for settings in ({"backend": "reference"}, {"device": device})
    )
    assert {name for name in expected if not np.array_equal(got[name], expected[name])} == set()


def test_features_that_are_not_finite_are_refused(device, make, make_program):
    program = Executable(make_program("sage", WIDTH), device=device)
    for wrong in (np.nan, np.inf, -np.inf):
        x = features_for(make)
        x[-1, -1] = wrong
        with pytest.raises(ValueError, match="NaN or not finite"):
            program.run(x, batch_for(make, "sage"))


def test_the_host_waits_once_for_features_that_stay_there(device, make, make_program, monkeypatch):
    from app.engine.cuda import rows

    asked, ask = [], rows.all_finite
    monkeypatch.setattr(rows, "all_finite", lambda x: asked.append(x) or ask(x))
    program, graph = Executable(make_program("sage", WIDTH), device=device), batch_for(make, "sage")
    placed = program.place(features_for(make))
    for _ in range(2):
        program.run_placed(placed, graph)
    assert len(asked) == 1
    placed[0, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN or not finite"):
        program.run_placed(placed, graph)


def test_a_copy_runs_on_the_same_device(device, make, make_program):
    x, graph = features_for(make), batch_for(make, "gin")
    program = Executable(make_program("gin", WIDTH), device=device)
    for twin in (copy.deepcopy(program), pickle.loads(pickle.dumps(program))):
        assert isinstance(twin.place(x), torch.Tensor)
        np.testing.assert_array_equal(twin.run(x, graph), program.run(x, graph))


def test_a_graph_that_is_gone_is_not_kept(device, make, make_program):
    program, graph = Executable(make_program("gin", WIDTH), device=device), batch_for(make, "gin")
    program.run(features_for(make), graph)
    seen = weakref.ref(graph)
    del graph
    gc.collect()
    assert seen() is None


def test_commands_run_on_a_device(device, make, make_program, tmp_path, capsys, monkeypatch):
    path = save_program(make_program("graph_gin", WIDTH), tmp_path / "program")
    given = {"x": features_for(make), "edge_index": make(4).edges(NODES, EDGES), "batch": np.arange(NODES) // 6}
    np.savez(tmp_path / "in.npz", **given)
    files = "--input", str(tmp_path / "in.npz"), "--output", str(tmp_path / "out.npz")
    assert main(["run", str(path), *files, "--device", device]) == 0
    with np.load(tmp_path / "out.npz") as file:
        np.testing.assert_array_equal(file["logits"], Executable(make_program("graph_gin", WIDTH)).run(**given))
    from app.engine.cuda.backend import OPS

    few = list(samples(make_program("graph_gin", WIDTH)))[:1]
    monkeypatch.setattr("app.engine.command.warmup.large_graph", lambda program: few[0].graph)
    for command in ("check", "warmup"):
        monkeypatch.setattr(f"app.engine.command.{command}.samples", lambda program: few)
        assert main([command, str(path), "--device", device]) == 0
    assert "codes equal those of the reference" in capsys.readouterr().out
    monkeypatch.setitem(OPS, "add", lambda op, place: lambda graph, x, *others: x)
    assert main(["check", str(path), "--device", device]) == 2
    assert f"on {few[0].kind}, {device}'s codes differ" in capsys.readouterr().err
