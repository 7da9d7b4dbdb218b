"""What recipes say of texts: packages that bring a model, smaller vocabularies, altered copies, shared teachers, stages."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from limbeck import runs
from limbeck.models import load_model
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe import Recipe, RecipeError, expand_variables
from tests.runs.test_text_runs import place, recipe, teacher  # noqa: F401

transformers = pytest.importorskip("transformers")


def quick(place: Path, **changes: Any) -> Recipe:  # noqa: F811
    """The tiny text recipe with a teacher that is not trained, and terms that need no tokens."""
    training = {"epochs": 1, "batch_size": 32, "optimizer": {"name": "adamw", "lr": 1e-3}, "trackers": [], "threads": 1}
    teacher = {"model": "transformers", "args": {"name_or_path": str(place / "teacher"), "num_labels": 2}}
    return recipe(place, training=training, teacher=teacher, terms=["soft_targets"], control=False, **changes)


def data(place: Path, **more: Any) -> dict[str, Any]:  # noqa: F811
    return {"train": str(place / "train.parquet"), "test": str(place / "test.parquet"), "max_length": 32, **more}


def test_a_package_brings_a_model() -> None:
    import torch

    assert Path(expand_variables("${package:torch}/nn", "teacher.args")) == Path(torch.__file__).parent / "nn"
    with pytest.raises(RecipeError, match=r"teacher\.args: .*no_such_model.*pip install no-such-model"):
        expand_variables("${package:no_such_model}/model", "teacher.args")


def test_a_student_keeps_the_words_of_the_training_texts(place: Path, tmp_path: Path) -> None:  # noqa: F811
    wanted = quick(place, student={"from_teacher": {"init_from_teacher": {"layers": [0, 3]}}, "vocabulary": True})
    everything, seen, _, test = wanted.load()
    assert seen is everything
    words = wanted.reader.vocabulary
    assert words is not None
    whole = load_tokenizer(str(place / "teacher"))
    verdict = runs.run_recipe(wanted, tmp_path / "run", progress=False)
    student = load_model(tmp_path / "run" / "student")
    assert student.config.vocab_size == len(words.rows) <= len(whole)
    own = load_tokenizer(str(tmp_path / "run" / "student"))
    assert own.tokenize("the film was great") == whole.tokenize("the film was great")
    moved = tmp_path / "moved.parquet"
    shutil.copy(place / "test.parquet", moved)
    told = runs.evaluate_run(tmp_path / "run", str(moved)).as_json()  # by the student's own tokenizer
    assert told["accuracy"] == pytest.approx(verdict.student.metric)
    assert len(test) == told["items"]


def test_a_vocabulary_has_no_more_than_its_size(place: Path, tmp_path: Path) -> None:  # noqa: F811
    student = {"from_teacher": {"init_from_teacher": {"layers": [0, 3]}}, "vocabulary": 20}
    wanted = quick(place, student=student)
    assert wanted.student.vocabulary is not None
    assert wanted.student.vocabulary.size == 20
    runs.run_recipe(wanted, tmp_path / "run", progress=False)
    assert load_model(tmp_path / "run" / "student").config.vocab_size == 20


def test_a_vocabulary_needs_a_student_made_from_the_teacher(place: Path) -> None:  # noqa: F811
    with pytest.raises(RecipeError, match="it is cut from the teacher's"):
        quick(place, student={"model": "mlp", "args": {"inputs": 4}, "vocabulary": True})


@pytest.mark.parametrize("shared", [False, True])
def test_a_factorised_student_from_a_recipe(place: Path, tmp_path: Path, shared: bool) -> None:  # noqa: F811
    way = {"factorised": {"embedding": 8, "layers": [0, 3], "shared": shared}}
    runs.run_recipe(quick(place, student={"from_teacher": way}), tmp_path / "run", progress=False)
    student = load_model(tmp_path / "run" / "student")
    assert type(student).__name__ == f"{'Albert' if shared else 'Electra'}ForSequenceClassification"
    assert (student.config.embedding_size, student.config.num_hidden_layers) == (8, 2)


def test_altered_copies_are_for_the_student_alone(place: Path, tmp_path: Path) -> None:  # noqa: F811
    augment = {"copies": 2, "minimum": -1, "cache": str(tmp_path / "altered")}
    wanted = quick(place, data=data(place, augment=augment), student=cut(place))
    everything, seen, _, _ = wanted.load()
    assert len(everything) == 400
    assert 400 < len(seen) <= 1200
    assert seen.target is not None
    assert everything.target is not None
    assert seen.target[: len(everything)].equal(everything.target)
    assert not seen.storage.input_names or seen.storage.aligned  # other words, but none that the student lacks
    assert len(list((tmp_path / "altered").iterdir())) == 1
    again = quick(place, data=data(place, augment=augment), student=cut(place)).load()[1]
    assert again.keys.equal(seen.keys)
    verdict = runs.run_recipe(wanted, tmp_path / "run", progress=False)
    assert verdict.cost is not None
    assert verdict.cost.student_steps == len(seen) // 32  # what is left over of an epoch is dropped


def cut(place: Path) -> dict[str, Any]:  # noqa: F811
    return {"from_teacher": {"init_from_teacher": {"layers": [0, 3]}}, "vocabulary": True}


def test_candidates_must_come_from_somewhere(place: Path) -> None:  # noqa: F811
    with pytest.raises(RecipeError, match="words need candidates"):
        quick(place, data=data(place, augment={"neighbours": False}))


def test_a_shared_teacher_is_trained_once(place: Path, tmp_path: Path) -> None:  # noqa: F811
    plain = recipe(place, control=False)
    training = plain.model_dump(mode="json")["teacher"] | {"shared": True}
    training["training"]["epochs"] = 1
    first = recipe(place, teacher=training, control=False, terms=["soft_targets"])
    runs.run_recipe(first, tmp_path / "first", progress=False)
    (shared,) = (tmp_path / "teachers").iterdir()
    before = (shared / "model.safetensors").stat().st_mtime_ns
    slower = {**training, "training": training["training"] | {"log_every": 7}}  # nothing that changes the weights
    runs.run_recipe(recipe(place, teacher=slower, control=False), tmp_path / "second", progress=False)
    assert [path.name for path in (tmp_path / "teachers").iterdir()] == [shared.name]
    assert (shared / "model.safetensors").stat().st_mtime_ns == before
    ours, theirs = (load_model(tmp_path / name / "teacher").state_dict() for name in ("first", "second"))
    assert all(tensor.equal(theirs[name]) for name, tensor in ours.items())
    longer = {**training, "training": training["training"] | {"epochs": 2}}
    runs.run_recipe(recipe(place, teacher=longer, control=False), tmp_path / "third", progress=False)
    assert len(list((tmp_path / "teachers").iterdir())) == 2


def test_stages_freeze_scale_rates_and_train_an_assistant(place: Path, tmp_path: Path) -> None:  # noqa: F811
    smaller = {"narrower": {"layers": 2, "hidden": 16, "initialise": "truncate"}}
    between = {"from_teacher": {"narrower": {"layers": 4, "hidden": 16, "initialise": "truncate"}}}
    hidden = {"hidden_states": {"student": "assistant:hidden(-1)", "teacher": "teacher:hidden(-1)"}}
    stages = [
        {"terms": [hidden], "trains": "assistant", "actors": {"assistant": between}, "steps": 4},
        {
            "terms": [{"hidden_states": {"student": "hidden(-1)", "teacher": "assistant:hidden(-1)"}}],
            "steps": 4,
            "freeze": ["bert.embeddings"],
            "lr_scale": {"bert.encoder.layer.0": 0.1},
            "data": {"path": str(place / "train.parquet"), "label": False},
        },
        {"terms": ["soft_targets"], "steps": 4, "unfreeze": [""]},
    ]
    content = quick(place, student={"from_teacher": smaller}).model_dump(mode="json", exclude={"terms"}) | {"stages": stages}
    verdict = runs.run_recipe(Recipe.from_dict(content), tmp_path / "run", progress=False)
    assert verdict.cost is not None
    assert verdict.cost.student_steps == 12
    again = Recipe.read(tmp_path / "run" / "recipe.yaml")
    assert again.stages[1].lr_scale == {"bert.encoder.layer.0": 0.1}
    assert again.stages[0].actors["assistant"].from_teacher == between["from_teacher"]


def test_a_student_by_another_name_reads_by_its_own_tokenizer(place: Path, tmp_path: Path) -> None:  # noqa: F811
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "great", "film", "the"]
    teacher(tmp_path / "other", words, transformers.BertForSequenceClassification, layers=1, hidden=16, tokens=32)
    named = {"model": "transformers", "args": {"name_or_path": str(tmp_path / "other")}}
    items = quick(place, student=named).items(quick(place).data.test)
    assert items.storage.input_names == ("student", "teacher")
    same = quick(place, student={"model": "transformers", "args": {"name_or_path": str(place / "teacher")}})
    assert same.items(same.data.test).storage.input_names == ()
