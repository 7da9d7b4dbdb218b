"""Several runs on one page."""

import pytest

from limbeck.evaluation.report import page_path, write_side_by_side

from ..conftest import make
from . import made
from .html import check


def page(tmp_path, **runs):
    folders = {name: tmp_path / name for name in runs}
    for name, verdict in runs.items():
        made.write(folders[name], verdict)
    return write_side_by_side(runs, folders, tmp_path / "page.html")


def test_runs_with_gains_sizes_targets_and_what_differs(tmp_path):
    runs = {"first": make(targets={"gain": 1}), "second": make(student=0.9, targets={"gain": 10, "compression": 5})}
    found = page(tmp_path, **runs)
    (tmp_path / "second" / "recipe.yaml").write_text(made.RECIPE.replace("depth: 8", "depth: 14"))
    found = write_side_by_side(runs, {name: tmp_path / name for name in runs}, tmp_path / "page.html")
    text = check(found.read_text()).text
    assert "The best student is that of second with accuracy 90.0 %" in text
    assert "its interval meets" not in text
    for part in ("student.args.depth", "+5.0 points", "+15.0 points", "✓ met", "Size against accuracy"):
        assert part in text, part
    assert "teacher.args.depth" not in text


def test_runs_that_cannot_be_told_apart_are_said_to_meet(tmp_path):
    text = check(page(tmp_path, a=make(), b=make(student=0.81)).read_text()).text
    assert "its interval overlaps with that of a" in text
    flat = check(page(tmp_path, a=make(), b=make(student=0.75)).read_text()).text
    assert "b: no effect, 0.0 points" in flat
    assert "a: no effect" not in flat
    assert "The recipes are equal" in text


def test_no_student_is_the_best_of_runs_on_different_test_data(tmp_path):
    runs = {"a": make(), "b": make(student=0.9, items=500)}
    text = check(page(tmp_path, **runs).read_text()).text
    assert "The 2 runs were measured on different test data, so no student is the best by accuracy" in text
    assert "b: measured on other test data than a (500 and 1,000 items)" in text
    assert "best student" not in text
    assert "different test data" not in check(page(tmp_path, a=make(), b=make(student=0.9)).read_text()).text


def test_hostile_names_stay_names(tmp_path, rich):
    runs = {"<script>alert(1)</script>": rich, '"><b>': rich}
    folders = {name: made.write(tmp_path / str(place), rich) for place, name in enumerate(runs)}
    assert "<script>alert(1)</script>" in check(write_side_by_side(runs, folders, tmp_path / "page.html").read_text()).text


def test_a_recipe_that_is_gone_is_said(tmp_path):
    page(tmp_path, a=make(), b=make())
    (tmp_path / "b" / "recipe.yaml").unlink()
    found = write_side_by_side({"a": make(), "b": make()}, {"a": tmp_path / "a", "b": tmp_path / "b"}, tmp_path / "page.html")
    assert "The recipe of b is missing" in check(found.read_text()).text


@pytest.mark.parametrize(
    ("change", "words"),
    [({"task": "tagging"}, "task differs"), ({"classes": ["a", "b", "c"]}, "classes differs")],
)
def test_runs_of_different_kinds_are_refused(tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        page(tmp_path, a=make(), b=make(**change))
    assert not (tmp_path / "page.html").exists()


def test_runs_without_teacher_control_or_costs(tmp_path):
    bare = make(control=None, teacher=None, model_costs={})
    text = check(page(tmp_path, a=bare, b=bare).read_text()).text
    assert "a: no control" in text
    assert "Size" not in text


def test_where_the_page_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert page_path([tmp_path / "runs/a", tmp_path / "runs/b"]) == tmp_path / "runs" / "comparison-report.html"
    assert page_path([tmp_path / "x/a", tmp_path / "y/b"]).resolve() == tmp_path / "comparison-report.html"


def test_each_result_of_a_run_is_a_row(tmp_path):
    text = check(page(tmp_path, peers=made.peers(), alone=made.several({"student": 0.7, "control": 0.6})).read_text()).text
    assert "The best student is that of peers: both with accuracy 93.0 %" in text
    assert "2 runs · 4 results" in text
    for part in ("peers: a", "peers: b", "peers: both", "both.metric"):
        assert part in text, part
