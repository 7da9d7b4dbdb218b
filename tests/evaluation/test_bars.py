"""The record of the README's figures."""

import importlib.util
import json
from pathlib import Path

import pytest

# The benchmarks are no part of the installed package: they are found beside the tests.
_spec = importlib.util.spec_from_file_location("bars", Path(__file__).parents[2] / "benchmarks" / "bars.py")
bars = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bars)


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(bars, "RESULTS", tmp_path / "results" / "bars.json")
    return tmp_path / "results" / "bars.json"


def put(topic, figure, value=1.0, **changes):
    settings = {"bar": "≥ 1", "ci95": None, "met": True, "command": "python x.py", "data": "digits", "seeds": [0, 1]}
    bars.record(topic, figure, value=value, **{**settings, **changes})


def test_rows_are_replaced_rounded_and_sorted(results):
    put("speed", "b", 12345.678, ci95=(0.123456, 2))
    put("gain", "z")
    put("speed", "a")
    put("speed", "b", 2.00004, met=False, note="slower | today")
    rows = json.loads(results.read_text())
    assert [(row["topic"], row["figure"]) for row in rows] == [("gain", "z"), ("speed", "b"), ("speed", "a")]
    assert rows[1]["value"] == 2.0
    assert rows[1]["ci95"] is None
    assert set(rows[0]["machine"]) == {"cpu", "cores"}
    put("speed", "b", 12345.678, ci95=(0.123456, 2))
    assert bars.load()[1]["value"] == 12350
    assert bars.load()[1]["ci95"] == [0.1235, 2]


def test_table(results, capsys):
    assert bars.load() == []
    put("gain", "a|b", 1.9, ci95=(1.2, 2.6), seeds=3, note="on one core")
    put("gain", "c", met=False)
    lines = bars.table("gain").splitlines()
    assert lines[2] == "| a\\|b | ≥ 1 | 1.9 [1.2, 2.6] | yes | digits | 3 | `python x.py` |"
    assert "**no**" in lines[3]
    assert lines[-1] == "- a|b: on one core"
    bars.main()
    assert "### gain" in capsys.readouterr().out
