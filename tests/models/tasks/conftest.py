"""Small networks and graphs, and a short training."""

from __future__ import annotations

import warnings

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from models.architectures import GIN
from models.layers import ReadoutConfig
from models.quantization.protection import degree_cdf


@pytest.fixture
def graph_gin():
    """A network of two layers that reads whole graphs."""
    return lambda i, o, scheme: GIN(i, o, scheme, hidden=6, layers=2, dropout=0.0, readout=ReadoutConfig("sum"))


@pytest.fixture
def node_gin():
    """A network that reads nodes."""
    return lambda i, o, scheme: GIN(i, o, scheme, hidden=6, dropout=0.0)


@pytest.fixture
def graphs():
    """Ten graphs; the label is whether there are more than five nodes, the number how many."""
    result = []
    for nodes in range(1, 11):
        edges = torch.randint(nodes, (2, 3 * nodes))
        label = {"y": torch.tensor([int(nodes > 5)]), "number": torch.tensor([nodes / 10])}
        result.append(Data(x=torch.randn(nodes, 4), edge_index=edges, degree_cdf=degree_cdf(edges, nodes), **label))
    return result


@pytest.fixture
def fit(tmp_path):
    """fit(task, graphs, epochs, callbacks, batch_size, ...) -> the trainer."""

    def run(task, graphs, epochs=2, callbacks=(), batch_size=4, ckpt_path=None, sanity_steps=0, accumulate=1):
        loaders = [DataLoader(graphs, batch_size=batch_size) for _ in range(2)]
        trainer = pl.Trainer(
            accelerator="cpu", devices=1, max_epochs=epochs, callbacks=list(callbacks),
            num_sanity_val_steps=sanity_steps, accumulate_grad_batches=accumulate, logger=CSVLogger(str(tmp_path)),
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(task, *loaders, ckpt_path=ckpt_path, weights_only=True)
        return trainer

    return run
