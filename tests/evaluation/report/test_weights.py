"""The weights of items over the training."""

import json

from limbeck.evaluation import MetricInfo
from limbeck.evaluation.report.training import training
from limbeck.evaluation.report.weights import FIGURES, LINES_PER_FIGURE, draw, weight_figures
from limbeck.evaluation.training_curves import read_weights

from . import made


def test_members_of_an_ensemble_share_a_figure_and_weighers_have_their_own(tmp_path):
    (tmp_path / "log.jsonl").write_text(made.log(weighed=True))
    found = str(training(tmp_path / "log.jsonl", MetricInfo()))
    assert found.count('<figure id="weights-') == 2
    assert "soft_targets: weight of each teacher" in found
    assert "teachers.good 0.521 → 0.92, teachers.random 0.479 → 0.08" in found
    assert "&lt;b&gt;$x_: item weight" in found
    assert "0.08 ± 0.05" in found  # in the table


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
