from __future__ import annotations

import pytest

from app.cli.options import at_least, share


@pytest.mark.parametrize(("text", "holds"), [("2", True), ("1", False), ("-3", False), ("2.0", False), ("²", False)])
def test_at_least(text: str, holds: bool) -> None:
    number = at_least(2)
    if holds:
        assert number(text) == int(text)
    else:
        with pytest.raises(Exception, match="expected a whole number from 2 on"):
            number(text)


@pytest.mark.parametrize(
    ("text", "holds"), [("0", True), ("0.25", True), ("2", True), ("1.5", False), ("-1", False), ("nan", False)]
)
def test_share(text: str, holds: bool) -> None:
    if holds:
        assert share(text) == float(text)
    else:
        with pytest.raises(Exception, match="expected a whole number or a share of one"):
            share(text)
