"""Every YAML fits the real classes: all keys arrive, and a mistyped one is refused."""

from __future__ import annotations

from functools import reduce
from operator import getitem
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from app.config.cells import CONFIGS, KINDS, Cell, all_cells, available, families
from app.config.lightning_cli import CellCLI
from app.errors import UserError
from models.architectures import ARCHITECTURES, GCN
from models.quantization.control import protections, quantizers

NETWORKS = {**ARCHITECTURES, "gcn_factored": GCN}
FILES = sorted([CONFIGS / "base.yaml", *(path for kind in KINDS for path in (CONFIGS / kind).rglob("*.yaml"))])


def cells_of_all_files() -> list[Cell]:
    """Cells that all files are of, each of at least one."""
    cells = [Cell("synthetic", "gcn", scheme) for scheme in available("scheme")]
    known = {path for cell in cells for path in cell.config_files}
    for cell in all_cells():
        if cell.scheme == "dq_int8" and not known.issuperset(cell.config_files):
            cells.append(cell)
            known.update(cell.config_files)
    return cells


CELLS = cells_of_all_files()

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LightningCLI's args parameter"),
    pytest.mark.filterwarnings("ignore:.*No seed found"),
]


def build(files: list[Path], directory: Path, *words: str) -> CellCLI:
    return CellCLI([*(word for path in files for word in ("--config", str(path))), *words], directory)


def lost(written, resolved, where=""):
    """Settings of a file that did not arrive in the resolved configuration."""
    if isinstance(written, dict):
        for key, value in written.items():
            yield from lost(value, resolved.get(key, "nothing"), f"{where}.{key}")
    elif isinstance(written, list):
        for i, value in enumerate(written):
            yield from lost(value, resolved[i], f"{where}.{i}")
    elif written != resolved:
        yield f"{where}: {written} became {resolved}"


def leaves(settings, path=()):
    """Key paths of all values below nested keys."""
    for key, value in settings.items():
        yield from leaves(value, (*path, key)) if isinstance(value, dict) else [(*path, key)]


def test_every_file_belongs_to_a_cell():
    files = {path for path in FILES if path.parent.parent.name != "architecture" or path.parent.name in families()}
    assert files == {path for cell in all_cells() for path in cell.config_files}


def own_data(dataset: str, folder: Path) -> list[str]:
    """The words that cells of one's own data need, for two graphs, a graph of nine nodes or two images, in `folder`."""
    if dataset == "tudataset":
        files = {"A": "1, 2\n2, 1\n3, 4\n4, 3", "graph_indicator": "1\n1\n2\n2", "graph_labels": "0\n1"}
        (folder / "TINY").mkdir()
        for name, text in files.items():
            (folder / "TINY" / f"TINY_{name}.txt").write_text(text + "\n")
    elif dataset == "graph":
        x, edges = np.eye(9, dtype=np.float32), np.array([[0, 1], [1, 0]])
        masks = {f"{part}_mask": np.arange(9) % 3 == k for k, part in enumerate(("train", "val", "test"))}
        np.savez(folder / "TINY.npz", x=x, edge_index=edges, y=np.arange(9) // 3, **masks)
    elif dataset == "images":
        np.savez(folder / "TINY.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.arange(2))
        return [f"--data.path={folder / 'TINY.npz'}"]
    else:
        return []
    return ["--data.name=TINY", f"--data.root={folder}"]


@pytest.fixture(scope="module", params=CELLS, ids=str)
def cell(request) -> Cell:
    return request.param


@pytest.fixture(scope="module")
def built(cell, tmp_path_factory) -> CellCLI:
    """What the configs of a cell describe."""
    folder = tmp_path_factory.mktemp("built")
    return build(cell.config_files, folder, *own_data(cell.dataset, folder))


def written_settings(cell: Cell) -> dict[tuple[str, ...], object]:
    """Values of all settings in the files of a cell by key path; later files win."""
    written = {}
    for path in cell.config_files:
        settings = yaml.safe_load(path.read_text())
        for keys in leaves(settings):
            written[keys] = reduce(getitem, keys, settings)
    return written


def test_every_setting_of_a_cell_arrives(cell, built):
    resolved = yaml.safe_load(built.resolved())
    for keys, value in written_settings(cell).items():
        arrived = resolved
        for key in keys:
            arrived = arrived[key] if not key.endswith("+") else arrived[key[:-1]][-len(value) :]
        assert list(lost(value, arrived, ".".join(keys))) == []


def test_the_network_is_that_of_the_architecture_and_fits_the_data(cell, built):
    network, data = built.model.network, built.datamodule
    assert type(network) is NETWORKS[cell.architecture]
    assert (network.in_features, network.out_features) == (data.num_features, data.num_classes)


def test_the_sites_are_those_of_the_scheme(cell, built):
    network = built.model.network
    name, _, width = cell.scheme.partition("_int")
    name, width = ("first_last_8", "4") if name == "first_last_8" else (name, width)
    assert (network.scheme.name, network.scheme.bits) == (name, int(width or 32))
    ends = {network.scheme.first_bits, network.scheme.last_bits, network.scheme.skip_bits} - {None}
    assert {site.bits for site in quantizers(network)} == ({network.scheme.bits} | ends if width else set())
    assert ends == ({8} if cell.scheme in ("first_last_8", "best_int4") else set())
    assert bool(list(protections(network))) is (name in ("dq", "lsq_dq", "best", "first_last_8"))
    assert any(site.config.noise for site in quantizers(network)) is (name == "nqat")


@pytest.mark.parametrize("row", ["zinc/gin", "zinc/gat", "zinc/gcn", "cora/gin"])
def test_best_int4_multiplies_codes_of_four_bits_and_adds_codes_of_eight(row, tmp_path):
    dataset, architecture = row.split("/")
    network = build(Cell(dataset, architecture, "best_int4").config_files, tmp_path).model.network
    bits = {site.name: site.bits for site in quantizers(network) if site.part in ("trunk", "skip")}
    added = {name for name in bits if name.rpartition(".")[2] in ("residual", "normalized", "aggregate")}
    assert added
    assert {name: width for name, width in bits.items() if width != 4} == dict.fromkeys(added, 8)


@pytest.mark.parametrize(
    ("family", "architecture", "ends", "width", "parameters"),
    [
        ("superpixels", "gcn", (3, 10), 146, 101_365),
        ("superpixels", "gcn_factored", (3, 10), 146, 101_365),
        ("superpixels", "gat", (3, 10), 152, 110_400),
        ("superpixels", "gin", (3, 10), 110, 105_434),
        ("superpixels", "gcn", (5, 10), 146, 101_657),
        ("superpixels", "gat", (5, 10), 152, 110_704),
        ("superpixels", "gin", (5, 10), 110, 105_654),
        ("molecules", "gcn", (28, 2), 145, 103_077 + 37),
        ("molecules", "gcn_factored", (28, 2), 145, 103_077 + 37),
        ("molecules", "gat", (28, 2), 144, 102_385 + 37),
        ("molecules", "gin", (28, 2), 110, 103_079 + 5 * 111),
        ("social", "gin", (1, 2), 64, 42_503),
    ],
)
def test_networks_of_a_family_have_the_published_number_of_parameters(
    family, architecture, ends, width, parameters, tmp_path
):
    """Built for 100 features, each of which adds a row of `width`, and for two classes where ZINC has one number."""
    base, dataset, _, scheme = Cell("synthetic", "gcn", "fp32").config_files
    files = [base, dataset, CONFIGS / "architecture" / family / f"{architecture}.yaml", scheme]
    network = build(files, tmp_path, "--data.num_features=100", f"--data.num_classes={ends[1]}").model.network
    assert sum(p.numel() for p in network.parameters()) - (100 - ends[0]) * width == parameters


def test_schedulers_and_monitors_are_settings(tmp_path):
    words = [
        "--model.monitor=val/loss",
        "--model.lr_scheduler=torch.optim.lr_scheduler.StepLR",
        "--model.lr_scheduler.step_size=50",
        "--model.architecture.readout.pool=sum",
    ]
    built = build(Cell("digits", "gin", "fp32").config_files, tmp_path, *words)
    assert built.model.monitor == ("val/loss", "min")
    assert built.trainer.checkpoint_callbacks[0].monitor == "val/loss"
    assert built.model.network.readout.pool == "sum"
    (optimizer,), (scheduler,) = built.model.configure_optimizers()
    assert isinstance(scheduler, torch.optim.lr_scheduler.StepLR)
    assert scheduler.optimizer is optimizer
    assert yaml.safe_load(built.resolved())["model"]["init_args"]["lr_scheduler"]["init_args"]["step_size"] == 50


MISTYPED = {path.parent: path for path in FILES if len(list(leaves(yaml.safe_load(path.read_text())))) > 1}
"""A file of each folder, so of every kind."""


@pytest.mark.parametrize("path", MISTYPED.values(), ids=lambda path: path.stem)
def test_a_mistyped_key_is_refused_in_one_line(path, tmp_path):
    settings = yaml.safe_load(path.read_text())
    *parents, last = list(leaves(settings))[-1]
    place = settings
    for key in parents:
        place = place[key]
    place[f"{last}x"] = place.pop(last)
    changed = tmp_path / path.name
    changed.write_text(yaml.safe_dump(settings))
    cell = next((cell for cell in all_cells() if path in cell.config_files), None)
    if cell is None:
        pytest.skip(f"there is no data set for {path.parent.name} yet")
    with pytest.raises(UserError) as refused:
        build([changed if file == path else file for file in cell.config_files], tmp_path)
    assert f"{last}x" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--model.scheme.bist=4", "model.scheme.bits"),
        ("--model.scheme.bits=4.5", "model.scheme.bits"),
        ("--model.scheme.bits=9", "from 2 to 8, got 9"),
        ("--model.scheme.observer.statistic=median", "minmax, percentile"),
        ("--model.architecture.layers=0", "layers and hidden must be at least 1"),
        ("--model.architecture.residul=true", "model.architecture.residual"),
        ("--model.architecture.batch_norm=behind", "before"),
        (
            "--model.monitor=val/mae",
            "expected one of val/loss, val/accuracy, val/f1, val/auroc, val/average_precision, got 'val/mae'",
        ),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(words, named, tmp_path):
    with pytest.raises(UserError) as refused:
        build(Cell("synthetic", "gcn", "dq_int8").config_files, tmp_path, words)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)
