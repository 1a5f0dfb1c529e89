"""Errors that the user can put right."""

from __future__ import annotations

EXIT_USER_ERROR = 2
EXIT_FAILURE = 1
EXIT_STOPPED = 130


class UserError(ValueError):
    """Something the user can put right: shown as one line, exit code 2."""
