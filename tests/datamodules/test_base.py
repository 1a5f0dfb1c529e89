"""What the datamodules with one graph promise the trainer, on the synthetic data set."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from jsonargparse import ArgumentParser
from torch_geometric.data import Data

from datamodules import (
    CitationDataModule,
    DataError,
    DataWarning,
    FullBatchDataModule,
    GraphDataModule,
    SyntheticDataModule,
    graph_checks,
)
from models.quantization.protection import degree_cdf

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
    with pytest.raises(ValueError, match=r"2 devices.*data\.parts.*seeds side by side"):
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
    with pytest.raises(ValueError, match=r"features: expected one of row_normalized, raw, standardized, got 'log'"):
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


class Mine(FullBatchDataModule):
    """Eight nodes in a ring, changed by `changes`; masks take two, two and three of them."""

    name, num_features, num_classes = "mine", 3, 2

    def __init__(self, features: str = "raw", **changes: object) -> None:
        super().__init__(features)
        nodes = torch.arange(8)
        ring = torch.stack([nodes, (nodes + 1) % 8])
        self.graph = Data(x=torch.rand(8, 3), edge_index=torch.cat([ring, ring.flip(0)], dim=1), y=nodes % 2)
        for part, numbers in (("train", (0, 1)), ("val", (2, 3)), ("test", (4, 5, 6))):
            self.graph[f"{part}_mask"] = torch.isin(nodes, torch.tensor(numbers))
        self.graph.update(changes)

    def load_graph(self) -> Data:
        return self.graph


def test_dense_features_are_read():
    datamodule = Mine("row_normalized", x=torch.ones(8, 3, dtype=torch.float64))
    datamodule.setup()
    assert torch.equal(datamodule.graph_data.x, torch.full((8, 3), 1 / 3))


def test_labels_of_nodes_become_classes_and_are_kept():
    labels = torch.tensor([5, 9, 5, 9, 5, 9, 9, -100])
    datamodule = Mine(y=labels)
    datamodule.setup()
    assert datamodule.class_names == (5, 9)
    assert datamodule.graph_data.y.tolist() == [0, 1, 0, 1, 0, 1, 1, 0]


def test_nodes_without_a_label_may_have_any_number():
    datamodule = Mine(y=torch.tensor([0, 1, 0, 1, 0, 1, 1, -1]))
    datamodule.setup()
    assert (datamodule.class_names, datamodule.graph_data.y[-1]) == ((), -1)


def test_parts_that_are_not_used_are_said():
    with pytest.warns(DataWarning, match="mine: not used: pos; only x, edge_index, y, train_mask") as said:
        Mine(pos=torch.zeros(8, 2), edge_weight=torch.zeros(16)).setup()
    assert len(said) == 2


def test_a_second_run_on_the_same_data_says_nothing_again(recwarn):
    for _ in range(2):
        Mine(pos=torch.zeros(8, 2)).setup()
    assert [warning.category for warning in recwarn].count(DataWarning) == 1


def test_only_the_first_process_says_it(recwarn):
    datamodule = Mine(pos=torch.zeros(8, 2))
    datamodule.trainer = SimpleNamespace(world_size=1, global_rank=1)
    datamodule.setup()
    assert datamodule.remarks == ("not used: pos; only x, edge_index, y, train_mask, val_mask, test_mask are",)
    assert not [warning for warning in recwarn if warning.category is DataWarning]


def with_nan() -> torch.Tensor:
    x = torch.ones(8, 3)
    x[6, 1] = torch.nan
    return x


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"x": None}, "the graph has no `x`"),
        ({"y": None}, "the graph has no `y`"),
        ({"x": with_nan()}, "node 6: `x` is nan"),
        ({"x": with_nan().to_sparse_csr()}, "node 6: `x` is nan"),
        ({"x": torch.ones(8, 4)}, "nodes have 4 features, expected 3"),
        ({"x": torch.ones(8, 3).to_sparse()}, r"`x` is sparse float32 of shape \[8, 3\], expected .*to_sparse_csr"),
        ({"edge_index": None, "adj_t": torch.eye(8).to_sparse_csr()}, "the graph has `adj_t` instead of `edge_index`"),
        ({"edge_index": torch.tensor([[0], [8]])}, r"edge 0 leads from node 0 to 8, but the nodes are 0\.\.7"),
        ({"edge_index": torch.zeros(2, 1)}, "the graph: `edge_index` is float32"),
        ({"y": torch.zeros(8, 2)}, r"`y` is float32 of shape \[8, 2\], expected one target for each of the 8 nodes"),
        ({"edge_weight": torch.ones(3)}, r"`edge_weight` is float32 of shape \[3\], expected a number for each of 16"),
        ({"edge_weight": torch.ones(16) / 0}, "edge 0: `edge_weight` is inf"),
        ({"y": torch.arange(8)}, "nodes have 7 classes, expected 2"),
        ({"y": torch.arange(8) / 2}, "node 1: `y` is 0.5, no class: expected a whole number"),
        ({"val_mask": None}, "the graph has no `val_mask`"),
        ({"val_mask": torch.zeros(8, dtype=torch.bool)}, "`val_mask` selects no node"),
        ({"val_mask": torch.arange(2, 4)}, r"`val_mask` is int64 of shape \[2\], expected bool of shape \[8\]"),
        ({"test_mask": torch.ones(8, dtype=torch.bool)}, "node 0 is in several of train_mask, val_mask, test_mask"),
    ],
)
def test_a_single_graph_that_cannot_be_used_is_one_sentence(changes, sentence):
    with pytest.raises(DataError, match=f"^mine: {sentence}") as caught:
        Mine(**changes).setup()
    assert "\n" not in str(caught.value)


WEIGHTS = torch.arange(16).double()


def test_weights_of_edges_go_with_them_and_are_said_to_need_a_network_that_takes_them():
    datamodule = Mine(edge_weight=WEIGHTS)
    with pytest.warns(DataWarning, match="mine: `edge_weight` is read only by a network of your own that takes it"):
        datamodule.setup()
    graph, given = datamodule.graph_data, datamodule.graph
    assert graph.edge_weight.dtype == torch.float32
    weight = {tuple(edge): weight for edge, weight in zip(given.edge_index.T.tolist(), WEIGHTS.tolist(), strict=True)}
    assert [weight[tuple(edge)] for edge in graph.edge_index.T.tolist()] == graph.edge_weight.tolist()


def test_of_many_edges_one_that_has_both_ways_suffices(monkeypatch):
    monkeypatch.setattr(graph_checks, "EDGES_AT_ONCE", 1)
    path = torch.stack([torch.arange(8), torch.arange(1, 9)])
    assert graph_checks.one_way(path, 9)
    assert not graph_checks.one_way(path[:, :0], 9)
    for back in range(8):
        edges = torch.cat([path, path.flip(0)[:, back : back + 1]], 1)
        assert not graph_checks.one_way(edges[:, np.lexsort(edges.numpy())], 9)


def test_edges_that_lead_one_way_are_said():
    nodes = torch.arange(8)
    datamodule = Mine(edge_index=torch.stack([nodes, (nodes + 1) % 8]))
    datamodule.setup()
    assert datamodule.remarks[0].startswith("edges lead one way, and so do messages")
    assert Mine().graph.edge_index.size(1) == 16
    other = Mine()
    other.setup()
    assert other.remarks == ()


def test_self_loops_and_repeats_are_said():
    datamodule = Mine(edge_index=torch.tensor([[0, 1, 2, 2, 2, 3], [1, 0, 3, 3, 2, 2]]))
    datamodule.setup()
    assert datamodule.remarks[0].startswith("1 self-loops and 1 repeated edges are kept")


def test_inductive_training_sees_the_training_nodes_and_the_edges_among_them():
    class Inductive(Mine):
        def __init__(self, **changes: object) -> None:
            super().__init__(**changes)
            self.inductive = True

    masks = {f"{part}_mask": torch.isin(torch.arange(8), torch.tensor(nodes))
             for part, nodes in (("train", (0, 2, 3, 4)), ("val", (1,)), ("test", (6,)))}  # fmt: skip
    for x in (torch.rand(8, 3), torch.rand(8, 3).to_sparse_csr()):
        datamodule = Inductive(x=x, edge_weight=WEIGHTS, **masks)
        datamodule.setup()
        (batch,) = datamodule.train_dataloader()
        assert torch.equal(batch.x.to_dense(), x.to_dense()[[0, 2, 3, 4]])
        assert batch.edge_index.tolist() == [[2, 1, 3, 2], [1, 2, 2, 3]]  # the ring's edges 2-3-4 by target
        assert batch.y.tolist() == [0, 0, 1, 0]
        assert batch.train_mask.all()
        assert not (batch.val_mask | batch.test_mask).any()
        assert torch.equal(batch.degree_cdf, degree_cdf(batch.edge_index, 4))
        weight = {(2, 3): 2.0, (3, 2): 10.0, (3, 4): 3.0, (4, 3): 11.0}
        ends = torch.tensor([0, 2, 3, 4])[batch.edge_index].T.tolist()
        assert batch.edge_weight.tolist() == [weight[tuple(edge)] for edge in ends]
        for loader in LOADERS[1:]:
            (whole,) = getattr(datamodule, loader)()
            assert whole is datamodule.graph_data
            assert whole.num_nodes == 8


def test_features_can_be_standardised_over_the_training_nodes():
    x = torch.rand(8, 3) * 1000 + 5000
    x[:, 2] = torch.arange(8) % 2
    datamodule = Mine("standardized", x=x)
    datamodule.setup()
    found = datamodule.graph_data.x
    torch.testing.assert_close(found[:2, :2].mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[:2, :2].std(0), torch.ones(2))
    assert torch.equal(found[:, 2], x[:, 2])
    kept = datamodule.scaling.as_numbers()
    mean, deviation = (torch.tensor(kept[key], dtype=torch.float64) for key in ("mean", "deviation"))
    assert torch.equal(((x.double() - mean) / deviation).float(), found)


def test_rows_that_cannot_be_normalised_are_named():
    x = torch.ones(8, 3)
    x[5] = torch.tensor([1.0, -1.0, 1e-40])
    with pytest.raises(DataError, match=r"^mine: node 5: `x` is inf: its row cannot be scaled to sum 1"):
        Mine("row_normalized", x=x).setup()
