"""Results of finished runs, read from run folders, and the score that tables show of a run.

A table has one place for a cell. Where runs of one cell have different settings, those that lie elsewhere than
`<root>/<cell>` get a name of their own, the cell's with the settings behind it: `cora/gcn/dq_int8+lr=0.02`.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from app.config.settings import FREE_KEYS, computing_settings
from app.errors import UserError
from app.runs.result import OtherSettings, Result, all_bits
from app.runs.run_folder import Run, finished_runs

Results = dict[str, list[Result]]
"""By the name of their cell (`dataset/architecture/scheme`, with `+variant` where there is one)."""

METRICS = {
    "accuracy": ("accuracy %", 100.0, 1, 1),
    "f1": ("F1 %", 100.0, 1, 1),
    "f1_micro": ("micro-F1 %", 100.0, 1, 1),
    "auroc": ("AUROC %", 100.0, 1, 1),
    "average_precision": ("AP %", 100.0, 1, 1),
    "mae": ("MAE", 1.0, 3, -1),
    "rmse": ("RMSE", 1.0, 3, -1),
    "r2": ("R2", 1.0, 3, 1),
}
"""Metric in a result -> its name in tables, factor, decimals; 1 where more is better, -1 where less is."""


@dataclass(frozen=True)
class Score:
    """The metric of a run that tables show, in the unit of tables. `sign`: 1 where more is better, -1 where less is."""

    metric: str
    value: float
    decimals: int
    sign: int

    def summary(self, values: Sequence[float]) -> str:
        """`mean +- sample deviation (n)` of values of this metric; how many are undefined, where some are."""
        if unknown := sum(map(isnan, values)):
            return f"undefined in {unknown} of {len(values)}"
        spread = f" +- {found}" if (found := self.deviation(values)) else ""
        return f"{mean(values):.{self.decimals}f}{spread} ({len(values)})"

    def deviation(self, values: Sequence[float]) -> str:
        """The sample deviation; nothing of one value, or where one is undefined."""
        return "" if len(values) < 2 or any(map(isnan, values)) else f"{stdev(values):.{self.decimals}f}"


def score_of(result: Result, split: str = "test") -> Score:
    """Returns the score of a run on a split, at the epoch chosen on validation: of its first metric.

    Older results do not say which that is: they have one.

    Raises:
        UserError: if the result has none of the known metrics.
    """
    keys = [result["metric"]] if "metric" in result else list(METRICS)
    for key, (metric, factor, decimals, sign) in METRICS.items():
        if key in keys and f"{split}/{key}" in result["metrics"]:
            value = result["metrics"][f"{split}/{key}"]
            return Score(metric, nan if value is None else factor * value, decimals, sign)
    raise UserError(f"{result['cell']} seed {result['seed']}: its result has no {split} metric")


def bits_of(result: Result) -> int | None:
    """Returns the bits of a run, 32 for FP32; of a run with several widths the largest, and None if that is 32.

    Of a result that does not record them they are those in the scheme's name.
    """
    if widths := result.get("bit_widths"):
        of_sites = all_bits(widths)
        return max(of_sites) if len(of_sites) == 1 or 32 not in of_sites else None
    if bits := result.get("bits"):
        return int(bits)
    found = re.match(r"fp(32)\b|.*_int(\d+)\b", result["cell"].rpartition("/")[2])
    return int(found[1] or found[2]) if found else None


def values_by_seed(results: Iterable[Result], split: str = "test") -> dict[int, float]:
    """Returns the value of the score of every seed."""
    return {result["seed"]: score_of(result, split).value for result in results}


def collect(root: Path) -> Results:
    """Reads the results of all finished runs below `root`.

    One that is damaged, or has no metric of tables, is left out, and named in a line on standard error. So are copies
    of a run that do not agree.
    """
    cells: dict[str, list[tuple[Run, Result]]] = defaultdict(list)
    for run in finished_runs(root):
        try:
            result = run.read_result()
            score_of(result)
        except (UserError, OSError) as problem:
            print(f"left out: {problem}", file=sys.stderr)
        else:
            cells[result["cell"]].append((run, result))
    results: list[Result] = []
    for name, runs in cells.items():
        groups = groups_by_settings(runs)
        for group in groups:
            tell_differing_copies(group)
        results.extend(told_apart(name, groups, root))
    return apart_by_data(grouped(results))


@dataclass(frozen=True)
class Group:
    """Runs of one cell with the same settings; `settings` is None where no configuration lies beside the results."""

    settings: dict[str, Any] | None
    runs: list[tuple[Run, Result]] = field(default_factory=list)

    def lies_in(self, folder: Path) -> bool:
        """Whether one of the runs lies in this folder."""
        return any(run.directory.parent == folder for run, _ in self.runs)


def tell_differing_copies(group: Group) -> None:
    """Names, on standard error, runs of one seed with the same settings that measured different values."""
    of_seed: dict[int, tuple[Run, Result]] = {}
    for run, result in group.runs:
        other, before = of_seed.setdefault(result["seed"], (run, result))
        if before["metrics"] != result["metrics"]:
            copies = f"{other.directory} and {run.directory}"
            print(f"{copies} are the same run with different results: the second is shown", file=sys.stderr)
        of_seed[result["seed"]] = run, result


def told_apart(name: str, groups: Sequence[Group], root: Path) -> Iterator[Result]:
    """Yields the results of runs of the cell `name`; those with other settings under names that say so."""
    if len(groups) == 1:
        yield from (where_and_how(run, result, groups[0], root) for run, result in groups[0].runs)
        return
    in_place = [group for group in groups if group.lies_in(root / name)]
    keys = differing_keys(groups)
    usual = usual_settings(in_place if len(in_place) == 1 else groups, keys)
    differing = [[key for key in keys if (group.settings or {}).get(key) != usual[key]] for group in groups]
    changed = [own or (keys if len(keys) <= LABELLED else []) for own in differing]
    names = [
        name if [group] == in_place else f"{name}+{label(group, own) or USUAL}"
        for group, own in zip(groups, changed, strict=True)
    ]
    for number, (group, own_name) in enumerate(zip(groups, names, strict=True), 1):
        own = own_name if names.count(own_name) == 1 else f"{own_name}#{number}"
        settings = {key.replace(".init_args", ""): str((group.settings or {}).get(key)) for key in keys}
        of_group = [key.replace(".init_args", "") for key in changed[number - 1]]
        folder = group.runs[0][0].directory.relative_to(root)
        for run, result in group.runs:
            other = OtherSettings(cell=name, folder=str(folder), settings=settings, changed=of_group)
            yield {**where_and_how(run, result, group, root), "cell": own, "other_settings": other}


def where_and_how(run: Run, result: Result, group: Group, root: Path) -> Result:
    """Returns a result with the folder of its run, below the runs' root, and the settings of the run."""
    return {**result, "folder": str(run.directory.relative_to(root)), "settings": group.settings or {}}


def groups_by_settings(runs: Sequence[tuple[Run, Result]]) -> list[Group]:
    """Returns runs in groups of equal settings. A run without a readable configuration joins the first group."""
    by_text: dict[str, Group] = {}
    groups: list[Group] = []
    unknown: list[tuple[Run, Result]] = []
    for run, result in runs:
        text = _text_to_compare(run)
        if text not in by_text:
            try:
                content = yaml.safe_load(text)
            except yaml.YAMLError:
                content = None
            if not isinstance(content, dict):
                unknown.append((run, result))
                continue
            settings = computing_settings(content)
            same = [group for group in groups if group.settings == settings]
            by_text[text] = same[0] if same else Group(settings)
            groups += [] if same else [by_text[text]]
        by_text[text].runs.append((run, result))
    groups = groups or [Group(None)]
    groups[0].runs.extend(unknown)
    return groups


def apart_by_data(results: Results) -> Results:
    """Gives runs that read other data than the rest of their data set a name of their own, and so rows of their own.

    Names them on standard error. Runs without a fingerprint stay where they are. A variant may change the data by its
    settings, so its runs are compared with each other only.
    """
    compared: dict[str, list[Result]] = defaultdict(list)
    for name, runs in results.items():
        compared[name if "+" in name else name.partition("/")[0]] += runs
    renamed: dict[int, Result] = {}
    for runs in compared.values():
        for graphs, others in sorted(_by_data(runs), key=lambda group: len(group[1]), reverse=True)[1:]:
            dataset, _, rest = others[0]["cell"].partition("/")
            own = f"{dataset}#{graphs[:8]}"
            runs_named = f"{dataset}/{rest} seed {others[0]['seed']} and {len(others) - 1} more"
            told = f"read other data than the rest of {dataset}: they stand in rows of their own, {own}"
            print(runs_named, told, file=sys.stderr)
            for result in others:
                renamed[id(result)] = {**result, "cell": f"{own}/{result['cell'].partition('/')[2]}"}
    return grouped(renamed.get(id(result), result) for runs in results.values() for result in runs)


def _by_data(runs: Iterable[Result]) -> list[tuple[str, list[Result]]]:
    """Returns runs in groups of the same data, each with a hash of graphs of it.

    Other graphs at the same seed or the same split are other data. At other splits they need not be: features are
    standardised on the training graphs.
    """
    groups: list[tuple[dict[str | int, str], list[Result]]] = []
    for result in runs:
        if (found := _fingerprint(result)) is None:
            continue
        graphs, split = found
        keys = (split, result["seed"])
        fitting = [group for group in groups if all(group[0].get(key, graphs) == graphs for key in keys)]
        if not fitting:
            groups.append(({}, []))
        known, group = max(fitting or groups[-1:], key=lambda group: _nearness(result, group))
        known |= dict.fromkeys(keys, graphs)
        group.append(result)
    return [(next(iter(known.values())), group) for known, group in groups]


def _nearness(result: Result, group: tuple[dict[str | int, str], list[Result]]) -> tuple[bool, bool]:
    """Whether a group has the same graphs, and whether it has runs of the same cell."""
    known, runs = group
    found = _fingerprint(result)
    return found is not None and found[0] in known.values(), any(run["cell"] == result["cell"] for run in runs)


def _fingerprint(result: Result) -> tuple[str, str] | None:
    """Returns the hashes of graphs and split that a run read; None of older results."""
    kept = result.get("data", {}).get("fingerprint")
    return (kept["graphs"], kept["split"]) if kept else None


FREE_LINES = re.compile(rf"^[ -]*(?:{'|'.join(sorted(FREE_KEYS))}|seed_everything): .*\n", re.MULTILINE)


def _text_to_compare(run: Run) -> str:
    """Returns a run's configuration without lines that may differ; equal texts need not be parsed to be compared."""
    try:
        text = run.config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    text = FREE_LINES.sub("", text)
    return re.sub(rf"{run.directory.name}\b", "seed=K", text)  # init_from may name a run of the same seed


def differing_keys(groups: Sequence[Group]) -> list[str]:
    """Returns the names of the settings that are not the same in all groups."""
    known = [group.settings or {} for group in groups]
    keys = sorted({key for settings in known for key in settings})
    return [key for key in keys if any(settings.get(key) != known[0].get(key) for settings in known)]


def usual_settings(groups: Sequence[Group], keys: Sequence[str]) -> dict[str, Any]:
    """Returns the value of each setting that most groups have; of equally many the first."""
    values = {key: [(group.settings or {}).get(key) for group in groups] for key in keys}
    return {key: max(of_key, key=of_key.count) for key, of_key in values.items()}


LABELLED = 2
"""Settings that the name of a group shows; a table shows all."""

USUAL = "usual"
"""What the group without any changed setting is called, where too many differ in others to name their values."""


def label(group: Group, keys: Sequence[str]) -> str:
    """Returns a few words for a group, from the settings that are changed in it: `lr=0.02,dropout=0.5`."""
    values = [(key.rpartition(".")[2], str((group.settings or {}).get(key))) for key in keys[:LABELLED]]
    words = ",".join(f"{key}={re.sub(r'[^a-zA-Z0-9_.,=-]+', '_', value.rpartition('/')[2])}" for key, value in values)
    return words + (",..." if len(keys) > LABELLED else "")


def grouped(results: Iterable[Result]) -> Results:
    """Returns results by the name of their cell, in order of names and seeds."""
    groups: Results = defaultdict(list)
    for result in results:
        groups[result["cell"]].append(result)
    return {name: sorted(groups[name], key=lambda result: result["seed"]) for name in sorted(groups)}
