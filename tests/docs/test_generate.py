"""The generators: what they read from the code is on the page, whole and legible."""

from __future__ import annotations

import re

import pytest

from docs.generate import api, command_line, decisions, formulas, markdown, methods, recipes
from limbeck import cli, objectives
from limbeck.core.objective import registry
from limbeck.recipe import Comparison, Federation, Recipe, built_in_recipes

DOCSTRING = """What it is, for `peers.*` and *all*; see arXiv 1503.02531.

    made = thing(2)

Args:
    size: how large it is,
        in pixels.
    a, b: both.

Returns:
    What was
    made.

Raises:
    ValueError: too small.
"""

# Formulas


def test_letters_are_lowered_and_raised():
    assert "p<sub>T</sub>(t)<sub>c</sub>" in formulas.typeset("p_T(t)_c")
    assert "d<sub>ij</sub><sup>s</sup>/μ" in formulas.inline("d_ij^s/μ")
    assert "e<sup>−2γ</sup>" in formulas.inline("e^{−2γ}")
    assert "t &lt; 0" in formulas.inline("t < 0")


def test_each_definition_has_its_line():
    assert formulas.lines("mean_ij h(d_ij), h Huber, d_ij = |x, y|, w = 1, ½") == [
        "mean_ij h(d_ij)",
        "h Huber",
        "d_ij = |x, y|",
        "w = 1, ½",
    ]


@pytest.mark.parametrize("name", objectives.names())
def test_no_formula_shows_its_markup(name):
    text = re.sub(r"<[^>]*>", "", formulas.typeset(registry[name].formula))
    assert "_" not in text
    assert "^" not in text


# Docstrings


def test_docstrings_become_markdown():
    text = markdown.docstring_text(DOCSTRING)
    assert "`peers.*` and *all*; see [arXiv 1503.02531](https://arxiv.org/abs/1503.02531)." in text
    assert "```python\nmade = thing(2)\n```" in text
    assert "- `size`: how large it is, in pixels." in text
    assert "- `a`, `b`: both." in text
    assert "**Returns**\n\nWhat was made." in text
    assert "**Errors**\n\n- `ValueError`: too small." in text


def test_cells_hold_their_bars():
    assert markdown.table(("a",), [("x | y\nz",)]).splitlines()[2] == "| x \\| y z |"


# Pages


def test_the_command_line_is_whole():
    page = command_line.page()
    for name, callback in command_line.commands().items():
        assert f"\n## limbeck {name} {{#" in page
        for parameter in command_line.parameters(callback):
            assert f"`{parameter.written()}`" in page
            assert parameter.info.help, f"limbeck {name}: {parameter.name} has no help"
    assert "`--set TEXT`" in page
    assert "`--json`" in page
    assert {0, cli.USER_ERROR, cli.TARGETS_MISSED, cli.INTERRUPTED} <= set(command_line.EXIT_CODES)


@pytest.mark.parametrize("model", [Recipe, Comparison, Federation])
def test_every_field_of_a_recipe_is_explained(model):
    page = recipes.reference()
    for node in recipes.walk(model).values():
        for name in node.model.model_fields:
            assert f"| `{name}` |" in page
            assert recipes.describe(node.model, name), f"{node.place}.{name} means nothing"


def test_every_built_in_recipe_is_in_the_table():
    assert set(built_in_recipes()) == set(recipes.SHOWN)


def test_every_entry_of_the_reference_says_something():
    for address, text in api.pages().items():
        for entry in re.split(r"^## ", text, flags=re.M)[1:]:
            said = re.sub(r"```.*?```|^`from .*`$|^\|.*\|$|^#.*$", "", entry.partition("\n")[2], flags=re.S | re.M)
            assert len(said.split()) >= 3 or entry.count("\n| ") > 2, f"{address}: {entry.partition(' ')[0]} is not described"


def test_every_decision_is_listed():
    index = decisions.pages()["decisions/index.md"]
    assert all(f"({path.name})" in index for path in decisions.files())
    assert len(decisions.nav()) == len(decisions.files()) + 1 > 1


def test_every_method_is_in_the_table_and_in_the_navigation():
    overview, nav = methods.overview(), str(methods.nav())
    for name in objectives.names():
        assert f"[`{name}`]({name}.md)" in overview
        assert f"methods/{name}.md" in nav
