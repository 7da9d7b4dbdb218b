"""Tables in the terminal, and what may stand in one."""

import json

import pytest
from rich.console import Console

from limbeck.evaluation import Metric, arms_table, compare, compare_table, number_format

from .conftest import make


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
    assert json.loads(json.dumps(data))["runs"]["ours"]["gain"]["value"] == pytest.approx(0.05)
    assert data["runs"]["[red]without"]["gain"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "detection"}, "task differs .classification and detection"),
        ({"metric": Metric(name="F1")}, "metric differs .accuracy and F1"),
        ({"classes": ["a", "b", "c"]}, "classes differ"),
    ],
)
def test_strangers_are_refused(verdict, change, said):
    with pytest.raises(ValueError, match=said):
        compare_table({"a": verdict, "b": verdict.model_copy(update=change)})
    with pytest.raises(ValueError, match="no runs"):
        compare({})


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (number_format.count(999), "999"),
        (number_format.count(11_173_962), "11.2 M"),
        (number_format.count(999_999), "1.00 M"),
        (number_format.size(44_700), "44.7 kB"),
        (number_format.milliseconds(0.1234), "0.12 ms"),
        (number_format.milliseconds(123.4), "123 ms"),
        (number_format.milliseconds(None), "–"),
        (number_format.number(-0.04, 1), "0.0"),
        (number_format.number(1.26, 1, sign=True), "+1.3"),
        (number_format.measured(0.71239, (0.70, 0.72)), "71.24 % [70.00, 72.00]"),
        (number_format.measured(0.71239, as_percent=False), "0.7124"),
    ],
)
def test_numbers_in_words(made, text):
    assert made == text
