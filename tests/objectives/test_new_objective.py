"""An objective is one file: the registry, the property tests and the documentation find it without another being touched."""

from __future__ import annotations

import inspect
import sys

import pytest
import torch

from docs.generate import methods
from limbeck import models, objectives
from limbeck.recipe import load_plugin, read_yaml
from limbeck.recipe.schema.terms import TermSpec
from tests.docs.pages import DOCS, blocks
from tests.objectives import cases, test_properties

NAME = "example_of_the_guide"  # another than the guide's own, which a reader may just have added to the package
GUIDE = (DOCS / "guide" / "new-objective.md").read_text(encoding="utf-8").replace("normalized_hint", NAME)
(FILE,) = blocks(GUIDE, "python", ".part")


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The guide's own example as a file; afterwards the registries are as they were."""
    for registry in (objectives.registry, models.registry):
        monkeypatch.setattr(registry, "_parts", dict(registry._parts))
        monkeypatch.setattr(registry, "_citations", dict(registry._citations))
    path = tmp_path / f"{NAME}.py"
    path.write_text(FILE, encoding="utf-8")
    yield path
    sys.modules.pop(f"limbeck.objectives.{NAME}", None)


def generic_tests():
    """The property tests, each with the arguments that it takes beside a case; the loops of a formula are written by hand."""
    for name, test in vars(test_properties).items():
        if name.startswith("test_") and name != "test_equals_the_loops":
            parameters = inspect.signature(test).parameters
            if "case" in parameters:
                yield test, {"dtype": torch.bfloat16} if "dtype" in parameters else {}


def test_a_file_in_the_package_is_found(file, monkeypatch):
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(file.parent)])
    assert NAME not in objectives.names()
    objectives.discover()
    assert NAME in objectives.names()
    signal = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    assert objectives.get(NAME)(signal, -2 * signal).tolist() == [4.0, 4.0]


def test_its_properties_are_tested(file):
    load_plugin(file)
    new = [case for case in cases.all_cases() if case.name == NAME]
    assert [cases.parts(case.inputs(0).student)[0].ndim for case in new] == [2, 4]  # any number of axes: vectors and maps
    tests = list(generic_tests())
    assert len(tests) >= 12
    for test, arguments in tests:
        for case in new:
            test(case=case, **arguments)


def test_an_objective_that_is_wrong_about_itself_is_caught(file):
    file.write_text(FILE.replace(".sum(1)", ".sum(1).mean().expand(len(student))"), encoding="utf-8")  # items meet, unsaid
    load_plugin(file)
    with pytest.raises(AssertionError):
        test_properties.test_only_objectives_over_the_batch_compare_items(case=cases.declared(NAME)[0])


def test_its_page_is_made(file):
    load_plugin(file)
    page = methods.pages()[f"methods/{NAME}.md"]
    assert "Squared distance between the two signals" in page
    assert "https://arxiv.org/abs/1908.09355" in page
    assert f"methods/{NAME}.md" in str(methods.nav())
    assert f"({NAME}.md)" in methods.overview()
    (program,) = blocks(page, "python", ".run")
    exec(compile(program, NAME, "exec"), {"print": lambda *_: None})


def test_a_recipe_names_it_as_the_guide_does(file):
    load_plugin(file)
    (recipe,) = blocks(GUIDE, "yaml")
    assert [TermSpec.model_validate(term).objective for term in read_yaml(recipe)["terms"]] == ["hard_targets", NAME]
