"""The page of all methods: it names those that there are, and each paradigm whole."""

from __future__ import annotations

import re

from limbeck import methods
from limbeck.methods.description import by_paradigm
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "guide" / "methods.md").read_text(encoding="utf-8")
ROWS = {name: row for row in PAGE.splitlines() for name in re.findall(r"^\| \[?`(\w+)`", row)}


def test_a_paradigm_that_has_a_row_has_all_its_methods_there() -> None:
    assert len(ROWS) >= 8
    for paradigm, row in ROWS.items():
        known = {method["name"] for method in by_paradigm() if method["paradigm"] == paradigm}
        named = set(re.findall(r"`(\w+)`", row.split("|")[3]))
        assert named == known, paradigm


def test_every_method_that_the_page_advises_exists() -> None:
    advised = re.findall(r"`(\w+)`", PAGE.split("## Which one")[1].split("## How")[0])
    assert len(advised) >= 6
    assert [name for name in advised if name not in methods.registry] == []
