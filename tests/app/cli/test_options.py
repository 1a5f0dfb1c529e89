from __future__ import annotations

import pytest

from app.cli.options import at_least


@pytest.mark.parametrize(("text", "holds"), [("2", True), ("1", False), ("-3", False), ("2.0", False), ("²", False)])
def test_at_least(text: str, holds: bool) -> None:
    number = at_least(2)
    if holds:
        assert number(text) == int(text)
    else:
        with pytest.raises(Exception, match="expected a whole number from 2 on"):
            number(text)
