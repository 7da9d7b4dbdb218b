"""Further controls: their columns, and the gain over each."""

import re

from limbeck.evaluation.report import write_report
from limbeck.evaluation.report.controls import controls

from . import made
from .html import check


def test_without_further_controls_there_is_no_section(rich):
    assert controls(rich) is None
    assert controls(made.peers()) is None


def test_every_control_has_a_column_and_a_gain(tmp_path):
    html = write_report(made.write(tmp_path / "run", made.controlled())).read_text()
    text = check(html).text
    titles = re.search(r"<caption>Metric and cost of each arm[^<]*</caption><thead>(.*?)</thead>", html)[1]
    found = [re.sub("<[^>]*>", "", title) for title in re.findall(r"<th[^>]*>(.*?)</th>", titles)]
    assert found == ["", "teacher", "control", "smoothing", "noise &lt;i&gt;", "student", "student : teacher"]
    row = re.search(r"<tr><th scope=\"row\">gain over it</th>(.*?)</tr>", html)[1]
    cells = [re.sub("<small.*?</small>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", row)]
    assert cells == ["", "+6.6 points", "+2.9 points", "+0.5 points", "", ""]
    assert "Better than control. No effect over smoothing, noise <i>." in text
    assert 'class="sign further"' in html


def test_controls_of_several_results_name_them(tmp_path):
    rates = made.PEERS | {"a/independent": 0.80, "b/independent": 0.95}
    text = check(write_report(made.write(tmp_path / "run", made.several(rates))).read_text()).text
    for part in ("Better than", "a: independent", "Worse than b: independent", "diamonds further controls"):
        assert part in text, part
