"""The pages of figures: what they show is what was recorded."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import bars, pages, scale

MACHINE = "Some CPU, 2 cores"


def row(figure: str, **changes: Any) -> dict[str, Any]:
    settings = {"topic": "gain", "bar": "≥ 1", "value": 1.0, "ci95": None, "met": True, "command": "python x.py"}
    return {**settings, "figure": figure, "data": "digits", "seeds": [0, 1, 2], "note": None, "machine": MACHINE, **changes}


def test_the_committed_pages_are_those_that_the_script_writes() -> None:
    for page in pages.PAGES:
        text = page.read_text(encoding="utf-8")
        assert pages.fill(text) == text, f"{page.name} differs from bars.json: python -m benchmarks.pages"


def test_the_page_on_scale_is_the_one_that_its_script_writes() -> None:
    text = scale.PAGE.read_text(encoding="utf-8")
    assert scale.fill(text) == text, "docs/scale.md differs from scale.json: python -m benchmarks.scale --write"


def test_every_topic_has_its_place() -> None:
    assert pages.topics() == {row["topic"] for row in bars.load()}


def test_a_table_for_each_command_and_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        row("a|b", value=1.9, ci95=[1.2, 2.6], note="on one core"),
        row("c", command="python y.py", seeds=0, note="on two cores"),
        row("d", value=12_345.0, met=False),
        row("e", topic="speed"),
    ]
    monkeypatch.setattr(pages, "load", lambda: rows)
    assert pages.tables("gain").splitlines() == [
        "`python x.py`<br>",
        "digits · 3 seeds · Some CPU, 2 cores",
        "",
        "| figure | bar | measured [95 %] | met | note |",
        "|---|---|---|---|---|",
        "| a\\|b | ≥ 1 | 1.9 [1.2, 2.6] | yes | on one core |",
        "| d | ≥ 1 | 12,345 | **no** |  |",
        "",
        "`python y.py`<br>",
        "digits · Some CPU, 2 cores · on two cores",
        "",
        "| figure | bar | measured [95 %] | met |",
        "|---|---|---|---|",
        "| c | ≥ 1 | 1 | yes |",
    ]


def test_a_highlight_names_data_seeds_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "load", lambda: [row("accuracy, points", value=1.92, ci95=[-0.9, 2.967])])
    shown = pages.Highlight("Gain", "gain", "accuracy, points", "accuracy gained", "+.1f", " points")
    line = pages.highlights([shown], with_parts=True).splitlines()[-1]
    assert line == "| Gain | accuracy gained | **+1.9 points [−0.9, 3.0]** | digits | 3 | Some CPU, 2 cores |"


def test_five_figures_in_the_readme() -> None:
    assert sum(each.readme for each in pages.HIGHLIGHTS) == 5
