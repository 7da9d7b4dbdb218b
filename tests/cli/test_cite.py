"""`limbeck cite`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests import tiny
from tests.cli.conftest import Limbeck
from tests.evaluation.test_citations import parse


@pytest.mark.parametrize(
    ("what", "code", "message"),
    [
        (["digits"], 0, "@misc{hinton2015distilling"),
        (["compare-methods"], 0, "@inproceedings{tian2020contrastive"),
        (["run", "mobilenet_v3"], 0, "@inproceedings{howard2019searching"),
        (["tiny.yaml", "hint"], 0, "@inproceedings{romero2015fitnets"),
        (["hnit"], 2, "unknown objective 'hnit'; nearest: hint"),
        (["empty"], 2, "empty: it holds no recipe.yaml, so it is no run directory"),
        (["no.yaml"], 2, "recipe no.yaml: there is no such file"),
    ],
)
def test_recipes_runs_and_names_are_cited(
    limbeck: Limbeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("run", "empty"):
        (tmp_path / name).mkdir()
    tiny.write(tmp_path)
    fields = tiny.recipe().model_dump(mode="json")
    fields["student"]["model"] = "my_models.py:make_student"  # a run's recipe is read without the file behind it
    (tmp_path / "run" / "recipe.yaml").write_text(yaml.safe_dump(fields))
    found, out, err = limbeck("cite", *what)
    assert (found, message in (err if code else out)) == (code, True), out + err
    if not code:
        parse(out)


def test_a_changed_recipe_of_a_run_is_an_error_that_names_the_field(limbeck: Limbeck, tmp_path: Path) -> None:
    fields = tiny.recipe().model_dump(mode="json")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**fields, "evaluate": [1]}))
    code, _, err = limbeck("cite", tmp_path)
    assert (code, "evaluate: " in err) == (2, True), err
