"""The page of one run: whole, self-contained, inert whatever the files hold, and honest about what is missing."""

import json
import re
import time
from pathlib import Path

import pytest

from limbeck.evaluation import Verdict
from limbeck.evaluation.report import write_report

from ..conftest import make
from . import made
from .html import check

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


@pytest.fixture(scope="module")
def text(tmp_path_factory, rich):
    return write_report(made.write(tmp_path_factory.mktemp("pages") / "run", rich)).read_text()


@pytest.fixture
def bare(tmp_path):
    """A run of little: no log, no control, no costs."""
    made.write(tmp_path / "bare", make(control=None, teacher=None, model_costs={}))
    (tmp_path / "bare" / "log.jsonl").unlink()
    return tmp_path / "bare"


def test_the_page_is_whole_and_inert(text):
    page = check(text)
    for name in made.HOSTILE:
        assert name in page.text
    assert "</pre><script>alert(3)</script>" in page.text
    assert "a <b>run</b>" in page.text


def test_every_part_stands_in_the_page(text, rich):
    text = check(text).text
    headings = [
        *(
            "Targets missed",
            "Teacher, control and student",
            "Size against accuracy",
            "On the device",
            "Predictions that changed",
        ),
        *("Where student and teacher disagree", "What the student forgot", "What the student gained", "By class"),
        *("Calibration", "Taps and adapters", "Training", "Validation", "Terms", "The teacher's own training"),
        *("Recipe", "Papers to cite", "Environment"),
    ]
    for heading in headings:
        assert heading in text, heading
    assert rich.sentence()[1:] in text
    assert "hinton2015distilling" in text


def test_a_figure_has_a_title_words_and_a_table(text):
    figures = re.findall(r"<figure.*?</figure>", text, flags=re.DOTALL)
    assert len(figures) == text.count("<svg")
    assert len(figures) >= 12
    for figure in figures:
        assert re.search(r'<svg[^>]* role="img" aria-labelledby="\S+-t" aria-describedby="\S+-s"', figure)
        assert re.search(r"<figcaption[^>]*>\w.{20,}</figcaption>", figure, flags=re.DOTALL)
        assert "<table>" in figure


def test_a_verdict_alone_makes_a_page(tmp_path):
    make(control=None, teacher=None, model_costs={}).save(tmp_path / "verdict.json")
    text = check(write_report(tmp_path).read_text()).text
    assert "no control" in text
    assert "log.jsonl is missing" in text
    assert "recipe.yaml is missing" in text
    assert "Papers" not in text


def test_a_run_of_an_older_version_makes_a_page(run):
    content = json.loads((RESULTS / "cifar10-resnet8" / "verdict.json").read_text())
    assert content["format"] == 1
    for name in ("items", "calibration", "changes", "examples", "wiring"):
        content.pop(name, None)
    (run / "verdict.json").write_text(json.dumps(content))
    text = check(write_report(run).read_text()).text
    assert "By class" in text
    assert "Calibration" not in text


def test_scores_that_are_no_percentages(tmp_path):
    import numpy as np

    from limbeck.evaluation import MetricInfo, Predictions, build_verdict

    rng = np.random.default_rng(0)
    scores = {
        arm: Predictions(scores=rng.gamma(4, mean / 4, (2, 80)))
        for arm, mean in (("teacher", 2.0), ("control", 3.0), ("student", 2.4))
    }
    metric = MetricInfo(name="cross-entropy", higher_is_better=False, percent=False)
    build_verdict(scores, name="lm", task="language", seeds=[0, 1], metric=metric, targets={"metric": 2.6}).save(
        tmp_path / "verdict.json"
    )
    text = check(write_report(tmp_path).read_text()).text
    assert "≤ 2.6" in text
    assert "points" not in text


def test_without_a_verdict_there_is_no_page(tmp_path):
    with pytest.raises(FileNotFoundError, match="no verdict"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_verdict_of_a_newer_format_is_named_with_the_remedy(bare):
    content = json.loads((bare / "verdict.json").read_text()) | {"format": 3}
    (bare / "verdict.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="verdict of format 3; this limbeck reads 2: upgrade"):
        write_report(bare)


def test_half_a_log_is_drawn_and_no_log_is_said(bare):
    (bare / "log.jsonl").write_text(made.log()[: len(made.log()) // 3])
    assert 'id="terms-0"' in write_report(bare).read_text()
    (bare / "log.jsonl").write_text('{"seed": 0, "arm": "stud')
    assert "log.jsonl holds no values" in write_report(bare).read_text()
    (bare / "log.jsonl").unlink()
    assert "log.jsonl is missing" in write_report(bare).read_text()


@pytest.mark.parametrize(
    "recipe", ["", "[1, 2]", "a: [", "terms: [nonsense]", "terms:\n- {objective: nobody-knows-this}", "\x00\xff"]
)
def test_a_damaged_recipe_does_not_keep_the_page_back(bare, recipe):
    (bare / "recipe.yaml").write_text(recipe)
    check(write_report(bare).read_text())


def test_the_page_stays_small_and_quick(tmp_path):
    """A run of three seeds, a hundred classes, twelve thousand updates a seed."""
    folder = made.write(tmp_path / "run", made.verdict(100))
    (folder / "log.jsonl").write_text(made.log(updates=12_000, every=5))
    began = time.process_time()  # of this process alone, whatever else the machine does
    page = write_report(folder)
    assert time.process_time() - began < 20  # 1 s on an idle core
    assert page.stat().st_size < 1_000_000


def test_two_pages_of_one_run_are_the_same(bare):
    assert write_report(bare).read_bytes() == write_report(bare).read_bytes()


def test_the_page_goes_where_it_is_asked_to(bare, tmp_path):
    assert write_report(bare, tmp_path / "elsewhere" / "page.html") == tmp_path / "elsewhere" / "page.html"
    assert (tmp_path / "elsewhere" / "page.html").exists()
    assert not (bare / "report.html").exists()


def test_lone_surrogates_are_no_obstacle(bare):
    content = json.loads((bare / "verdict.json").read_text())
    content["classes"][2] = "\ud800 cat"
    (bare / "verdict.json").write_text(json.dumps(content))
    assert Verdict.load(bare).classes[2] == "\ud800 cat"
    check(write_report(bare).read_text())
