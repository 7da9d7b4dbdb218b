"""`limbeck init`: a recipe that fits, by flags or by questions, and nothing written where something is wrong."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from limbeck import models
from limbeck.cli.init.create import create_recipe
from limbeck.cli.init.options import InitOptions, ModelOptions
from limbeck.cli.init.questions import InitError, Questions
from limbeck.recipe import Recipe
from tests import own

Begin = Callable[..., str]
TINY = ModelOptions("tiny_cnn")


@pytest.fixture(autouse=True)
def _as_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models.registry, "_parts", dict(models.registry._parts))  # what plugins add goes again
    return


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def start(said: io.StringIO) -> Begin:
    def run(interactive: bool = False, force: bool = False, **options: object) -> str:
        console = Console(file=said, width=200)
        return create_recipe(Path("r.yaml"), InitOptions(**options), Questions(interactive), console, force=force)  # type: ignore[arg-type]

    return run


def test_own_model_and_images_to_a_recipe_by_flags(tmp_path: Path, start: Begin, said: io.StringIO) -> None:
    own.models(tmp_path)
    own.photos(tmp_path)
    command = start(
        train="photos",
        teachers=[ModelOptions("my_models.py:Teacher")],
        student=ModelOptions("my_models.py:make_student"),
        features=True,
        formats=["onnx"],
    )
    assert shlex.split(command) == ["limbeck", "distill", "r.yaml", "--plugin=my_models.py"]
    recipe = Recipe.read("r.yaml")
    assert (recipe.data.train.path, recipe.data.test.path) == ("photos/train", "photos/test")
    assert recipe.teacher.model == "my_models.py:Teacher"
    assert recipe.teacher.training is not None
    assert recipe.student.model == "my_models.py:make_student"
    pairs = {(term.student, term.teacher) for term in recipe.terms if term.objective == "attention_transfer"}
    assert pairs == {("stage1", "stage1"), ("stage2", "stage2")}
    assert recipe.targets["compression"] <= 3.7
    assert recipe.export is not None
    text = Path("r.yaml").read_text()
    fields = [line for line in text.splitlines() if line.strip().startswith(("control:", "seeds:", "validation:", "test:"))]
    assert all("#" in line for line in fields)  # each is explained
    assert command in text
    assert "10 classes, 1×8×8" in said.getvalue()


def test_a_student_of_a_tenth_is_suggested_for_each_kind_of_input(tmp_path: Path, start: Begin) -> None:
    for name, teacher, args in (
        ("digits", "tiny_cnn", {"width": 32, "size": 8}),
        ("vectors.json", "mlp", {"inputs": 3, "hidden": [200, 200]}),
        ("photos", "resnet_cifar", {"depth": 56, "channels": 1}),
    ):
        if name == "vectors.json":
            rows = [{"x": [0.1 * row, 1.0, 2.0], "label": row // 2 % 2} for row in range(80)]
            name = "train.json"
            for first, file in enumerate(("train.json", "test.json")):
                Path(file).write_text(json.dumps(rows[first::2]))
        if name == "photos":
            own.photos(tmp_path, per_class=2, sides=(32, 40))
        start(train=name, teachers=[ModelOptions(teacher, args)], force=True)
        recipe = Recipe.read("r.yaml")
        assert 5 <= recipe.targets["compression"] <= 20, recipe.student
        if name == "photos":
            assert (recipe.data.train.size, recipe.data.test.size) == (32, 32)
        assert [term.objective for term in recipe.terms] == ["hard_targets", "soft_targets"]
        taps = [text for text in Path("r.yaml").read_text().splitlines() if text.startswith("  # - attention_transfer")]
        assert bool(taps) == (name != "train.json")  # suggested; whoever wants them takes the mark away
        Path("r.yaml").write_text(Path("r.yaml").read_text().replace("  # - attention", "  - attention"))
        assert len(Recipe.read("r.yaml").terms) == 2 + len(taps)


def test_questions_are_asked_on_a_terminal(start: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["digits", "tiny_cnn", "", "", "n", "y", "mine", "none"])
    asked: list[str] = []

    def prompt(text: str, **options: object) -> object:
        asked.append(text)
        return next(answers) or options.get("default")

    monkeypatch.setattr("typer.prompt", prompt)
    monkeypatch.setattr("typer.confirm", lambda text, **options: asked.append(text) or next(answers) == "y")
    start(interactive=True)
    recipe = Recipe.read("r.yaml")
    assert recipe.name == "mine"
    assert recipe.export is None
    assert [term.objective for term in recipe.terms] == ["hard_targets", "soft_targets"]  # features: n
    assert any("horizontal_flip" in view for view in recipe.training.views)  # mirror: y
    assert asked[0].startswith("Training data")
    assert any("nearest to 1/10 of the teacher" in text and " of its size)" in text for text in asked)


def test_a_teacher_that_is_fed_wrongly_shows(tmp_path: Path, start: Begin, said: io.StringIO) -> None:
    models.save_weights(models.get("tiny_cnn", width=16, size=8), tmp_path / "untrained.safetensors")
    args = {"width": 16, "size": 8}
    start(train="digits", teachers=[ModelOptions("tiny_cnn", args, "untrained.safetensors")])
    assert "no better than guessing" in said.getvalue()
    assert Recipe.read("r.yaml").teacher.training is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--train is missing"),
        ({"train": "digits"}, "--teacher is missing"),
        ({"train": "digits", "teachers": [ModelOptions("tiny_cmn")]}, "unknown model 'tiny_cmn'; nearest: tiny_cnn"),
        ({"train": "digits", "teachers": [ModelOptions("no.py:f")]}, "--plugin no.py: there is no such Python file"),
        ({"train": "digits", "teachers": [ModelOptions("my_models.py")]}, "which of its models"),
        ({"train": "digits", "teachers": [ModelOptions("my_models.py:teacher")]}, "nearest: my_models.py:Teacher"),
        ({"train": "digits", "teachers": [ModelOptions("tiny_cnn", {}, "no.safetensors")]}, "no.safetensors"),
        ({"train": "digits", "teachers": [TINY], "student": ModelOptions("resnet_cifar", {"depth": 9})}, "depth"),
        ({"train": "digits", "teachers": [TINY, TINY]}, "--teacher is given 2 times, and --paradigm offline has one teacher"),
        ({"train": "photos/train", "test": "photos/other.csv", "teachers": [TINY]}, "photos/other.csv"),
        ({"train": "digits", "teachers": [TINY], "name": "a b"}, "name"),
        ({"train": "digits", "teachers": [TINY], "formats": ["onxx"]}, "export.formats"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    tmp_path: Path, start: Begin, options: dict[str, object], message: str
) -> None:
    own.models(tmp_path)
    if str(options.get("train", "")).startswith("photos"):
        own.photos(tmp_path, per_class=1)
    with pytest.raises((ValueError, OSError)) as error:
        start(**options)
    assert message in str(error.value)
    assert not Path("r.yaml").exists()


def test_a_recipe_is_not_overwritten_unless_asked(start: Begin) -> None:
    Path("r.yaml").write_text("mine: 1\n")
    with pytest.raises(InitError, match="--force"):
        start(train="digits", teachers=[TINY])
    assert Path("r.yaml").read_text() == "mine: 1\n"
    start(train="digits", teachers=[TINY], name="off", force=True)
    assert Recipe.read("r.yaml").name == "off"  # no truth value of YAML


def test_texts_are_refused_with_what_writes_their_recipes(tmp_path: Path, start: Begin) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("text,label\ngood film,1\nbad film,0\n")
    with pytest.raises(InitError, match=r"test.csv: it holds texts, .* docs/guide/text.md"):
        start(train="train.csv", teachers=[ModelOptions("mlp")])
    assert not (tmp_path / "r.yaml").exists()
