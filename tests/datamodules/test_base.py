"""What the datamodules with one graph promise the trainer, on the synthetic data set."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from jsonargparse import ArgumentParser

from datamodules import CitationDataModule, FullBatchDataModule, GraphDataModule, SyntheticDataModule

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader")


@pytest.fixture
def datamodule() -> SyntheticDataModule:
    return SyntheticDataModule(num_nodes=200, num_features=100, num_classes=3, num_val=40, num_test=60)


class Recorder(pl.LightningModule):
    """Trains one number and notes which objects the trainer hands it."""

    def __init__(self) -> None:
        super().__init__()
        self.number = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[object, ...]] = []

    def _note(self, batch) -> None:
        self.seen.append((batch, batch.x, batch.edge_index))

    def training_step(self, batch, index):
        self._note(batch)
        return self.number * 1.0

    def validation_step(self, batch, index) -> None:
        self._note(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("loader", LOADERS)
def test_each_epoch_of_each_loader_is_the_one_graph(datamodule, loader):
    datamodule.setup()
    loader = getattr(datamodule, loader)()
    assert loader.num_workers == 0
    for _ in range(2):
        (batch,) = loader
        assert batch is datamodule.graph_data


def test_the_trainer_sees_the_same_tensors_every_epoch(datamodule, tmp_path):
    model = Recorder()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )
    trainer.fit(model, datamodule=datamodule)
    graph = datamodule.graph_data
    assert len(model.seen) == 6
    for seen in model.seen:
        assert all(a is b for a, b in zip(seen, (graph, graph.x, graph.edge_index), strict=True))


def test_a_loader_draws_nothing_from_the_global_generator(datamodule):
    datamodule.setup()
    before = torch.get_rng_state()
    list(datamodule.val_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_setup_loads_once(datamodule):
    datamodule.setup("fit")
    graph = datamodule.graph_data
    datamodule.setup("test")
    assert datamodule.graph_data is graph


def test_loaders_before_setup_say_so(datamodule):
    with pytest.raises(RuntimeError, match="setup"):
        datamodule.train_dataloader()


def test_more_than_one_device_is_refused(datamodule):
    datamodule.trainer = SimpleNamespace(world_size=2)
    with pytest.raises(ValueError, match=r"2 devices.*seeds in parallel"):
        datamodule.setup("fit")
    datamodule.trainer = SimpleNamespace(world_size=1)
    datamodule.setup("fit")


@pytest.mark.parametrize("stages", [(), ("fit",)])
def test_a_pickled_datamodule_holds_the_same_graph(datamodule, stages):
    for stage in stages:
        datamodule.setup(stage)
    copy = pickle.loads(pickle.dumps(datamodule))
    copy.setup()
    datamodule.setup()
    for key, value in datamodule.graph_data:
        assert torch.equal(copy.graph_data[key].to_dense(), value.to_dense()), key


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: CitationDataModule("Cora", "nowhere"), ("Cora", 1433, 7)),
        (lambda: CitationDataModule("Citeseer", "nowhere"), ("Citeseer", 3703, 6)),
        (lambda: SyntheticDataModule(), ("synthetic", 1433, 7)),
    ],
)
def test_attributes_are_known_before_the_disk_is_touched(make, expected):
    datamodule = make()
    assert (datamodule.name, datamodule.num_features, datamodule.num_classes) == expected
    assert datamodule.task == "node_classification"
    assert datamodule.graph_data is None


@pytest.mark.parametrize("make", [lambda: CitationDataModule("Cora", features="log"),
                                  lambda: SyntheticDataModule(features="log")])  # fmt: skip
def test_unknown_features_are_refused_with_the_choices(make):
    with pytest.raises(ValueError, match=r"features: expected one of row_normalized, raw, got 'log'"):
        make()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data=CitationDataModule", "--data.name=Cora", "--data.root=X", "--data.features=raw"],
         {"name": "Cora", "root": "X", "features": "raw"}),
        (["--data=SyntheticDataModule", "--data.seed=3", "--data.homophily=0.5"],
         {"seed": 3, "homophily": 0.5}),
    ],
)  # fmt: skip
def test_the_command_line_sets_every_argument(arguments, expected):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(GraphDataModule, "data")
    made = parser.instantiate_classes(parser.parse_args(arguments)).data
    assert isinstance(made, FullBatchDataModule)
    assert {key: getattr(made, key) for key in expected} == expected
