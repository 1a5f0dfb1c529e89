"""Every YAML fits the real classes: all keys arrive, and a mistyped one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from app.cells import CONFIGS, KINDS, Cell, all_cells, available
from app.cli import UserError
from app.lightning_cli import CellCLI
from models.architectures import GAT, GCN, GIN
from models.quantization.control import protections, quantizers

NETWORKS = {"gcn": GCN, "gcn_factored": GCN, "gat": GAT, "gin": GIN}
CELLS = [Cell(d, a, "dq_int8") for d in available("dataset") for a in available("architecture")]
CELLS += [Cell("synthetic", "gcn", scheme) for scheme in available("scheme")]
FILES = sorted([CONFIGS / "base.yaml", *(path for kind in KINDS for path in (CONFIGS / kind).rglob("*.yaml"))])

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
    assert set(FILES) == {path for cell in all_cells() for path in cell.config_files}


@pytest.mark.parametrize("cell", dict.fromkeys(CELLS), ids=str)
def test_every_setting_of_a_cell_arrives_and_its_model_is_built(cell, tmp_path):
    built = build(cell.config_files, tmp_path)
    resolved = yaml.safe_load(built.resolved())
    written = {}
    for path in cell.config_files:
        for keys in leaves(yaml.safe_load(path.read_text())):
            value = yaml.safe_load(path.read_text())
            for key in keys:
                value = value[key]
            written[keys] = value
    for keys, value in written.items():
        arrived = resolved
        for key in keys:
            arrived = arrived[key]
        assert list(lost(value, arrived, ".".join(keys))) == []
    network = built.model.network
    assert type(network) is NETWORKS[cell.architecture]
    assert (network.in_features, network.out_features) == (built.datamodule.num_features, built.datamodule.num_classes)
    name, _, width = cell.scheme.partition("_int")
    assert (network.scheme.name, network.scheme.bits) == (name, int(width or 32))
    assert {site.bits for site in quantizers(network)} == ({network.scheme.bits} if width else set())
    assert bool(list(protections(network))) is (name == "dq")
    assert any(site.config.noise for site in quantizers(network)) is (name == "nqat")


@pytest.mark.parametrize("path", [path for path in FILES if len(list(leaves(yaml.safe_load(path.read_text())))) > 1],
                         ids=lambda path: path.stem)  # fmt: skip
def test_a_mistyped_key_is_refused_in_one_line(path, tmp_path):
    settings = yaml.safe_load(path.read_text())
    *parents, last = list(leaves(settings))[-1]
    place = settings
    for key in parents:
        place = place[key]
    place[f"{last}x"] = place.pop(last)
    changed = tmp_path / path.name
    changed.write_text(yaml.safe_dump(settings))
    cell = next(cell for cell in all_cells() if path in cell.config_files)
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
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(words, named, tmp_path):
    with pytest.raises(UserError) as refused:
        build(Cell("synthetic", "gcn", "dq_int8").config_files, tmp_path, words)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)
