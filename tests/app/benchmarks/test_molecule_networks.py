"""The networks of ZINC among those that benchmarks time."""

from __future__ import annotations

import pytest
import torch

from app.benchmarks.candidates import OWN, PYG_EAGER, candidates_for
from app.benchmarks.generated_graphs import molecules
from app.benchmarks.network_latency import codes_differing
from app.benchmarks.networks import OF_MOLECULES, calibrated_network, features
from app.benchmarks.workloads import Inputs


@pytest.mark.parametrize("name", OF_MOLECULES)
def test_what_runs_it_computes_the_same(name):
    inputs = Inputs(*molecules(graphs=1))
    inputs = inputs.with_features(features(name, len(inputs.x)))
    candidates = {key: each for key, each in candidates_for(name).items() if not each.missing}
    results = {key: each.prepare(inputs, 1).forward() for key, each in candidates.items()}
    programs = ["INT8", "INT8, fewer roundings", "INT4", "INT4, fewer roundings"]
    assert [key for key in results if key.startswith("INT")] == programs
    assert OWN not in results
    for key in results.keys() - programs - {PYG_EAGER}:
        torch.testing.assert_close(results[key], results[PYG_EAGER], rtol=1e-4, atol=1e-4)
    assert codes_differing(name) == 0


@pytest.mark.parametrize("name", OF_MOLECULES)
def test_fewer_roundings_are_fewer_ops(name):
    everywhere, needed = (calibrated_network(name, 8, roundings).lower() for roundings in ("all", "needed"))
    assert len(needed.ops) < len(everywhere.ops)
