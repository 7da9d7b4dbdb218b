"""Citations: every entry is whole, every method of a paper has one, and a recipe cites what it uses and nothing else."""

from __future__ import annotations

import re

import pytest

from limbeck import objectives
from limbeck.evaluation import citations
from limbeck.evaluation.citations import bibtex, bibtex_of, merge
from limbeck.recipe import Comparison, Recipe
from limbeck.utils.registry import UnknownNameError
from tests import tiny

REQUIRED = {
    "inproceedings": {"title", "author", "booktitle", "year"},
    "article": {"title", "author", "journal", "year"},
    "misc": {"title", "author", "year"},
}
ENTRIES = citations.entries()


def parse(text: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Key → (kind, fields) of every entry; fails where braces do not balance or something is left over."""
    found = {}
    while text.strip():
        head = re.match(r"\s*@(\w+)\{([\w-]+),", text)
        assert head, text[:80]
        depth, end = 0, 0
        for letter in text:
            end += 1
            depth += {"{": 1, "}": -1}.get(letter, 0)
            if letter == "}" and depth == 0:
                break
        assert depth == 0, f"braces of {head[2]}"
        body = text[head.end() : end - 1]
        fields = dict(re.findall(r"(\w+) = \{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\},", body))
        assert not re.sub(r"\w+ = \{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\},", "", body).strip(), body
        assert head[2] not in found
        found[head[2]], text = (head[1], fields), text[end:]
    return found


def keys(text: str) -> list[str]:
    return list(parse(text))


def test_every_entry_is_whole_and_has_a_key_of_its_own() -> None:
    seen: dict[str, dict[str, str]] = {}
    for entry in filter(None, ENTRIES):
        ((key, (kind, fields)),) = parse(entry.strip()).items()
        assert REQUIRED[kind] <= set(fields), key
        assert all(value.strip() for value in fields.values()), key
        assert re.fullmatch(r"(19|20)\d\d", fields["year"]), key
        assert all("," in name for name in fields["author"].split(" and ") if not fields["author"].startswith("{")), key
        if "eprint" in fields:
            assert re.fullmatch(r"\d{4}\.\d{4,5}", fields["eprint"]), key
            assert fields["archiveprefix"] == "arXiv"
            assert -1 <= int(fields["year"]) - 2000 - int(fields["eprint"][:2]) <= 3, key  # print and preprint lie close
        assert seen.setdefault(key, fields) == fields, f"{key} stands for two papers"


@pytest.mark.parametrize("name", [name for name in objectives.names() if re.search(r"\d{4}", objectives.registry[name].source)])  # type: ignore[attr-defined]
def test_every_objective_of_a_paper_has_its_entry(name: str) -> None:
    source = objectives.registry[name].source  # type: ignore[attr-defined]
    ((_, (_, fields)),) = parse(bibtex_of(name)).items()
    surname = re.search(r"[A-Z]\w+(?= (et al|&))", source)
    assert surname is not None
    assert fields["author"].startswith(f"{surname[0]},")
    numbers = re.findall(r"\d{4}\.\d{5}", source)
    assert not numbers or fields["eprint"] in numbers


def test_a_recipe_cites_what_it_uses_once_and_sorted() -> None:
    plain = bibtex(tiny.recipe())
    assert keys(plain) == ["hinton2015distilling", "loshchilov2017sgdr", "loshchilov2019decoupled"]
    rich = tiny.content("student.model=resnet_cifar", "student.args={depth: 8}", "training.ema=0.99")
    rich["training"]["views"] = ["mixup"]
    rich["training"]["optimizer"] = {"name": "sgd", "lr": 0.1, "schedule": 1.0}
    rich["teacher"]["training"]["optimizer"] = {"name": "sgd", "lr": 0.1, "schedule": 1.0}
    rich["terms"] = [{"hard_targets": {"label_smoothing": 0.1}}, {"rkd_distance": {}}, {"rkd_angle": {}}]
    found = keys(bibtex(tiny.Recipe.from_dict(rich)))
    expected = ["he2016deep", "park2019relational", "szegedy2016rethinking", "tarvainen2017mean", "zhang2018mixup"]
    assert found == expected
    assert bibtex(tiny.recipe().model_dump(mode="json")) == plain  # what a run's recipe.yaml holds


def test_stages_and_variants_are_looked_through() -> None:
    fields = tiny.content("training.optimizer={name: sgd}", "teacher.training.optimizer={name: sgd}")
    terms = fields.pop("terms")
    staged = {**fields, "stages": [{"terms": ["attention_transfer"], "steps": 2, "optimizer": {"name": "adam"}}]}
    assert {"zagoruyko2017paying", "kingma2015adam"} <= set(keys(bibtex(tiny.Recipe.from_dict(staged))))
    compared = Comparison.from_dict({**fields, "variants": {"kd": terms, "dist": [{"dist": {}}]}})
    assert {"hinton2015distilling", "huang2022knowledge"} <= set(keys(bibtex(compared)))


def test_every_place_of_the_general_form_is_looked_through() -> None:
    cnn = {"model": "tiny_cnn", "args": {"width": 2}}
    peers = {"student": "peers.*", "teacher": "peers.*", "temperature": {"by_confidence": {}}}
    general = {
        "name": "general",
        "data": {"train": "digits"},
        "actors": {"peers.a": cnn, "peers.b": {"model": "resnet_cifar"}, "mean": {"average": "peers.a"}},
        "sources": {"own": {"own_samples": {"actor": "peers.a", "prompts": [[1, 2]]}}},
        "stages": [{"steps": 2, "updates": [{"trains": "peers.*", "terms": [{"dist": peers}]}]}],
        "evaluate": {"both": {"ensemble": {"of": "peers.*", "by": "confidence"}}},
        "controls": {"smooth": {"terms": [{"hard_targets": {"label_smoothing": 0.1, "student": "peers.*"}}]}},
    }
    fields = tiny.content()
    found = set(keys(bibtex(Recipe.from_dict({**general, "data": fields["data"]}, files=False))))
    assert {"huang2022knowledge", "he2016deep", "tarvainen2017mean", "szegedy2016rethinking"} <= found
    assert found & set(keys(bibtex_of("confidence")))


def test_a_method_cites_its_paper() -> None:
    staged = {**tiny.content(), "method": {"tinybert": {}}, "terms": [], "student": {}}
    assert "jiao2020tinybert" in keys(bibtex(Recipe.from_dict(staged, files=False)))
    assert keys(bibtex_of("bert_pkd")) == ["sun2019patient"]


def test_several_merge_into_one_list() -> None:
    both = merge([bibtex(tiny.recipe()), bibtex_of("hint"), bibtex_of("soft_targets"), ""])
    assert keys(both) == ["hinton2015distilling", "loshchilov2017sgdr", "loshchilov2019decoupled", "romero2015fitnets"]


def test_by_name() -> None:
    assert keys(bibtex_of("mobilenet_v3")) == ["howard2019searching"]
    assert keys(bibtex_of("rkd_cosine")) == ["park2019relational"]
    assert bibtex_of("hard_targets") == ""
    with pytest.raises(UnknownNameError, match="nearest: soft_targets"):
        bibtex_of("soft_target")
