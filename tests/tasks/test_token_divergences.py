"""A small language model that learns by the divergences of language models, by a recipe and a cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck.core.terms import TermError
from limbeck.evaluation import Verdict
from limbeck.recipe import Recipe
from limbeck.runs import run_recipe
from tests.architecture.test_own_samples import texts_and_teacher

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return texts_and_teacher(tmp_path_factory.mktemp("texts"))


def distilled(texts: Path, terms: list[Any], vocabulary: int = 16) -> Verdict:
    config = {
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
    }
    config |= {"num_attention_heads": 2, "max_position_embeddings": 32, "pad_token_id": 0}
    content = {
        "name": "divergence",
        "task": "next_token",
        "data": {"train": str(texts / "train.parquet"), "test": str(texts / "test.parquet"), "max_length": 24},
        "teacher": {"model": "transformers", "args": {"task": "AutoModelForCausalLM", "name_or_path": str(texts / "teacher")}},
        "student": {"model": "transformers", "args": {"task": "AutoModelForCausalLM", "config": config}},
        "terms": terms,
        "cache": "auto",
        "control": False,
        "training": {
            "epochs": 12,
            "batch_size": 16,
            "device": "cpu",
            "trackers": [],
            "optimizer": {"name": "adamw", "lr": 1.0e-2},
        },
    }
    return run_recipe(Recipe.from_dict(content), texts / f"{terms[0]}-{vocabulary}".replace("'", ""), progress=False)


@pytest.mark.parametrize("name", ["jensen_shannon", "skew_kl", "skew_reverse_kl", "total_variation"])
def test_a_student_learns_by_a_divergence_alone(texts: Path, name: str) -> None:
    assert distilled(texts, [name]).student.metric < 8  # perplexity among 10 numbers


def test_a_student_may_have_more_outputs_where_probabilities_are_sorted(texts: Path) -> None:
    both = [{"universal_logit": {"weight": 0.5}}, "hard_targets"]
    assert distilled(texts, both, vocabulary=24).student.metric < 8
    with pytest.raises(TermError, match="the student outputs 24 classes and the teacher 16"):
        distilled(texts, ["jensen_shannon"], vocabulary=24)
