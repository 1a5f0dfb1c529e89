"""The result of a run, which is the content of its `result.json`. The keys are listed here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict, TypeGuard

if TYPE_CHECKING:  # imports torch, which reports do without
    from models.quantization.sites import BitWidths


class RequiredKeys(TypedDict):
    """The keys that every result has; a file without them is not a result."""

    cell: str
    """The run's name: `dataset/architecture/scheme`, with `+variant` where there is one."""
    seed: int
    metrics: dict[str, float]
    """Validation and test metrics of the chosen epoch, such as `test/accuracy`."""
    exactness: dict[str, int] | None
    """How the integer program differs from the trained model, see `app.runs.exactness.compare`; None without one."""


class RequiredFingerprint(TypedDict):
    """What was read, by content: the name of the data set and two hashes."""

    name: str
    graphs: str
    """Of features, edges and targets."""
    split: str
    """Of which nodes or graphs are for training, validation and test; folds differ in it."""


class Fingerprint(RequiredFingerprint, total=False):
    """What a run keeps of its data beside its result, in `data.json`."""

    scaling: Mapping[str, list[float]]
    """Mean and deviation of each column of features that were standardised (see `datamodules.features.Scaling`)."""
    num_features: int
    classes: list[int | str]
    categories: list[list[int]]
    """How other data has to be read for the network, see `datamodules.features.Known`."""


class RequiredDescription(TypedDict):
    """Which data set was used, and which part of it is not the published original."""

    name: str
    substitute: str


class DataDescription(RequiredDescription, total=False):
    """What of the data a result keeps."""

    fingerprint: RequiredFingerprint | None
    """None of data that cannot be hashed; older results have none."""
    remarks: list[str]
    """What of the data is not used, or was taken for what; older results have none."""


class Durations(TypedDict):
    """Seconds of training (since it was resumed, if it was) and of evaluation, and whether training was resumed."""

    fit: float
    evaluate: float
    resumed: bool


class ChangedSettings(TypedDict, total=False):
    """Of `OtherSettings`, what older summaries do not have."""

    changed: list[str]
    """The names of the settings that are not the usual ones of the runs of the cell."""


class OtherSettings(ChangedSettings):
    """How a run differs from other runs of its cell: for reports, which tell them apart (`app.reports.results`)."""

    cell: str
    """The name that the runs have in common."""
    folder: str
    """Where one of the runs lies below the runs' root."""
    settings: dict[str, str]
    """Value by name of every setting that is not the same in all of them."""


class Result(RequiredKeys, total=False):
    """What a finished run measured, and with which versions. Results of older versions lack some of these keys."""

    metric: str
    """The first of the metrics (`accuracy`), which tables show; in older results it is the only one."""
    chosen_epoch: int
    """The epoch whose weights were kept, chosen on validation, counted from 1; 0 where nothing was trained."""
    epoch: int
    """The same in older results, counted from 0; see `chosen_epoch`."""
    epochs: int
    """Epochs trained."""
    no_program: str | None
    """Why a quantized run has no integer program, and so no `exactness`; None if it has one, or is in FP32."""
    bits: int
    """Those of the scheme."""
    bit_widths: BitWidths
    """Those of the sites, which may have others than the scheme."""
    data: DataDescription
    error_by_degree: dict[str, dict[str, int]] | None
    """Test nodes and wrong ones among them by bin of in-degree; None for tasks other than classes of nodes."""
    durations: Durations
    start: str | None
    """Hash of the weights that the run began with (`init_from`); None if it began without, in older results missing."""
    trained_on: list[str]
    """Kinds of devices that the epochs up to the best one were trained on: one, unless the run went on on another one;
    none where an older version has trained it."""
    versions: dict[str, str]
    revision: str | None
    """Git revision of this code."""
    config: str
    """Name of the file with the resolved configuration."""
    other_settings: OtherSettings
    """In summaries only."""
    folder: str
    """Where the run lies below the runs' root; only while reports are made."""
    settings: dict[str, Any]
    """All that change what is computed, by dotted name; only while reports are made."""
    settings_hash: str
    """Of `settings`; in summaries only, and not in older ones."""


def chosen_epoch(result: Result) -> int:
    """Returns the epoch whose weights were kept, counted from 1; 0 where nothing was trained."""
    if "chosen_epoch" in result:
        return result["chosen_epoch"]
    return 0 if result.get("epochs") == 0 else result["epoch"] + 1


def all_bits(widths: BitWidths) -> set[int]:
    """Returns all bits that sites of a run have."""
    parts = (widths, *widths.get("parts", {}).values())
    usual = {bits for part in parts for bits in (part["weights"], part["activations"])}
    return usual | set(widths["exceptions"].values())


def is_result(content: Any) -> TypeGuard[Result]:
    """Whether decoded JSON has the keys of a result, and values of their types where reports read them."""
    if not isinstance(content, dict) or not content.keys() >= RequiredKeys.__required_keys__:
        return False
    metrics = content["metrics"]
    return (
        ("chosen_epoch" in content or "epoch" in content)
        and isinstance(content["cell"], str)
        and isinstance(content["seed"], int)
        and isinstance(metrics, dict)
        and all(value is None or isinstance(value, int | float) for value in metrics.values())
    )


def is_fingerprint(content: Any) -> TypeGuard[Fingerprint]:
    """Whether decoded JSON has the keys of a fingerprint, and scales, if any, that can be compared."""
    if not isinstance(content, dict) or not content.keys() >= RequiredFingerprint.__required_keys__:
        return False
    return "scaling" not in content or is_scaling(content["scaling"])


def is_scaling(content: Any) -> TypeGuard[Mapping[str, list[float]]]:
    """Whether decoded JSON has a mean and a deviation of each column."""
    columns = [content.get(name) for name in ("mean", "deviation")] if isinstance(content, dict) else []
    lists = [column for column in columns if isinstance(column, list)]
    numbers = all(isinstance(number, int | float) for column in lists for number in column)
    return len(lists) == 2 and len(lists[0]) == len(lists[1]) and numbers


def identity(kept: Fingerprint | None) -> RequiredFingerprint | None:
    """Returns what a result keeps of the fingerprint of its data."""
    return kept and RequiredFingerprint(name=kept["name"], graphs=kept["graphs"], split=kept["split"])
