"""Runs whose teacher and student read texts, tables, images and sounds of the same things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from limbeck.data import AudioOptions, TableEncoder
from limbeck.recipe import Recipe
from limbeck.runs import evaluate_run, run_recipe
from tests.data.loading.files import parquet
from tests.data.tiny_tokenizers import of_words
from tests.runs import test_field_runs

WORDS = ["dark", "bright", "low", "high", "tone", "a"]
TRAINING = test_field_runs.TRAINING | {"epochs": 12}


def columns(count: int = 48) -> dict[str, list[Any]]:
    """Four fields that all tell the class: a sound, an image, a caption, and the columns of a table."""
    return test_field_runs.columns(count) | {
        "caption": [f"a {'bright high' if row % 2 else 'dark low'} tone" for row in range(count)],
        "pitch": [float(row % 2) + 0.01 * row if row % 7 else None for row in range(count)],
        "place": [("street", "field")[row % 2] if row % 5 else None for row in range(count)],
    }


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of a tiny text classifier with its tokenizer."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=11,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=2,
        max_position_embeddings=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    of_words(WORDS).save_pretrained(folder)
    return str(folder)


def model(field: str, encoder: str) -> dict[str, Any]:
    if field == "caption":
        return {"model": "transformers", "args": {"name_or_path": encoder}, "reads": field}
    if field == "row":
        return {"model": "mlp", "args": {"hidden": [8]}, "reads": field}
    return {"model": "tiny_cnn", "args": {"width": 4, "size": 16}, "reads": field}


def recipe(path: str, ours: str, theirs: str, encoder: str, **changes: Any) -> Recipe:
    kinds: dict[str, Any] = {
        "wave": {"audio": {"n_mels": 16, "seconds": 0.1}},
        "image": "image",
        "caption": "text",
        "row": {"table": {"numeric": ["pitch"], "categorical": ["place"]}},
    }
    return Recipe.from_dict(
        {
            "name": "fields",
            "data": {
                "train": {"path": path, "fields": {n: kinds[n] for n in (ours, theirs)}},
                "test": path,
                "allow_shared_items": True,
                "max_length": 12,
            },
            "teacher": model(theirs, encoder) | {"training": TRAINING},
            "student": model(ours, encoder),
            "terms": ["hard_targets", {"soft_targets": {"temperature": 2}}],
            "training": TRAINING,
            **changes,
        }
    )


@pytest.mark.parametrize(("student", "teacher"), [("caption", "image"), ("image", "caption"), ("row", "wave"), ("wave", "row")])
def test_a_run_between_any_two_modalities_and_its_evaluation(tmp_path: Path, encoder: str, student: str, teacher: str) -> None:
    path = str(parquet(tmp_path / "things.parquet", **columns()))
    verdict = run_recipe(recipe(path, student, teacher, encoder), tmp_path / "run", progress=False)
    assert verdict.student is not None
    assert verdict.student.metric > 0.8
    both = evaluate_run(tmp_path / "run", path).as_json()["arms"]
    expected = {name: arm.metric for name, arm in verdict.arms.items()}
    assert {name: arm["accuracy"] for name, arm in both.items()} == pytest.approx(expected)
    needed = {"row": ("pitch", "place")}.get(student, (student,))
    alone = str(parquet(tmp_path / "new.parquet", **{name: columns()[name] for name in (*needed, "label")}))
    figures = evaluate_run(tmp_path / "run", alone).as_json()  # new data needs the student's field only
    assert figures["accuracy"] == pytest.approx(verdict.student.metric)
    assert list(figures["arms"]) == ["control", "student"]


def test_what_only_the_teacher_reads_is_kept_with_the_teacher(tmp_path: Path, encoder: str) -> None:
    path = str(parquet(tmp_path / "things.parquet", **columns(24)))
    run_recipe(recipe(path, "row", "wave", encoder, control=False), tmp_path / "run", progress=False)
    assert AudioOptions.load(tmp_path / "run" / "teacher") == AudioOptions(n_mels=16, seconds=0.1, sample_rate=8000)
    assert TableEncoder.load(tmp_path / "run" / "student").columns.numeric == ("pitch",)
    assert not (tmp_path / "run" / "student" / "audio.json").exists()


def test_one_text_field_is_read_with_the_tokenizer_of_each_model(tmp_path: Path, encoder: str) -> None:
    path = str(parquet(tmp_path / "things.parquet", **columns(24)))
    other = tmp_path / "other"
    transformers.BertForSequenceClassification.from_pretrained(encoder).save_pretrained(other)
    of_words(WORDS[::-1]).save_pretrained(other)
    made = recipe(path, "caption", "image", encoder, teacher=model("caption", str(other)))
    items = made.load().train
    batch = items.fetch(torch.tensor([0, 1]))
    assert batch["student"]["input_ids"].shape == batch["teacher"]["input_ids"].shape
    assert not torch.equal(batch["student"]["input_ids"], batch["teacher"]["input_ids"])
    assert torch.equal(batch["teacher"]["input_ids"], items.for_actor("teacher").fetch(torch.tensor([0, 1]))["input_ids"])
