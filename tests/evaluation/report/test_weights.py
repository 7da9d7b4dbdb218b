"""The weights of items over the training."""

import json
import re

from limbeck.evaluation import MetricInfo
from limbeck.evaluation.report.training import training
from limbeck.evaluation.report.weights import FIGURES, LINES_PER_FIGURE, class_figures, draw, weight_figures
from limbeck.evaluation.training_curves import read_class_weights, read_weights

from . import made


def test_members_of_an_ensemble_share_a_figure_and_weighers_have_their_own(tmp_path):
    (tmp_path / "log.jsonl").write_text(made.log(weighed=True))
    found = str(training(tmp_path / "log.jsonl", MetricInfo()))
    assert found.count('<figure id="weights-') == 2
    assert "soft_targets: weight of each teacher" in found
    assert "teachers.good 0.521 → 0.92, teachers.random 0.479 → 0.08" in found
    assert "&lt;b&gt;$x_: item weight" in found
    assert "0.08 ± 0.05" in found  # in the table


def test_the_classes_that_a_teacher_is_weighed_for(tmp_path):
    (tmp_path / "log.jsonl").write_text(made.log(weighed=True))
    found = str(training(tmp_path / "log.jsonl", MetricInfo(), made.HOSTILE[:3]))
    assert found.count('<figure id="class-weights-') == 1
    assert "soft_targets: weight of each teacher by class" in found
    assert "discs teachers.good, rings teachers.random" in found
    table = found[found.index("by class</caption>") :]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td></tr>', table)
    assert rows[:3] == [  # the largest weight first; a class without a name by its number
        ("&lt;script&gt;alert(1)&lt;/script&gt;", "0.9", "0.1"),
        ("4", "0.75", "0.25"),
        ("&quot;&gt;&lt;img src=x onerror=alert(2)&gt;", "0.6", "0.4"),
    ]


def test_weights_of_classes_are_means_of_the_last_quarter_over_seeds(tmp_path):
    lines = [
        {"seed": seed, "arm": "student", "stage": 0, "step": at, "class_weights": {"t.a": {"3": at + seed, "x": 1.0}, "u": 5}}
        for seed in (0, 1)
        for at in range(1, 9)
    ]
    lines.append({"seed": 1, "arm": "student", "stage": 0, "step": 9, "class_weights": {"t.a": {"3": float("nan"), "7": 2.0}}})
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = read_class_weights(tmp_path / "log.jsonl")
    assert found["t.a"]["student"] == {3: (7.5 + 9) / 2, 7: 2.0}
    assert found["u"] == {"student": {}}
    assert len(class_figures(found, ["t"], [])) == 1


def test_a_table_has_all_of_many_classes():
    many = {"t.a": {"student": {at: at / 50 for at in range(50)}}, "t.b": {"student": {at: 1 - at / 50 for at in range(50)}}}
    (found,) = class_figures(many, ["t"], [])
    assert "The figure shows 20 of 50 classes, the table all." in found
    assert found.count('<th scope="row">') == 50


def test_without_weights_there_are_no_figures(tmp_path):
    (tmp_path / "log.jsonl").write_text(made.log())
    assert "Weights of items" not in str(training(tmp_path / "log.jsonl", MetricInfo()))


def line(seed, step, weights, arm="student"):
    return json.dumps(
        {"seed": seed, "arm": arm, "stage": 0, "step": step, "values": {"a.b": 1.0, "a": 1.0}, "weights": weights}
    )


def test_seeds_are_averaged_and_strange_lines_left_out(tmp_path):
    lines = [
        line(0, 1, {"a.b.item_weight": {"mean": 0.2, "spread": 0.1}}),
        line(1, 1, {"a.b.item_weight": {"mean": 0.4, "spread": 0.3}}),
        line(0, 2, {"a.b.item_weight": {"mean": float("nan"), "spread": 0.1}}),
        line(0, 3, {"a.b.item_weight": {"mean": "x"}, "c": 3}),
        line(0, 4, [1]),
        line(0, 4, {"a.b.item_weight": {"mean": 0.9, "spread": 0.0}}, arm="smoothing"),
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    weights = read_weights(tmp_path / "log.jsonl")
    assert weights["a.b.item_weight"]["student", 0] == ({1: 0.2}, {1: 0.1})
    own, other = weight_figures(weights, ["a", "a.b"])
    assert "a.b: item weight<" in own  # the longest term
    assert "0.3 ± 0.2" in own
    assert "a.b: item weight in smoothing" in other


def test_many_stay_small():
    lines = {f"member{place}": ({0: 0.5, 9: 0.1 * place}, {0: 0.0, 9: 0.1}) for place in range(LINES_PER_FIGURE + 4)}
    assert len(draw("x", lines)) < 60_000
    weights = {f"term{place}.item_weight": {("student", 0): ({0: 1.0}, {0: 0.0})} for place in range(FIGURES + 3)}
    assert len(weight_figures(weights, [f"term{place}" for place in range(FIGURES + 3)])) == FIGURES
