"""Sentence encoders: loaded as modules over tokens, distilled with and without labels, shipped as ordinary folders."""

from __future__ import annotations

import importlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from limbeck import models, runs
from limbeck.core.taps.probe import Probe
from limbeck.models.architectures.sentence_encoder import SentenceEncoder
from limbeck.models.read_back import saving_problem
from limbeck.models.shrink import StaticEncoder, from_teacher, init_from_teacher, static_embeddings, static_student
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe import Recipe, RecipeError
from tests.runs.test_text_runs import teacher

transformers = pytest.importorskip("transformers")
library = pytest.importorskip("sentence_transformers")
TOPICS = {
    "animals": ("cow", "cat", "dog", "duck", "sheep", "owl"),
    "weather": ("rain", "snow", "wind", "cloud", "frost", "storm"),
    "kitchen": ("bread", "cheese", "salt", "butter", "flour", "sugar"),
}
FILLER = ("the", "and", "of", "in", "old", "new", "near", "some", "there", "was")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILLER, *(word for words in TOPICS.values() for word in words)]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sentences(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts with a few words of one topic among filler."""
    draw, texts, labels = random.Random(seed), [], []
    for number in range(count):
        topic = list(TOPICS)[number % len(TOPICS)]
        words = [*draw.choices(TOPICS[topic], k=draw.randrange(1, 4)), *draw.choices(FILLER, k=draw.randrange(3, 9))]
        draw.shuffle(words)
        texts.append(" ".join(words))
        labels.append(topic)
    return texts, labels


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts with and without labels, and a tiny sentence encoder whose directions tell the topics a little."""
    folder = tmp_path_factory.mktemp("embeddings")
    for name, count, seed in (("train", 240, 0), ("test", 90, 1)):
        texts, labels = sentences(count, seed)
        pq.write_table(pa.table({"text": texts, "label": labels}), folder / f"{name}.parquet")
        pq.write_table(pa.table({"text": texts}), folder / f"{name}-bare.parquet")
    teacher(folder / "plain", WORDS, transformers.BertModel, layers=3, hidden=32, tokens=32)
    whole = library.SentenceTransformer(str(folder / "plain"), device="cpu")
    normalize = importlib.import_module("sentence_transformers.base.modules").Normalize()
    library.SentenceTransformer(modules=[*whole.children(), normalize], device="cpu").save_pretrained(str(folder / "teacher"))
    return folder


@pytest.fixture(scope="module")
def encoder(place: Path) -> SentenceEncoder:
    found = models.get("sentence_transformers", name_or_path=str(place / "teacher"))
    assert isinstance(found, SentenceEncoder)
    return found


def tokens(place: Path, texts: list[str]) -> dict[str, Tensor]:
    return dict(load_tokenizer(str(place / "teacher"))(texts, padding=True, return_tensors="pt"))


def encoded(folder: Path, texts: list[str]) -> Tensor:
    """What Sentence Transformers itself makes of the texts, without Limbeck."""
    return torch.tensor(library.SentenceTransformer(str(folder), device="cpu").encode(texts))


# --- the models ------------------------------------------------------------------------------------------------------


def test_a_sentence_encoder_over_tokens_says_what_it_encodes(place: Path, encoder: SentenceEncoder) -> None:
    texts, _ = sentences(9, 3)
    batch = tokens(place, texts)
    assert not encoder.training
    assert torch.allclose(encoder(**batch), encoded(place / "teacher", texts), atol=1e-6)
    assert torch.allclose(encoder(batch["input_ids"][:1, :4]).norm(), torch.tensor(1.0))
    states = Probe(encoder, ["hidden(-1)", "values(2)"])(batch)
    assert states["hidden(-1)"].shape == (*batch["input_ids"].shape, 32)
    plain = models.get("sentence_transformers", name_or_path=str(place / "plain"))
    hidden = transformers.AutoModel.from_pretrained(place / "plain")(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    assert torch.allclose(plain(**batch), (hidden * mask).sum(1) / mask.sum(1), atol=1e-6)  # the mean of what is real


def test_a_tokenizer_reads_what_its_model_reads(place: Path, tmp_path: Path) -> None:
    whole = library.SentenceTransformer(str(place / "teacher"), device="cpu")
    whole.max_seq_length = 9
    whole.save_pretrained(str(tmp_path))
    settings = json.loads((tmp_path / "sentence_bert_config.json").read_text())
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps(settings | {"max_seq_length": 9, "do_lower_case": True}))
    tokenizer = load_tokenizer(str(tmp_path))
    assert tokenizer.model_max_length == 9
    assert tokenizer.is_fast
    assert tokenizer.backend_tokenizer.normalizer.normalize_str("COW") == "cow"
    assert load_tokenizer(str(place / "plain")).model_max_length == 32


def test_dropout_is_on_in_training_only(place: Path, encoder: SentenceEncoder) -> None:
    batch = tokens(place, sentences(4, 5)[0])
    assert torch.equal(encoder(**batch), encoder(**batch))
    encoder.train()
    assert not torch.equal(encoder(**batch), encoder(**batch))
    encoder.eval()


def test_fewer_layers_keep_pooling_and_normalisation(place: Path, encoder: SentenceEncoder, tmp_path: Path) -> None:
    batch = tokens(place, sentences(5, 4)[0])
    before = encoder(**batch)
    student = from_teacher.get("init_from_teacher", teacher=encoder, layers=[0, 2])
    expected = init_from_teacher(encoder.transformer, [0, 2])(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    expected = nn.functional.normalize((expected * mask).sum(1) / mask.sum(1), dim=1)
    assert torch.allclose(student(**batch), expected, atol=1e-6)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1)
    assert torch.equal(encoder(**batch), before)  # nothing is shared
    models.save_model(student, None, tmp_path)
    assert torch.allclose(encoded(tmp_path, sentences(5, 4)[0]), student(**batch), atol=1e-6)


def test_another_width_is_told_to_the_pooling(place: Path, encoder: SentenceEncoder, tmp_path: Path) -> None:
    student = from_teacher.get("narrower", teacher=encoder, hidden=16)
    texts, _ = sentences(5, 4)
    models.save_model(student, None, tmp_path)
    assert json.loads((tmp_path / "1_Pooling" / "config.json").read_text())["embedding_dimension"] == 16
    assert encoded(tmp_path, texts).shape == (5, 16)
    assert torch.allclose(encoded(tmp_path, texts), student(**tokens(place, texts)), atol=1e-6)
    dense = importlib.import_module("sentence_transformers.base.modules").Dense(32, 8)
    whole = SentenceEncoder(
        library.SentenceTransformer(modules=[*encoder.sentence_transformer.children(), dense], device="cpu")
    )
    with pytest.raises(ValueError, match="Dense follows the network and has parameters of its width"):
        from_teacher.get("narrower", teacher=whole, hidden=16)


def test_a_static_student_is_made_once_and_copied(place: Path, encoder: SentenceEncoder) -> None:
    first, second = (static_student(encoder, dimensions=8) for _ in range(2))
    assert torch.equal(first.embedding.weight, second.embedding.weight)
    assert first.embedding.weight.data_ptr() != second.embedding.weight.data_ptr()
    static = static_embeddings(encoder.sentence_transformer, dimensions=8)
    texts, _ = sentences(5, 4)
    assert torch.allclose(first(**tokens(place, texts)), torch.tensor(static.encode(texts)), atol=1e-6)  # type: ignore[operator]
    assert static_student(encoder, dimensions=4).embedding.weight.shape[1] == 4
    with torch.no_grad():
        encoder.transformer.embeddings.word_embeddings.weight.mul_(2)
    changed = static_student(encoder, dimensions=8)
    with torch.no_grad():
        encoder.transformer.embeddings.word_embeddings.weight.div_(2)
    assert not torch.equal(changed.embedding.weight, first.embedding.weight)  # another teacher, another table
    with pytest.raises(ValueError, match="expected a sentence encoder"):
        static_student(nn.Linear(2, 2))


def test_what_cannot_be_loaded_says_why(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no sentence encoder '"):
        models.get("sentence_transformers", name_or_path=str(tmp_path / "nowhere"), local_files_only=True)
    with pytest.raises(ValueError, match="followed by pooling; the first module of this one is Linear"):
        SentenceEncoder(nn.Sequential(nn.Linear(2, 2)))
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    modules = [{"idx": 0, "name": "0", "path": "", "type": "own_code.Model"}]
    (foreign / "modules.json").write_text(json.dumps(modules))
    (foreign / "own_code.py").write_text("raise SystemExit('this must never run')")
    with pytest.raises(ValueError, match="own_code"):
        models.get("sentence_transformers", name_or_path=str(foreign))
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match=r"^sentence_transformers is not installed: pip install sentence-transformers$"):
        models.get("sentence_transformers", name_or_path=str(place / "teacher"))


# --- the recipes -----------------------------------------------------------------------------------------------------


def recipe(place: Path, kind: str = "", **changes: Any) -> Recipe:
    training = {"epochs": 4, "batch_size": 32, "optimizer": {"name": "adamw", "lr": 5e-3}, "trackers": [], "threads": 1}
    content: dict[str, Any] = {
        "name": "tiny-embeddings",
        "task": "sentence_embeddings",
        "data": {
            "train": str(place / f"train{kind}.parquet"),
            "test": str(place / f"test{kind}.parquet"),
            "validation": 0.2,
            "max_length": 32,
        },
        "teacher": {"model": "sentence_transformers", "args": {"name_or_path": str(place / "teacher")}},
        "student": {"from_teacher": {"init_from_teacher": {"layers": [0, 2]}}},
        "terms": [
            {"embedding_cosine": {"student": "student", "teacher": "teacher"}},
            {"embedding_mse": {"weight": 10}},
            {"rkd_distance": {"student": "student", "teacher": "teacher", "weight": 0.1}},
            {"hidden_states": {"student": "hidden(-1)", "teacher": "hidden(-1)", "weight": 0.1}},
        ],
        "training": training,
        "control": False,
    }
    return Recipe.from_dict(content | changes)


def same_without_limbeck(folder: Path, place: Path) -> None:
    texts, _ = sentences(12, 9)
    ours = models.load_model(folder)
    assert not ours.training
    with torch.no_grad():
        found = ours(**tokens(place, texts))
    assert torch.allclose(found, encoded(folder, texts), atol=1e-6)
    assert np.unique(found.numpy().round(4), axis=0).shape[0] > 6


def test_without_labels_from_recipe_to_verdict(place: Path, tmp_path: Path) -> None:
    verdict = runs.run_recipe(recipe(place, "-bare"), tmp_path / "run", progress=False)
    assert verdict.metric.name == "neighbour_overlap"
    assert verdict.teacher is not None
    assert verdict.teacher.metric == 1
    assert verdict.teacher.ci95 == (1, 1)
    assert 0.3 < verdict.student.metric < 1  # 0.11 by chance
    assert verdict.retention == pytest.approx(verdict.student.metric)
    assert verdict.control is None
    assert models.load_model(tmp_path / "run" / "student").transformer.config.num_hidden_layers == 2
    same_without_limbeck(tmp_path / "run" / "student", place)
    told = runs.evaluate_run(tmp_path / "run", str(place / "test-bare.parquet")).as_json()  # beside its teacher, built again
    assert told["neighbour_overlap"] == pytest.approx(verdict.student.metric)


def test_a_control_without_labels_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="set control: false"):
        runs.run_recipe(recipe(place, "-bare", control=True), tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "recipe.yaml").exists()
    with pytest.raises(ValueError, match="set metric: neighbour_overlap"):
        runs.run_recipe(recipe(place, "-bare", metric="knn_accuracy"), tmp_path / "run", progress=False)
    with pytest.raises(RecipeError, match="is no metric of sentence_embeddings"):
        recipe(place, metric="accuracy")


def test_a_static_student_in_half_precision_is_loaded_as_it_is_saved(encoder: SentenceEncoder, tmp_path: Path) -> None:
    """The default of the method `static_embeddings`."""
    student = static_student(encoder, dimensions=8, half=True)
    assert not torch.equal(student.embedding.weight, student.embedding.weight.half().float())
    assert saving_problem(student, tmp_path / "model") is None
    assert torch.equal(models.load_model(tmp_path / "model").embedding.weight, student.embedding.weight.half().float())


def test_a_static_student_with_labels_and_a_control(place: Path, tmp_path: Path) -> None:
    changes = {
        "student": {"from_teacher": {"static_embeddings": {"dimensions": 16, "sif": 1e-2}}},
        "terms": [{"rkd_cosine": {"weight": 10}}, "similarity_preserving"],
        "control": True,
    }
    verdict = runs.run_recipe(recipe(place, **changes), tmp_path / "run", progress=False)
    assert verdict.metric.name == "probe_accuracy"
    assert verdict.classes == sorted(TOPICS)
    assert verdict.gain is not None
    assert verdict.teacher is not None
    assert verdict.control is not None
    assert verdict.control.metric > 0.9  # each word tells its topic, and a table can learn that
    assert verdict.student.metric > 0.6
    assert verdict.result.agreement is not None
    assert (tmp_path / "run" / "student" / "config.json").exists()
    student = models.load_model(tmp_path / "run" / "student")
    assert isinstance(student, StaticEncoder)
    assert not any("linear" in name for name, _ in student.named_parameters())  # the control's layer is no part of a student
    same_without_limbeck(tmp_path / "run" / "student", place)
    told = runs.evaluate_run(tmp_path / "run", str(place / "test.parquet")).as_json()
    assert told["probe_accuracy"] == pytest.approx(verdict.student.metric)


@pytest.mark.parametrize("way", [{"static_embeddings": {"dimensions": 8}}, {"init_from_teacher": {"layers": [0, 2]}}])
def test_a_student_with_the_words_of_its_texts(place: Path, tmp_path: Path, way: dict[str, Any]) -> None:
    student = {"from_teacher": way, "vocabulary": {"min_count": 30}}  # not all of them: some words become unknown
    wanted = recipe(place, student=student, terms=["embedding_cosine"], metric="probe_accuracy")
    verdict = runs.run_recipe(wanted, tmp_path / "run", progress=False)
    ours = models.load_model(tmp_path / "run" / "student")
    rows = max(parameter.shape[0] for name, parameter in ours.named_parameters() if "embedding" in name)
    assert rows < len(WORDS)
    told = runs.evaluate_run(
        tmp_path / "run", str(place / "test.parquet")
    ).as_json()  # by its own tokenizer, without the teacher
    assert told["probe_accuracy"] == pytest.approx(verdict.student.metric)
    texts, _ = sentences(12, 9)
    read = load_tokenizer(str(tmp_path / "run" / "student"))(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(ours(**read), encoded(tmp_path / "run" / "student", texts), atol=1e-6)


def test_labels_are_read_only_where_they_judge(place: Path, tmp_path: Path) -> None:
    data = {
        "train": {"path": str(place / "train.parquet"), "label": False},
        "test": str(place / "test.parquet"),
        "max_length": 32,
    }
    verdict = runs.run_recipe(recipe(place, data=data, metric="knn_accuracy"), tmp_path / "run", progress=False)
    assert verdict.metric.name == "knn_accuracy"
    assert verdict.teacher is not None
    assert 0.34 < verdict.student.metric <= 1
