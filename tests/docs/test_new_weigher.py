"""A weigher and a teacher are one file each: a recipe can name them once the file is given as a plugin."""

from __future__ import annotations

import pytest
import torch

from limbeck import models
from limbeck.core import teachers, weighers
from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.criterion import Criterion
from limbeck.recipe import load_plugin, read_yaml
from limbeck.recipe.schema.terms import TermSpec, build_terms
from tests.docs.pages import DOCS, blocks

GUIDES = [(DOCS / "guide" / f"new-{part}.md").read_text(encoding="utf-8") for part in ("weigher", "teacher")]
WEIGHER, TEACHER = (next(blocks(guide, "python", ".part")) for guide in GUIDES)
RECIPE, PLACES = (read_yaml(block)["terms"] for block in blocks(GUIDES[0], "yaml"))
(OF_TEACHER,) = (read_yaml(block)["terms"] for block in blocks(GUIDES[1], "yaml"))
X, Y = torch.randn(6, 3), torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.fixture(autouse=True)
def plugins(tmp_path, monkeypatch):
    """Both files, loaded; afterwards the registries are as they were."""
    for registry in (weighers.registry, teachers.registry, models.registry):
        monkeypatch.setattr(registry, "_parts", dict(registry._parts))
        monkeypatch.setattr(registry, "_citations", dict(registry._citations))
    for name, text in (("hard_items", WEIGHER), ("largest_logits", TEACHER)):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        load_plugin(tmp_path / f"{name}.py")


def actors():
    torch.manual_seed(0)
    linear = [torch.nn.Linear(3, 4) for _ in range(4)]
    names = ("teacher", "teachers.a", "teachers.b")
    return Actors({"student": trained(linear[0])} | {n: frozen(m) for n, m in zip(names, linear[1:], strict=True)})


def built(terms):
    return build_terms([TermSpec.model_validate(term) for term in terms])


def test_the_weigher_of_the_guide_weighs_and_remembers():
    criterion = Criterion(built(PLACES), actors=actors(), example=(X, Y))
    losses = criterion((X, Y))
    loss = torch.nn.functional.cross_entropy(criterion.actors["student"].model(X), Y, reduction="none")
    mean = 0.1 * loss.mean()
    torch.testing.assert_close(losses["hard_targets"], (loss * (loss / (loss + mean)).detach()).mean())
    torch.testing.assert_close(criterion.state_dict()["weighers.0.item_weight.mean"], mean.detach())
    logged = {"hard_targets.item_weight", "soft_targets.0.temperature"}
    logged |= {"soft_targets.1.teachers.a", "soft_targets.1.teachers.b"}
    assert set(criterion.read_weight_statistics()) == logged


def test_the_teacher_of_the_guide_makes_the_target():
    (term,) = built(OF_TEACHER)
    given = actors()
    loss = Criterion([term], actors=given)((X, Y))["loss"]
    largest = torch.maximum(given["teachers.a"].model(X), given["teachers.b"].model(X))
    torch.testing.assert_close(loss, term.objective(given["student"].model(X), largest).mean())


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"soft_targets": {"teacher": {"ensembel": {"of": "x"}}}}, "unknown teacher 'ensembel'; nearest: ensemble"),
        ({"soft_targets": {"teacher": {"ensemble": {"off": "x"}}}}, "teacher 'ensemble': .*'off'"),
        ({"soft_targets": {"teacher": {"ensemble": {}}}}, "teacher 'ensemble': .*'of'"),
        ({"soft_targets": {"teacher": {"ensemble": {"of": "x", "by": "trust"}}}}, "unknown weigher 'trust'; nearest: "),
        ({"soft_targets": {"teacher": {"virtual_teacher": {"correct": 2}}}}, "correct is 2; expected a probability"),
        ({"soft_targets": {"teacher": {"ensemble": 3}}}, "its arguments are 3; expected a mapping"),
        ({"soft_targets": {"teacher": {}}}, "a teacher is one name with"),
        ({"soft_targets": {"item_weight": {"entropy": {"prefer": "x"}}}}, "prefer='x': expected 'certain' or 'uncertain'"),
        ({"hard_targets": {"item_weight": "hard_item"}}, "unknown weigher 'hard_item'; nearest: hard_items"),
        ({"soft_targets": {"temperature": {"by_confidence": {"low": -1}}}}, "low is -1; use a value above 0"),
    ],
)
def test_bad_parts_are_refused_with_the_recipe(term, message):
    with pytest.raises(ValueError, match=message):
        TermSpec.model_validate(term)


@pytest.mark.parametrize(
    "teacher", [{"past_predictions": None}, {"virtual_teacher": {"correct": 0.9}}, {"ensemble": {"of": "a"}}]
)
def test_own_teachers_are_named_in_recipes(teacher):
    (term,) = built([{"soft_targets": {"teacher": teacher}}])
    assert type(term.teacher) is teachers.registry[next(iter(teacher))]
