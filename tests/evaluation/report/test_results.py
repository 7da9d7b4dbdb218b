"""The page of a run with several results."""

import re

from limbeck.evaluation.report import write_report
from limbeck.evaluation.report.results import results, spread

from . import made
from .html import check


def page(tmp_path, verdict):
    return check(write_report(made.write(tmp_path / "run", verdict)).read_text())


def test_one_result_has_no_section_of_its_own(rich):
    assert results(rich) is None


def test_peers_and_their_ensemble_without_a_teacher(tmp_path):
    verdict = made.peers()
    html = (made.write(tmp_path / "run", verdict), write_report(tmp_path / "run"))[1].read_text()
    text = check(html).text
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", html)
    assert headings[:4] == ["Targets missed", "Results", "Cost against accuracy", "Control and student: a"]
    assert "Calibration: a" in headings
    for part in (
        "a reached accuracy 92.2 %; distillation gave +3.0 points",
        "no effect: +0.9 points",
        "both.metric",
        "Accuracy of each result",
    ):
        assert part in text, part
    assert "retention" not in text
    assert [found in html for found in ("size-parameters", "size-macs", "size-latency", "size-bytes")] == [
        True,
        True,
        True,
        False,
    ]
    assert "By seed" in text
    cells = re.findall(r"<tr><th scope=\"row\">both</th>(.*?)</tr>", html)
    assert any("365 k" in row and "43.7 M" in row and "2.60 ms" in row for row in cells)
    assert any("93.00 %" in row and "+3.9 points" in row for row in cells)


def test_exits_beside_their_teacher(tmp_path):
    text = page(tmp_path, made.exits()).text
    for part in (
        "student kept 97.4 % of the teacher",
        made.LONG,
        "The dashed line is the teacher",
        "76.6 %",
        "layer2 7.90 M at 84.9 %",
    ):
        assert part in text, part


def test_nothing_measured_leaves_out_what_it_would_fill(tmp_path):
    bare = made.several({"a/student": 0.8, "b/student": 0.9})
    text = page(tmp_path, bare).text
    for absent in ("Cost of one item", "Cost against accuracy", "Gains over", "rings their controls"):
        assert absent not in text, absent
    assert "a reached accuracy" in text


def test_many_results_stay_readable(tmp_path):
    many = made.several({f"width {place}/student": 0.5 + 0.02 * place for place in range(22)})
    found = page(tmp_path, many)
    assert found.text.count("width 21") >= 2
    assert "width 7no control" not in found.text  # six of them are key figures


def test_marks_are_spread_around_the_middle_of_a_row():
    assert list(spread(1)) == [0.0]
    assert sum(spread(3)) == 0
    assert max(spread(4)) == 0.2
