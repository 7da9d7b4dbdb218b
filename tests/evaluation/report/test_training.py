"""Curves of every arm and seed, few points, no figure twice."""

import json

import numpy as np

from limbeck.evaluation import MetricInfo
from limbeck.evaluation.report.training import POINTS, draw, training

from . import made


def section(tmp_path, text):
    (tmp_path / "log.jsonl").write_text(text)
    return str(training(tmp_path / "log.jsonl", MetricInfo()))


def test_terms_validation_and_the_teachers_own_training(tmp_path):
    found = section(tmp_path, made.log())
    assert [found.count(f'<figure id="{group}-') for group in ("validation", "terms", "teacher")] == [1, 4, 1]
    assert "Student 63.2 % → 89.7 %, control 58.2 % → 84.7 % (means of 3 seeds)." in found
    assert "student, seed 2" in found


def test_further_controls_have_lines_of_their_own(tmp_path):
    line = '{"seed": 0, "arm": "%s", "stage": 0, "step": %d, "values": {"loss": %d}}\n'
    found = section(tmp_path, "".join(line % (arm, at, at) for arm in ("student", "a long name <b>") for at in (1, 2)))
    assert "teacher dotted, further controls dash-dotted." in found
    assert ">a long name…<" in found
    assert "a long name &lt;b&gt;, seed 0" in found
    assert "dash-dotted" not in section(tmp_path, made.log())


def test_a_loss_of_one_term_is_not_drawn_twice(tmp_path):
    line = '{"seed": 0, "arm": "%s", "stage": 0, "step": %d, "values": {"hard_targets": %d, "loss": %d}}\n'
    found = section(tmp_path, "".join(line % (arm, at, at, at) for arm in ("control", "teacher") for at in (1, 2)))
    assert found.count("<figure") == 2
    assert "loss" not in found


def test_many_terms_are_named_where_they_are_not_drawn(tmp_path):
    values = ", ".join(f'"term{place}": 1' for place in range(28))
    found = section(tmp_path, "".join(f'{{"seed": 0, "step": {at}, "values": {{{values}}}}}\n' for at in (1, 2)))
    assert found.count("<figure") == 24
    assert "Not drawn: term24, term25, term26, term27." in found


def test_drawings_stay_small_whatever_they_hold():
    curve = {update: float("nan") if update == 7 else 1 / (update + 1) for update in range(20_000)}
    svg = draw("x", {("student", 0): curve, ("control", 0): {3: 1.0}, ("someone <b>", 0): {3: 1.0, 4: 2.0}})
    assert len(svg) < 60_000
    assert "someone &lt;b&gt;" in svg
    assert POINTS < 400
    for strange in ({0: float("nan")}, {0: np.inf, 1: 1.0}, {0: 0.0, 5: 0.0}, {0: -1e30, 1: 1e30}, {0: 1e-9, 1: 1e9}):
        assert draw("x", {("student", 0): strange}).startswith("<svg")


def test_figures_beside_the_metric_are_read_as_their_own_measure_says(tmp_path):
    line = {
        "arm": "student",
        "step": 1,
        "validation": {"answer_f1": 0.5, "exact_match": 0.25, "masked_perplexity": 0.75, "b.answer_f1": 0.4},
    }
    (tmp_path / "log.jsonl").write_text(json.dumps(line))
    section = str(training(tmp_path / "log.jsonl", MetricInfo(name="answer_f1")))
    for said in ("Student 50.0 % → 50.0 %", "Student 25.0 % → 25.0 %", "Student 0.75 → 0.75", "Student 40.0 % → 40.0 %"):
        assert said in section
