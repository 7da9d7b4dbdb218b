"""Named entities from the command line: a teacher, a student and its control, judged, evaluated again, shipped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from limbeck import runs
from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, load_tagged_words, tokenize_words
from limbeck.evaluation import Verdict
from limbeck.recipe import Recipe, RecipeError
from limbeck.tasks import TokenClassification
from tests import ranks
from tests.runs import tagged

transformers = pytest.importorskip("transformers")


def recipe(place: Path, **changes: Any) -> dict[str, Any]:
    training = {"epochs": 3, "batch_size": 32, "optimizer": {"name": "adamw", "lr": 3e-3}, "trackers": [], "threads": 1}
    model = {"name_or_path": str(place / "teacher"), "task": "AutoModelForTokenClassification"}
    content: dict[str, Any] = {
        "name": "entities",
        "task": "token_classification",
        "data": {
            "train": str(place / "train.parquet"),
            "test": str(place / "test.conll"),
            "validation": 0.1,
            "max_length": 32,
        },
        "teacher": {"model": "transformers", "args": model, "training": training | {"epochs": 10}},
        "student": {"from_teacher": {"init_from_teacher": {"layers": [0]}}},
        "terms": [{"hard_targets": {"weight": 0.5}}, {"soft_targets": {"temperature": 2, "weight": 0.5}}],
        "training": training,
        "export": {"formats": ["onnx"], "precisions": ["fp32"]},
    }
    return content | changes


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("entities")
    tagged.write_parquet(folder / "train.parquet", 400, 0)
    tagged.write_conll(folder / "test.conll", 200, 1)
    (folder / "classes.json").write_text(json.dumps(tagged.TAGS))
    tagged.teacher(folder / "teacher")
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    file = place / "entities.yaml"
    file.write_text(yaml.safe_dump(recipe(place)))
    ranks.run(1, "limbeck.cli", "distill", file, "--out", place / "run")
    return place / "run"


def test_teacher_student_and_control_are_judged_by_entities(run: Path) -> None:
    verdict = Verdict.load(run)
    assert (verdict.metric.name, verdict.items) == ("entity_f1", 200)
    assert verdict.teacher is not None
    assert verdict.teacher.metric > 0.75
    assert verdict.retention is not None
    assert verdict.result.control is not None
    assert verdict.student.per_class is not None
    assert len(verdict.student.per_class) == 2
    examples = verdict.result.examples
    assert any("PER: " in (example.truth or "") for example in examples)
    page = (run / "report.html").read_text()
    assert "F1 by class" in page
    assert examples[0].truth is None or examples[0].truth.split(": ")[-1] in page


def test_the_student_folder_says_its_tags(run: Path) -> None:
    config = json.loads((run / "student" / "config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert config["id2label"] == {str(at): name for at, name in enumerate(tagged.TAGS)}
    assert config["label2id"] == {name: at for at, name in enumerate(tagged.TAGS)}


def test_run_and_exported_file_are_evaluated_alike(run: Path, place: Path) -> None:
    verdict = Verdict.load(run)
    tagged.write_conll(place / "more.bio", 200, 1)
    again = runs.evaluate_run(run, str(place / "more.bio")).as_json()
    assert again["entity_f1"] == pytest.approx(verdict.student.metric)
    (exported,) = [one for one in verdict.exports if one.path is not None and one.model == "student"]
    assert exported.error is None
    assert exported.metric == pytest.approx(verdict.student.metric)
    file = runs.evaluate_file(run / str(exported.path), str(place / "more.bio")).as_json()
    assert file["entity_f1"] == pytest.approx(verdict.student.metric)
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(run / str(exported.path), providers=["CPUExecutionProvider"])
    for size in ((1, 4), (3, 9)):
        inputs = {one.name: np.ones(size, np.int64) for one in session.get_inputs()}
        assert session.run(None, inputs)[0].shape == (*size, len(tagged.TAGS))


def test_unlabelled_sentences_teach_through_the_teacher(run: Path, place: Path, tmp_path: Path) -> None:
    words, _ = tagged.sentences(100, 3)
    pq.write_table(pa.table({"tokens": words}), tmp_path / "plain.parquet")
    model = {"name_or_path": str(run / "teacher"), "task": "AutoModelForTokenClassification"}
    teacher = {"model": "transformers", "args": model}
    data = {"train": {"path": str(tmp_path / "plain.parquet"), "label": False}, "test": str(place / "test.conll")}
    content = recipe(place, teacher=teacher, data=data | {"max_length": 32}, terms=["soft_targets"], control=False)
    verdict = runs.run_recipe(Recipe.from_dict(content | {"export": None}), tmp_path / "run", progress=False)
    assert verdict.student.metric > 0.3


def test_the_trainer_reads_the_same_targets_and_tokens(place: Path) -> None:
    from limbeck.integrations.transformers.columns import BatchColumns

    items = tokenize_words(load_tagged_words(place / "train.parquet"), _tokenizer(place), 32)
    task = TokenClassification()
    batch = Dataset(items, 8, views={"default": task.view(items, [])}).batch(BatchPosition(0, 0))
    model = transformers.AutoModelForTokenClassification.from_pretrained(place / "teacher")
    theirs = BatchColumns(model, model, ["labels"]).batch({**batch.inputs["default"], "labels": batch.target})
    assert torch.equal(theirs.target, batch.target)
    assert torch.equal(theirs.mask, batch.inputs["default"]["attention_mask"])
    assert torch.equal(theirs.mask.bool(), batch.mask)


def _tokenizer(place: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(place / "teacher")


def test_what_does_not_fit_is_said_before_training(place: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="entity_f1, tag_accuracy"):
        Recipe.from_dict(recipe(place, metric="accuracy"))
    shutil.copy(place / "train.parquet", tmp_path / "train.parquet")  # without classes.json
    data = {"train": str(tmp_path / "train.parquet"), "test": str(place / "test.conll"), "max_length": 32}
    with pytest.raises(ValueError, match=r"ner_tags.*classes\.json"):
        runs.run_recipe(Recipe.from_dict(recipe(place, data=data)), tmp_path / "run", progress=False)
    tagged.teacher(tmp_path / "other", names=["B-PER", "O", "B-LOC", "I-LOC", "I-PER"])
    teacher = {"model": "transformers", "args": recipe(tmp_path)["teacher"]["args"] | {"name_or_path": str(tmp_path / "other")}}
    with pytest.raises(ValueError, match=r"numbered.*classes\.json"):
        runs.run_recipe(Recipe.from_dict(recipe(place, teacher=teacher)), tmp_path / "run", progress=False)
