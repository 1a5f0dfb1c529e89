"""Prepared networks on a GPU, as far as a machine without one can tell; see `tests.fake_gpu`."""

from __future__ import annotations

import pytest

from models import prepare
from models.tasks import on_device
from tests.fake_gpu import GPU, fake_gpu, host_waits
from tests.models.conversion.conftest import draw
from tests.models.conversion.networks import GRAPH_MAKERS

KNOWN = {"nothing": 2, "the batch, sent by us": 1, "how many graphs": 0}
"""What is known on the host of a batch -> how often it waits in a step: for the ends of edges, and of graphs."""


@pytest.mark.parametrize("scheme", ["fp32", "qat_int8", "dq_int8"])
@pytest.mark.parametrize("known", KNOWN)
def test_a_prepared_network_waits_for_what_is_not_known_of_a_batch(known, scheme):
    network = prepare(GRAPH_MAKERS["pools"](), scheme)
    with fake_gpu():
        network.to(GPU).train()
        for _ in range(2):
            batch = draw()
            if known != "nothing":
                batch = on_device(batch, GPU)
            given = [batch[name].to(GPU) for name in ("x", "edge_index", "batch")]
            names = dict(zip(("x", "edge_index", "batch"), given, strict=True))
            graphs = {"num_graphs": batch.num_graphs} if known == "how many graphs" else {}
            with host_waits() as waits:
                network(**names, **graphs).sum().backward()
    assert sum(waits.values()) == KNOWN[known]
