"""The page of a comparison."""

import json

import numpy as np
import pytest

from limbeck.evaluation import MetricInfo, Predictions, build_comparison
from limbeck.evaluation.report import is_comparison, methods_figure, write_comparison
from limbeck.evaluation.report.methods import sentence

from .html import check


def compared(**rates):
    rng = np.random.default_rng(0)
    hard = rng.random(800)
    students = {
        name.replace("_", "<b>"): Predictions(scores=(hard + rng.normal(scale=0.05, size=(3, 800)) < rate).astype(float))
        for name, rate in rates.items()
    }
    return build_comparison(
        students,
        Predictions(scores=(hard < 0.9).astype(float)[None]),
        name="all <methods>",
        task="classification",
        metric=MetricInfo(),
        control="control",
        seeds=[0, 1, 2],
        seconds=dict.fromkeys(students, 60.0),
        failed={"crd": "out of <memory>"},
        environment={"cpu": "some"},
    )


@pytest.fixture(scope="module")
def verdict():
    return compared(control=0.7, soft_targets=0.8, dist=0.8, same=0.701, flow=0.5)


def test_a_dot_a_whisker_and_places_for_each(verdict):
    svg = methods_figure(verdict)
    assert svg.startswith("<svg")
    for name, row in verdict.rows.items():
        assert f">{name.replace('<', '&lt;').replace('>', '&gt;')}</text>" in svg
        assert (f">{row.rank[0]}</text>" if row.rank[0] == row.rank[1] else f">{row.rank[0]}–{row.rank[1]}</text>") in svg
    assert "var(--student, #" in svg  # it stands in other pages too


def test_the_sentence_counts_ties_as_ties(verdict):
    assert sentence(verdict) == "2 of 4 methods are better than the control, 1 worse; 2 share first place"
    assert sentence(compared(control=0.6, dist=0.8)).endswith("1 of 1 methods are better than the control; dist is first")


def test_the_page_says_what_the_ranking_can_tell(verdict, tmp_path):
    verdict.save(tmp_path / "comparison.json")
    text = check(write_comparison(tmp_path).read_text()).text
    for part in ("all <methods>", "soft<b>targets", "out of <memory>", "Limits of the ranking", "control (control)", "tie"):
        assert part in text, part
    assert write_comparison(tmp_path, tmp_path / "other.html").name == "other.html"


def test_unfinished_and_newer_comparisons_are_named(verdict, tmp_path):
    (tmp_path / "recipe.yaml").write_text("variants: {a: [hard_targets]}\n")
    assert is_comparison(tmp_path)
    with pytest.raises(FileNotFoundError, match="limbeck compare"):
        write_comparison(tmp_path)
    content = json.loads(verdict.model_dump_json()) | {"format": 3}
    (tmp_path / "comparison.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="newer limbeck"):
        write_comparison(tmp_path)


def test_a_run_is_no_comparison(run, tmp_path):
    assert not is_comparison(run)
    assert not is_comparison(tmp_path / "nowhere")
