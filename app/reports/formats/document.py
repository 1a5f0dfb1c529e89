"""Markdown files whose tables are computed (`report --document`) and whose other text stays as it is.

A table stands between two marks, which stay: `<!-- report table2 -->` (names as for `report`; none: all runs) and
`<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from app.errors import UserError

BEGIN, END = "<!-- report", "<!-- end -->"
MARKS = re.compile(rf"^{BEGIN}(?P<names>(?: [^ \n]+)*) -->\n(?:(?!{BEGIN}).*\n)*?{END}$", re.MULTILINE)


def read_document(path: Path) -> str:
    """Returns the text of a file in which tables belong.

    Raises:
        UserError: if the file is not text, has no mark, or one without its end.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"--document {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"--document {path}: is not text") from None
    begun = sum(line.startswith(BEGIN) for line in text.splitlines())
    if not begun:
        raise UserError(f"--document {path}: no line `{BEGIN} NAME -->` in it says where a table belongs")
    ended = len(MARKS.findall(text))
    if ended != begun:
        raise UserError(f"--document {path}: {begun} lines begin `{BEGIN}`, but {ended} of them have an `{END}`")
    return text


def with_new_tables(text: str, tables: Callable[[list[str]], str]) -> str:
    """Returns the text of a document, with what `tables` returns for the names in a mark between that and its end."""
    return MARKS.sub(lambda match: f"{BEGIN}{match['names']} -->\n{tables(match['names'].split())}\n{END}", text)
