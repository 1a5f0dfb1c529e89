"""What the datamodules with many graphs promise the trainer, on random graphs."""

from __future__ import annotations

import math
from itertools import chain
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data.distributed import DistributedSampler

from datamodules import DataError
from datamodules.batched import BatchSampler, loader_of_batches

LOADERS = {"train_dataloader": "train", "val_dataloader": "val", "test_dataloader": "test",
           "predict_dataloader": "test"}  # fmt: skip


class Recorder(pl.LightningModule):
    """Trains one number and notes which graphs the trainer hands it."""

    def __init__(self, die_after: int | None = None) -> None:
        super().__init__()
        self.number = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[str, int, list[int]]] = []
        self.die_after = die_after

    def _note(self, part: str, batch) -> None:
        self.seen.append((part, self.current_epoch, batch.x[batch.ptr[:-1], 0].long().tolist()))

    def training_step(self, batch, index):
        self._note("train", batch)
        if self.die_after is not None and len(self.seen) > self.die_after:
            raise MemoryError("killed")
        return self.number * 1.0

    def validation_step(self, batch, index) -> None:
        self._note("val", batch)

    def predict_step(self, batch, index) -> list[int]:
        return batch.x[batch.ptr[:-1], 0].long().tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder, **arguments) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, default_root_dir=folder, **arguments,
    )  # fmt: skip


def epoch(datamodule, loader: str = "train_dataloader", number: int = 0) -> list[list[int]]:
    loader = getattr(datamodule, loader)()
    loader.sampler.set_epoch(number)
    return [batch.x[batch.ptr[:-1], 0].long().tolist() for batch in loader]


@pytest.fixture
def data(toy):
    datamodule = toy(batch_size=4)
    datamodule.setup()
    return datamodule


@pytest.mark.parametrize(("loader", "part"), LOADERS.items())
def test_every_graph_of_a_split_is_seen_once(data, loader, part):
    batches = epoch(data, loader)
    numbers = getattr(data.split, part).tolist()
    assert sorted(chain(*batches)) == numbers
    assert [len(batch) for batch in batches[:-1]] == [4] * (math.ceil(len(numbers) / 4) - 1)
    assert len(getattr(data, loader)()) == len(batches)
    if part != "train":
        assert list(chain(*batches)) == numbers


def test_the_order_of_training_is_of_seed_and_epoch_alone(data, monkeypatch):
    orders = {}
    for seed in (0, 1):
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        for number in range(3):
            orders[seed, number] = epoch(data, number=number)
            torch.rand(1)
            assert epoch(data, number=number) == orders[seed, number]
    assert len({str(order) for order in orders.values()}) == 6


def test_loaders_draw_nothing_from_the_global_generator(data):
    before = torch.get_rng_state()
    for loader in LOADERS:
        epoch(data, loader)
    assert torch.equal(torch.get_rng_state(), before)


def test_worker_processes_yield_the_same_batches(toy, data):
    other = toy(batch_size=4, num_workers=1)
    other.setup()
    assert epoch(other) == epoch(data)


@pytest.mark.parametrize("world_size", [2, 3, 5])
@pytest.mark.parametrize("count", [15, 16, 17])
def test_processes_train_the_same_number_of_steps_on_all_graphs(count, world_size):
    numbers = torch.arange(100, 100 + count)
    samplers = [BatchSampler(numbers, 2, rank=rank, world_size=world_size, training=True) for rank in range(world_size)]
    shares = [[batch.tolist() for batch in sampler] for sampler in samplers]
    assert len({len(share) for share in shares}) == 1
    assert [len(sampler) for sampler in samplers] == [len(share) for share in shares]
    assert {len(list(chain(*share))) for share in shares} == {math.ceil(count / world_size)}
    assert set(chain(*chain(*shares))) == set(numbers.tolist())


@pytest.mark.parametrize("world_size", [2, 3, 5])
@pytest.mark.parametrize("count", [15, 16, 17])
def test_processes_evaluate_every_graph_once(count, world_size):
    numbers = torch.arange(100, 100 + count)
    samplers = [
        BatchSampler(numbers, 2, rank=rank, world_size=world_size, training=False) for rank in range(world_size)
    ]
    shares = [[batch.tolist() for batch in sampler] for sampler in samplers]
    assert sorted(chain(*chain(*shares))) == numbers.tolist()
    assert [len(sampler) for sampler in samplers] == [len(share) for share in shares]


def test_lightning_leaves_the_sampler_in_place(data):
    data.trainer = SimpleNamespace(world_size=2, global_rank=1)
    loader = data.val_dataloader()
    assert isinstance(loader.sampler, DistributedSampler)
    assert (loader.sampler.rank, loader.sampler.num_replicas) == (1, 2)


def test_a_resumed_run_sees_the_graphs_of_an_undisturbed_one(toy, tmp_path):
    undisturbed = Recorder()
    trainer(tmp_path / "a", max_epochs=5).fit(undisturbed, datamodule=toy(batch_size=4))
    killed = Recorder(die_after=14)  # five steps of training and two of validation an epoch
    with pytest.raises(MemoryError):
        trainer(tmp_path / "b", max_epochs=5).fit(killed, datamodule=toy(batch_size=4))
    (checkpoint,) = (tmp_path / "b").rglob("*.ckpt")
    resumed = Recorder()
    trainer(tmp_path / "b", max_epochs=5).fit(resumed, datamodule=toy(batch_size=4), ckpt_path=checkpoint)
    finished = resumed.seen[0][1]
    assert finished in (1, 2)
    assert resumed.seen == [entry for entry in undisturbed.seen if entry[1] >= finished]
    assert len({str(entry[2]) for entry in undisturbed.seen if entry[0] == "train"}) == 20


def test_prediction_is_of_the_test_graphs_in_order(toy, tmp_path):
    data = toy(batch_size=4)
    batches = trainer(tmp_path).predict(Recorder(), datamodule=data)
    assert list(chain(*batches)) == data.split.test.tolist()


def test_setup_loads_once(data):
    store = data.store
    data.setup("test")
    assert data.store is store


def test_loaders_before_setup_say_so(toy):
    with pytest.raises(RuntimeError, match=r"toy: call setup\(\)"):
        toy().train_dataloader()


@pytest.mark.parametrize(("label", "named"), [(2, "has label 2"), (-1, "has label -1")])
def test_a_label_outside_the_classes_is_named(toy, label, named):
    datamodule = toy()
    datamodule.graphs[3].y[0] = label
    with pytest.raises(DataError, match=rf"toy: graph 3 {named}, expected 0\.\.1"):
        datamodule.setup()
    assert datamodule.store is None


def test_a_wrong_width_is_named(toy):
    datamodule = toy()
    datamodule.num_features = 4
    with pytest.raises(DataError, match="toy: nodes have 3 features, expected 4"):
        datamodule.setup()


def test_fewer_graphs_than_processes_are_refused(toy):
    datamodule = toy(count=10)
    datamodule.trainer = SimpleNamespace(world_size=3, global_rank=0)
    with pytest.raises(DataError, match="toy: 2 graphs in val for 3 processes"):
        datamodule.setup()


@pytest.mark.parametrize(("arguments", "named"), [({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
                                                  ({"num_workers": -1}, "num_workers")])  # fmt: skip
def test_values_outside_their_range_are_refused(toy, arguments, named):
    with pytest.raises(ValueError, match=named):
        toy(**arguments)


def test_targets_with_fractions_are_no_classes(toy):
    data = toy()
    for graph in data.graphs:
        graph.y = graph.y / 2
    with pytest.raises(DataError, match="toy: targets are numbers, expected classes: choose task graph_regression"):
        data.setup()


def test_a_category_that_the_data_does_not_have_is_named(toy):
    data = toy()
    for graph in data.graphs:
        graph.x = torch.zeros(len(graph.x), 1, dtype=torch.int64)
    data.graphs[3].x[1] = 3
    with pytest.raises(DataError, match=r"toy: graph 3 node 1 has the category 3, expected 0\.\.2"):
        data.setup()


@pytest.mark.parametrize(("device", "workers", "pinned"), [("cuda", 1, True), ("cuda", 0, False), ("cpu", 1, False)])
def test_batches_that_workers_make_for_a_gpu_are_pinned(device, workers, pinned):
    strategy = SimpleNamespace(root_device=torch.device(device))
    process = SimpleNamespace(global_rank=0, world_size=1, strategy=strategy)
    loader = loader_of_batches([], torch.arange(4), 2, trainer=process, training=True, num_workers=workers)
    assert loader.pin_memory == pinned
