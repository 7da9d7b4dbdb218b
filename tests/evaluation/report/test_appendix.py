"""Recipe, papers and environment at the end of a page."""

from limbeck.evaluation.report import appendix

from . import made


def test_the_recipe_is_shown_as_text(run):
    section = str(appendix.recipe(run / "recipe.yaml"))
    assert "&lt;script&gt;alert(3)" in section
    assert "model: resnet_cifar" in section


def test_papers_of_the_recipe_are_cited(run):
    assert "Distilling the Knowledge" in str(appendix.papers(run / "recipe.yaml"))


def test_missing_and_damaged_recipes(tmp_path):
    path = tmp_path / "recipe.yaml"
    assert "recipe.yaml is missing" in str(appendix.recipe(path))
    for content in ("[1", "- a", "terms: [{objective: nowhere_known}]"):
        path.write_text(content)
        assert appendix.papers(path) is None
    assert appendix.read(path) == {"terms": [{"objective": "nowhere_known"}]}
    path.write_text("[1")
    assert appendix.read(path) == {}


def test_the_environment_holds_seeds_and_the_teachers_items():
    section = str(appendix.environment(made.verdict()))
    assert "0, 1, 2" in section
    assert "items processed by the teacher" in section
    assert "2,995,200" in section
