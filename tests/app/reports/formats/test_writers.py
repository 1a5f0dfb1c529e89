from __future__ import annotations

from app.reports.formats.writers import FOLDED, markdown


def test_a_long_table_is_folded_up() -> None:
    rows = [["a"], *([str(i)] for i in range(FOLDED + 1))]
    begin = f"<details><summary>many ({FOLDED + 1} rows)</summary>\n\n| a |\n|---|\n| 0 |\n"
    assert markdown("many", rows).startswith(begin)
    assert markdown("many", rows).endswith(f"| {FOLDED} |\n\n</details>\n")
    assert "details" not in markdown("few", rows[:-1])


def test_markdown_is_a_table_with_as_many_cells_in_every_line() -> None:
    text = markdown("title", [["cell", "a", "b"], ["x", "1", "2"], ["y", "3", "4"]])
    title, empty, *lines = text.strip().splitlines()
    assert title == "**title**"
    assert empty == ""
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {4}
    assert set(lines[1]) == {"|", "-"}
