"""The record of the measured figures."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bars


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bars, "RESULTS", tmp_path / "results" / "bars.json")
    return tmp_path / "results" / "bars.json"


def put(topic: str, figure: str, value: float = 1.0, ci95: Sequence[float] | None = None, **changes: Any) -> None:
    settings = {"bar": "≥ 1", "met": True, "command": "python x.py", "data": "digits", "seeds": [0, 1]}
    bars.record(topic, figure, value=value, ci95=ci95, **{**settings, **changes})


def test_rows_are_replaced_rounded_and_sorted(results: Path) -> None:
    assert bars.load() == []
    put("speed", "b", 12345.678, ci95=(0.123456, 2))
    put("gain", "z")
    put("speed", "a")
    put("speed", "b", 2.00004, met=False, note="slower | today")
    rows = json.loads(results.read_text())
    assert [(row["topic"], row["figure"]) for row in rows] == [("gain", "z"), ("speed", "b"), ("speed", "a")]
    assert rows[1]["value"] == 2.0
    assert rows[1]["ci95"] is None
    assert re.fullmatch(r".+, \d+ cores?", rows[0]["machine"])
    put("speed", "b", 12345.678, ci95=(0.123456, 2))
    assert bars.load()[1]["value"] == 12350
    assert bars.load()[1]["ci95"] == [0.1235, 2]
