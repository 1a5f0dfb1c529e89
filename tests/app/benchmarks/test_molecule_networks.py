"""The network of ZINC among those that benchmarks time."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml

from app.benchmarks.candidates import OWN, PYG_EAGER, candidates_for
from app.benchmarks.generated_graphs import molecules
from app.benchmarks.network_latency import codes_differing
from app.benchmarks.networks import ATOMS, features, zinc_gin
from app.benchmarks.workloads import Inputs
from models.architectures import GIN
from models.layers import ReadoutConfig
from models.quantization.qconfig import QuantScheme

CONFIG = Path(__file__).parents[3] / "configs" / "architecture" / "molecules" / "gin.yaml"


def test_it_is_the_network_of_its_config():
    args = yaml.safe_load(CONFIG.read_text())["model"]["init_args"]["architecture"]["init_args"]
    scheme = QuantScheme("benchmark", 8)
    expected = GIN(ATOMS, 1, scheme, **args | {"readout": ReadoutConfig(**args["readout"])})
    assert str(zinc_gin(scheme)) == str(expected)


def test_what_runs_it_computes_the_same():
    inputs = Inputs(*molecules(graphs=1))
    inputs = inputs.with_features(features("zinc_gin", len(inputs.x)))
    results = {name: each.prepare(inputs, 1).forward() for name, each in candidates_for("zinc_gin").items()}
    assert list(results) == [PYG_EAGER, "PyG on CSR", "INT8", "INT4"]
    assert OWN not in results
    torch.testing.assert_close(results["PyG on CSR"], results[PYG_EAGER], rtol=1e-4, atol=1e-4)
    assert codes_differing("zinc_gin") == 0
