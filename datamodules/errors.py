"""What is raised when data cannot be used, and checks of arguments."""

from __future__ import annotations


class DataError(ValueError):
    """Raw data is missing, damaged or not as published; the message is one sentence with the remedy."""


class DataWarning(UserWarning):
    """Data is used in part, or taken for something; the message is one sentence."""


def check_choice(parameter: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{parameter}: expected one of {', '.join(choices)}, got {value!r}")


def check_at_least(parameter: str, value: float, minimum: float) -> None:
    """Raises ValueError if `value` is below `minimum`."""
    if value < minimum:
        raise ValueError(f"{parameter}: expected at least {minimum}, got {value}")
