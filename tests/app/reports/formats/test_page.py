from __future__ import annotations

from app.reports.formats.page import MANY_PICTURES, page
from app.reports.formats.writers import FOLDED

FEW = [["a", "b"], ["1", "<2>"]]
MANY = [["a"], *([str(number)] for number in range(FOLDED + 1))]


def test_a_page_starts_with_the_headline_and_the_pictures() -> None:
    text = page("A & B", {"Headline": FEW}, {"Table": FEW}, {"x": "<svg>x</svg>", "y": "<svg>y</svg>"})
    parts = ("<h1>A &amp; B</h1>", "Headline", "<svg>x", "<details open><summary>Plots (1)", "<svg>y", "<h2>Table</h2>")
    order = [text.index(part) for part in parts]
    assert order == sorted(order)
    assert "<td>&lt;2&gt;</td>" in text


def test_long_tables_are_folded_up() -> None:
    text = page("Title", {}, {"Few": FEW, "Many": MANY}, {})
    assert "<h2>Few</h2>\n<table>" in text
    assert f"<details><summary>Many ({FOLDED + 1} rows)</summary>\n<table>" in text
    assert text.count("<details>") == text.count("</details>") == 1


def test_many_pictures_are_folded_up_below_the_first() -> None:
    text = page("Title", {}, {}, {str(number): "<svg></svg>" for number in range(MANY_PICTURES + 2)})
    assert text.index('id="0"') < text.index(f"<details><summary>Plots ({MANY_PICTURES + 1})") < text.index('id="1"')


def test_a_score_has_a_line_of_its_own_and_long_text_is_wrapped() -> None:
    text = page("Title", {}, {"Table": [["a"], ["1.0 +- 0.1 (2), dq"], ["word " * 20]]}, {})
    assert "<td>1.0 +- 0.1 (2)<br>dq</td>" in text
    assert '<td class="text">word word' in text


def test_a_page_without_pictures_has_no_place_for_them() -> None:
    assert "<figure" not in page("Title", {"Headline": FEW}, {}, {})


def test_a_page_fetches_nothing() -> None:
    text = page("Title", {"Headline": FEW}, {"Many": MANY}, {"x": "<svg></svg>"})
    for tag in ("src=", "<script", "<link", "@import"):
        assert tag not in text
