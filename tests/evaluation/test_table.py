"""Tables in the terminal, and what may stand in one."""

import json

import pytest
from rich.console import Console

from limbeck.evaluation import Latency, MetricInfo, ModelCost, arms_table, compare, compare_table

from .conftest import make, make_several


def shown(table, width=200):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    return console.export_text()


def test_arms_of_one_run(verdict):
    text = shown(arms_table(verdict))
    assert verdict.name in text
    for part in ("teacher", "control", "student", "80.00 %", "1.00 M", "4.00 MB", "2.50 ms"):
        assert part in text


@pytest.mark.parametrize("width", [80, 160])
def test_nothing_is_cut_off_in_narrow_and_wide_terminals(verdict, width):
    runs = {"ours": verdict, "a-rather-long-name-of-another-run": make(student=0.75)}
    texts = [shown(arms_table(verdict), width), shown(compare_table(runs, width=width), width)]
    for text in texts:
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= width
    assert "latency" in texts[0]
    assert ("latency" in texts[1]) == (width == 160)


def test_runs_side_by_side(verdict):
    runs = {"ours": verdict, "[red]without": make(control=None), "flat": make(student=0.75)}
    text = shown(compare_table(runs))
    assert "[red]without" in text
    assert "+5.0 points" in text
    assert "(no effect)" in text
    data = compare(runs)
    assert json.loads(json.dumps(data))["runs"]["ours"]["results"]["student"]["gain"]["value"] == pytest.approx(0.05)
    assert data["runs"]["[red]without"]["results"]["student"]["gain"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "detection"}, "task differs .classification and detection"),
        ({"metric": MetricInfo(name="F1")}, "metric differs .accuracy and F1"),
        ({"classes": ["a", "b", "c"]}, "classes differ"),
    ],
)
def test_strangers_are_refused(verdict, change, said):
    with pytest.raises(ValueError, match=said):
        compare_table({"a": verdict, "b": verdict.model_copy(update=change)})
    with pytest.raises(ValueError, match="no runs"):
        compare({})


def test_several_results_are_rows():
    peers = make_several()
    text = shown(arms_table(peers), 80)
    assert "…" not in text
    for part in ("result", "both", "85.00 %", "80.00 %", "+5.0 points", "(no effect)"):
        assert part in text, part
    assert "retention" not in text  # no result has one
    text = shown(compare_table({"peers": peers, "one": make()}))
    for part in ("peers: a", "peers: both", "one"):
        assert part in text, part
    data = compare({"peers": peers, "more": make_several({"student": 0.8, "noise": 0.7})})["runs"]
    assert list(data["peers"]["results"]) == ["a", "b", "both"]
    assert data["more"]["results"]["student"]["gains"]["noise"]["value"] == pytest.approx(0.1)
    assert "calibration" not in data["more"]["results"]["student"]["controls"]["noise"]


def test_results_beside_a_teacher_fit_80_columns():
    rates = {"teacher": 0.9, "student": 0.8, "control": 0.75, "exit1/student": 0.7, "exit1/control": 0.6}
    costs = {name: ModelCost(123_456, 400, 10, Latency(12.3, 14.0), None) for name in ("teacher", "student", "exit1/student")}
    text = shown(arms_table(make_several(rates, model_costs=costs)), 80)
    for part in ("result", "exit1", "retention", "88.9 %", "123 k", "12.3 ms"):
        assert part in text, part
    assert max(map(len, text.splitlines())) <= 80


def test_further_controls_are_columns():
    text = shown(arms_table(make_several({"student": 0.8, "control": 0.75, "smoothing": 0.78})))
    assert "smoothing" in text
    assert "78.00 %" in text
