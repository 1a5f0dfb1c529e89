from __future__ import annotations

from app.reports.page import page
from app.reports.writers import FOLDED

FEW = [["a", "b"], ["1", "<2>"]]
MANY = [["a"], *([str(number)] for number in range(FOLDED + 1))]


def test_a_page_starts_with_the_headline_and_the_pictures() -> None:
    text = page("A & B", {"Headline": FEW}, {"Table": FEW}, {"x": "<svg>x</svg>", "y": "<svg>y</svg>"})
    order = [text.index(part) for part in ("<h1>A &amp; B</h1>", "Headline", "<svg>x", "<svg>y", "<h2>Table</h2>")]
    assert order == sorted(order)
    assert "<td>&lt;2&gt;</td>" in text


def test_long_tables_are_folded_up() -> None:
    text = page("Title", {}, {"Few": FEW, "Many": MANY}, {})
    assert "<h2>Few</h2>\n<table>" in text
    assert f"<details><summary>Many ({FOLDED + 1} rows)</summary>\n<table>" in text
    assert text.count("<details>") == text.count("</details>") == 1


def test_a_page_without_pictures_has_no_place_for_them() -> None:
    assert "<figure" not in page("Title", {"Headline": FEW}, {}, {})


def test_a_page_fetches_nothing() -> None:
    text = page("Title", {"Headline": FEW}, {"Many": MANY}, {"x": "<svg></svg>"})
    for tag in ("src=", "<script", "<link", "@import"):
        assert tag not in text
