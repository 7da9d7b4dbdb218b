"""Whole jobs on texts: a teacher fine-tuned, a student made from it, both judged, and shipped as ordinary folders."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from limbeck import runs
from limbeck.evaluation import Verdict
from limbeck.export import exporter
from limbeck.models import load_model
from limbeck.recipe import Recipe, RecipeError
from limbeck.teacher_cache import store_info

transformers = pytest.importorskip("transformers")
GOOD, BAD = ("fine", "great", "lovely", "warm"), ("dull", "poor", "grim", "flat")
FILLER = ("the", "film", "was", "and", "a", "story", "of", "very", "quite", "its", "cast")


def sentences(count: int, seed: int) -> tuple[list[str], list[int]]:
    """Which of two groups of words a sentence holds more of is its label."""
    draw, texts, labels = random.Random(seed), [], []
    for number in range(count):
        own, other = (GOOD, BAD) if number % 2 else (BAD, GOOD)
        words = [
            *draw.choices(own, k=2),
            *draw.choices(other, k=draw.randrange(2)),
            *draw.choices(FILLER, k=draw.randrange(1, 12)),
        ]
        draw.shuffle(words)
        texts.append(" ".join(words))
        labels.append(number % 2)
    return texts, labels


def teacher(folder: Path, words: list[str], kind: Any, *, layers: int, hidden: int, tokens: int, dropout: float = 0.1) -> None:
    """A tiny untrained BERT with a tokenizer of these words, as Transformers keeps them."""
    vocabulary = {word: place for place, word in enumerate(words)}
    transformers.BertTokenizerFast(vocab=vocabulary, model_max_length=tokens).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * hidden,
        max_position_embeddings=tokens,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    kind(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet files and a tiny teacher with its tokenizer, as Transformers keeps them."""
    folder = tmp_path_factory.mktemp("text")
    for name, count, seed in (("train", 400, 0), ("test", 200, 1)):
        texts, labels = sentences(count, seed)
        pq.write_table(pa.table({"sentence": texts, "label": labels}), folder / f"{name}.parquet")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILLER, *GOOD, *BAD]
    teacher(folder / "teacher", words, transformers.BertForSequenceClassification, layers=4, hidden=32, tokens=32)
    return folder


def recipe(place: Path, **changes: Any) -> Recipe:
    training = {"epochs": 3, "batch_size": 32, "optimizer": {"name": "adamw", "lr": 2e-3}, "trackers": [], "threads": 1}
    content: dict[str, Any] = {
        "name": "tiny-text",
        "data": {
            "train": str(place / "train.parquet"),
            "test": str(place / "test.parquet"),
            "validation": 0.1,
            "max_length": 32,
        },
        "teacher": {
            "model": "transformers",
            "args": {"name_or_path": str(place / "teacher")},
            "training": training | {"epochs": 12},
        },
        "student": {"from_teacher": {"init_from_teacher": {"layers": [0, 3]}}},
        "terms": [
            {"hard_targets": {"weight": 0.5}},
            {"soft_targets": {"temperature": 2, "weight": 0.5}},
            {"hidden_states": {"student": "hidden(-1)", "teacher": "hidden(-1)"}},
            {
                "self_attention_relations": {
                    "heads": 8,
                    "student": ["queries(-1)", "keys(-1)", "values(-1)"],
                    "teacher": ["queries(-1)", "keys(-1)", "values(-1)"],
                }
            },
        ],
        "training": training,
    }
    return Recipe.from_dict(content | changes)


def test_a_text_recipe_from_teacher_to_verdict(place: Path, tmp_path: Path) -> None:
    verdict = runs.run_recipe(recipe(place), tmp_path / "run", progress=False)
    assert verdict.teacher is not None
    assert verdict.teacher.metric > 0.9
    assert verdict.retention is not None
    assert verdict.retention > 0.9
    assert verdict.term_graph is not None
    assert verdict.term_graph.student.module_of("queries(-1)") == "bert.encoder.layer.1.attention.self"
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "student")
    ours = load_model(tmp_path / "run" / "student")
    ids = torch.tensor([[2, 5, 6, 3]])
    assert plain.config.num_hidden_layers == 2
    assert torch.equal(plain(ids).logits, ours(ids).logits)
    told = runs.evaluate_run(tmp_path / "run", str(place / "test.parquet")).as_json()
    assert told["accuracy"] == pytest.approx(verdict.student.metric)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "run" / "student")
    assert tokenizer("the film was great")["input_ids"][0] == 2
    assert {example.text is not None for example in verdict.result.examples} <= {True}


def test_the_student_of_texts_is_exported_alone(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    training = {"steps": 2, "batch_size": 32, "trackers": [], "threads": 1}
    run = tmp_path / "run"
    short = recipe(place, training=training, terms=["soft_targets"], control=False)
    assert short.teacher is not None
    short.teacher.training = short.training  # type: ignore[assignment]
    runs.run_recipe(short, run, progress=False)
    shutil.rmtree(run / "teacher")
    monkeypatch.setattr(exporter, "peak_memory", lambda kind, path, shape: 10**6)
    monkeypatch.setattr("limbeck.runs.export.rebuild_teacher", lambda *_: pytest.fail("the teacher is not needed"))
    records = runs.export_run(run, into=["onnx"], precisions=["fp32", "int8"], student_only=True, progress=False)
    made = [(each.model, each.precision, each.error) for each in records if each.format == "onnx"]
    assert made == [("student", "fp32", None), ("student", "int8", None)]
    assert (run / "exports" / "student-tokenizer" / "tokenizer.json").is_file()
    assert not list((run / "exports").glob("teacher*"))
    found = runs.evaluate_file(run / "exports" / "student-int8.onnx", str(place / "test.parquet"))
    assert 0 <= found.as_json()["accuracy"] <= 1


def test_hidden_states_and_attention_come_out_of_a_store(place: Path, tmp_path: Path) -> None:
    weights = {"model": "transformers", "args": {"name_or_path": str(place / "teacher")}}
    kept = {"cache": {"path": str(tmp_path / "kept"), "features": "fp32", "logits": "fp32"}, "teacher": weights}
    first = runs.run_recipe(recipe(place, **kept, control=False), tmp_path / "first", progress=False)
    again = runs.run_recipe(recipe(place, **kept, control=False), tmp_path / "again", progress=False)
    live = runs.run_recipe(recipe(place, teacher=weights, control=False), tmp_path / "live", progress=False)
    assert first.cost is not None
    assert again.cost is not None
    assert first.cost.teacher_items > 0
    assert again.cost.teacher_items == 0
    assert all(store_info(folder).complete for folder in (tmp_path / "kept").iterdir() if folder.is_dir())
    weights_of = [load_model(tmp_path / name / "student").state_dict() for name in ("first", "again", "live")]
    for name, tensor in weights_of[0].items():
        assert torch.equal(tensor, weights_of[1][name]), name
        assert torch.allclose(tensor, weights_of[2][name], atol=2e-3), name
    assert live.cost is not None
    assert live.cost.teacher_items > first.cost.teacher_items


def test_bad_text_recipes_say_what_is_wrong(place: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="init_from_teacher"):
        recipe(place, student={"from_teacher": {"init_from_teachr": {"layers": [0]}}})
    with pytest.raises(RecipeError, match="one of the two"):
        recipe(place, student={"model": "mlp", "from_teacher": {"init_from_teacher": {"layers": [0]}}})
    with pytest.raises(RecipeError, match=r"metric.*accuracy, f1, matthews"):
        recipe(place, metric="pearson")
    with pytest.raises(runs.RunError, match=r"'executorch' does not support text models.*Use 'onnx'"):
        runs.run_recipe(recipe(place, export={"formats": ["executorch"]}), tmp_path / "shipped", progress=False)
    long = recipe(place)
    long.data.max_length = 64
    with pytest.raises(ValueError, match="is limited to 32"):
        runs.run_recipe(long, tmp_path / "long", progress=False)
    with pytest.raises(ValueError, match="4 layers"):
        runs.run_recipe(
            recipe(place, student={"from_teacher": {"init_from_teacher": {"layers": [0, 9]}}}),
            tmp_path / "deep",
            progress=False,
        )
    assert not (tmp_path / "deep" / "recipe.yaml").exists()


def test_another_metric_judges(place: Path, tmp_path: Path) -> None:
    verdict = runs.run_recipe(recipe(place, metric="matthews", control=False), tmp_path / "run", progress=False)
    assert verdict.metric.name == "matthews"
    assert Verdict.load(tmp_path / "run").student.metric == verdict.student.metric


NAMES = ("anna", "ben", "carla", "dora", "emil", "fritz")
PLACES = ("garden", "house", "street", "church", "market", "school")


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Who is where: questions whose answers stand in short or long contexts, in the columns of SQuAD."""
    folder = tmp_path_factory.mktemp("reading")
    draw = random.Random(0)
    for name, count in (("train", 300), ("test", 80)):
        rows: list[dict[str, Any]] = []
        for number in range(count):
            people, where = draw.sample(NAMES, 3), draw.sample(PLACES, 3)
            facts = [f"{person} is in the {place}" for person, place in zip(people, where, strict=True)]
            context = " . ".join([*facts, *["it is late"] * draw.randrange(8)])
            start = context.index(where[1])
            answers = {"text": [where[1]], "answer_start": [start]}
            rows.append({"id": f"{name}-{number}", "question": f"where is {people[1]}", "context": context, "answers": answers})
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "is", "in", "the", ".", "it", "late", "where", *NAMES, *PLACES]
    teacher(folder / "teacher", words, transformers.BertForQuestionAnswering, layers=3, hidden=48, tokens=64)
    return folder


def test_question_answering_from_recipe_to_verdict(reading: Path, tmp_path: Path) -> None:
    training = {"epochs": 2, "batch_size": 32, "optimizer": {"name": "adamw", "lr": 2e-3}, "trackers": [], "threads": 1}
    content = {
        "name": "tiny-reading",
        "task": "question_answering",
        "data": {
            "train": str(reading / "train.parquet"),
            "test": str(reading / "test.parquet"),
            "validation": 0.1,
            "max_length": 32,
            "stride": 8,
        },
        "teacher": {
            "model": "transformers",
            "args": {"name_or_path": str(reading / "teacher"), "task": "AutoModelForQuestionAnswering"},
            "training": training | {"epochs": 30},
        },
        "student": {"from_teacher": {"init_from_teacher": {"layers": [0, 2]}}, "vocabulary": True},
        "terms": ["span_targets", {"span_soft_targets": {"temperature": 2}}],
        "training": training | {"epochs": 6},
        "control": False,
        "cache": {"path": str(tmp_path / "kept")},
    }
    verdict = runs.run_recipe(Recipe.from_dict(content), tmp_path / "run", progress=False)
    assert verdict.cost is not None
    assert verdict.cost.teacher_items < 2 * verdict.cost.student_steps * 32 / 6  # asked once, then read
    assert verdict.metric.name == "answer_f1"
    assert verdict.items == 80  # questions, though the long contexts are several windows
    assert verdict.teacher is not None
    assert verdict.teacher.metric > 0.5  # one place of three by chance
    assert verdict.student.metric > 0.4
    told = runs.evaluate_run(tmp_path / "run", str(reading / "test.parquet")).as_json()
    assert told["answer_f1"] == pytest.approx(verdict.student.metric)
    student = transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path / "run" / "student")
    assert student.config.num_hidden_layers == 2


def test_texts_of_all_kinds_come_before_the_questions(reading: Path, tmp_path: Path) -> None:
    """General distillation of a reader: texts without questions, then the task's."""
    texts = [f"{name} is in the {place} . it is late" for name in NAMES for place in PLACES]
    pq.write_table(pa.table({"text": texts}), tmp_path / "texts.parquet")
    sizes = {"layers": [0, 2], "relation_heads": 2, "relation_epochs": 1, "fine_tuning_epochs": 0.1}
    content = {
        "name": "general",
        "task": "question_answering",
        "data": {"train": str(reading / "train.parquet"), "test": str(reading / "test.parquet"), "max_length": 32, "stride": 8},
        "teacher": {
            "model": "transformers",
            "args": {"name_or_path": str(reading / "teacher"), "task": "AutoModelForQuestionAnswering"},
        },
        "method": {"minilm_v2": {**sizes, "general": str(tmp_path / "texts.parquet")}},
        "student": {"vocabulary": True},
        "training": {"batch_size": 12, "trackers": [], "threads": 1},
        "control": False,
    }
    verdict = runs.run_recipe(Recipe.from_dict(content), tmp_path / "run", progress=False)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in log} == {0, 1}
    assert verdict.cost is not None
    assert verdict.cost.student_steps > 3  # of 36 texts in twelves, and some with questions


def test_texts_without_questions_are_refused_by_name(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="question"):
        runs.run_recipe(recipe(place, task="question_answering"), tmp_path / "run", progress=False)


def test_a_stage_that_no_store_serves_asks_the_teacher_and_the_others_read(place: Path, tmp_path: Path) -> None:
    wanted = recipe(place, teacher={"model": "transformers", "args": {"name_or_path": str(place / "teacher")}}, control=False)
    content = wanted.model_dump(mode="json", exclude={"terms"})
    scores = {"attention_scores": {"student": "scores(-1)", "teacher": "scores(-1)"}}
    content["stages"] = [{"terms": [scores], "epochs": 1}, {"terms": ["soft_targets"], "epochs": 3}]
    content["cache"] = {"path": str(tmp_path / "kept")}
    verdict = runs.run_recipe(Recipe.from_dict(content), tmp_path / "run", progress=False)
    assert verdict.cost is not None
    train = len(Recipe.from_dict(content).load()[1])
    assert abs(verdict.cost.teacher_items - 2 * train) < 32  # one pass for each stage, whatever the number of epochs
    assert [path.name for path in (tmp_path / "kept").iterdir() if path.is_dir()] == ["logits"]
    with pytest.raises(ValueError, match="pairs of tokens are not cached"):
        runs.run_recipe(Recipe.from_dict(content | {"stages": content["stages"][:1]}), tmp_path / "other", progress=False)
