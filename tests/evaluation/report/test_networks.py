"""The diagram of the two networks."""

import re

import pytest

from limbeck.evaluation import ModuleNode, Network, TermEdge, TermGraph
from limbeck.evaluation.report.networks import draw, networks

from . import made
from .html import Page


def network(*paths, model="Net", omitted=0):
    return Network(model=model, modules=[ModuleNode(path=path, kind="Linear", shape=[4]) for path in paths], omitted=omitted)


def edge(student, teacher, **changes):
    fields = {"stage": "", "name": "hint", "objective": "hint", "adapter": None, "weight": "1"} | changes
    return TermEdge(student=student, teacher=teacher, **fields)


def lines(svg):
    return re.findall(r'd="M102 ([\d.]+) C.*? 238 ([\d.]+)"', svg)


def test_every_pair_of_taps_has_a_line():
    svg = draw(made.wired())
    assert len(lines(svg)) == 5  # soft targets, hint, attention at three stages; hard targets need no teacher
    assert "1×1 conv" in svg
    assert "attention_transfer" in svg


def test_pairs_one_by_one_or_all_with_all():
    ours, theirs = network("a", "b", "logits"), network("x", "y", "z", "logits")
    assert len(lines(draw(TermGraph(student=ours, teacher=theirs, edges=[edge(["a", "b"], ["x", "y"])])))) == 2
    assert len(lines(draw(TermGraph(student=ours, teacher=theirs, edges=[edge(["a"], ["x", "y", "z"])])))) == 3
    assert lines(draw(TermGraph(student=ours, teacher=theirs, edges=[edge(["a"], ["student@exit2"])]))) == []


def test_a_tap_before_a_module_ends_at_the_module():
    found = lines(draw(TermGraph(student=network("a", "b"), teacher=network("a", "b"), edges=[edge(["input(b)"], ["a"])])))
    assert float(found[0][0]) > float(found[0][1])


@pytest.mark.parametrize("count", [1, 12, 40])
def test_many_terms_stay_inside(count):
    svg = draw(TermGraph(student=network("a"), teacher=network("b"), edges=[edge(["a"], ["b"])] * count))
    height = float(re.search(r'viewBox="0 0 340 ([\d.]+)"', svg)[1])
    assert max(float(y) for y in re.findall(r' y="([\d.]+)"', svg)) < height


def test_terms_are_listed_with_stages_and_hostile_names_stay_names(rich):
    hostile = edge(["a"], ["b"], name="<script>x</script>", stage="<b>warm-up", adapter="</svg>")
    found = TermGraph(student=network("a", model="<i>", omitted=3), teacher=network("b"), edges=[hostile])
    section = str(networks(rich.model_copy(update={"term_graph": found})))
    page = Page(section)
    assert not page.tags & {"script", "b", "i"}
    assert "<b>warm-up" in page.text
    assert "(+3)" in page.text


def test_without_a_teacher_or_a_wiring(rich):
    alone = TermGraph(student=network("a", "logits"), teacher=None, edges=[edge(["logits"], [], name="hard_targets")])
    section = str(networks(rich.model_copy(update={"term_graph": alone})))
    assert "<svg" not in section
    assert "labels" in section
    assert networks(rich.model_copy(update={"term_graph": None})) is None


def test_paths_that_begin_alike_show_where_they_end():
    deep = network("sentence_transformer.0.model", "sentence_transformer.1")
    svg = draw(TermGraph(student=deep, teacher=deep, edges=[]))
    assert "…former.0.model" in svg
    assert "…_transformer.1" in svg


@pytest.mark.parametrize(
    ("task", "name"), [("sentence_embeddings", "embedding"), ("regression", "prediction"), ("classification", "logits")]
)
def test_what_a_model_answers_is_called_by_its_task(rich, task, name):
    found = TermGraph(student=network("a", "logits"), teacher=network("b", "logits"), edges=[edge(["logits"], ["logits"])])
    words = Page(str(networks(rich.model_copy(update={"term_graph": found, "task": task})))).text
    assert f"hint compares {name} with {name}" in words
    assert ("logits" in words) == (name == "logits")
