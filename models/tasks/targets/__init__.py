"""What a network learns of a row: one class, several labels, or numbers. Loss, metrics, and how outputs are read.

For tasks, and for whoever reads predictions: `target_of` finds it by the name of a task.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.tasks.targets.base import Target
from models.tasks.targets.classes import Classes
from models.tasks.targets.labels import Labels
from models.tasks.targets.numbers import Numbers

TARGETS: Mapping[str, Target] = {
    "classification": Classes(),
    "multilabel": Labels(),
    "regression": Numbers(),
}
"""By the end of a task's name: `node_classification` learns `classification`."""


def target_of(task: str) -> Target:
    """Returns what a task (`node_classification`, `graph_regression`, ...) learns.

    Raises:
        ValueError: if its name does not say so.
    """
    learned = task.partition("_")[2]
    if learned not in TARGETS:
        raise ValueError(f"task: expected node_ or graph_ and one of {', '.join(TARGETS)}, got {task!r}")
    return TARGETS[learned]


__all__ = ["TARGETS", "Classes", "Labels", "Numbers", "Target", "target_of"]
