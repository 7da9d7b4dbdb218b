"""A recipe of each paradigm: it fits the data and names who learns from whom; what is missing is said with its flag."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import torch
from rich.console import Console

from limbeck import models
from limbeck.cli.init.command import init
from limbeck.cli.init.create import create_recipe
from limbeck.cli.init.options import InitOptions, ModelOptions
from limbeck.cli.init.paradigms import NAMES, find_paradigm
from limbeck.cli.init.questions import InitError, Questions
from limbeck.data import load_items
from limbeck.recipe import Federation, Recipe, read_yaml
from limbeck.recipe.dataset_reader import DatasetReader
from limbeck.runs import run_recipe
from limbeck.utils.registry import UnknownNameError
from tests.data.loading.files import parquet, png

WIDE, NARROW = ModelOptions("tiny_cnn", {"width": 8, "size": 8}), ModelOptions("tiny_cnn", {"width": 4, "size": 8})
MLP = ModelOptions("mlp", {"hidden": [4]})
FLAT = """from torch import nn


def flat(classes=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
"""
SHORT = ("training.epochs=1", "training.batch_size=40", "seeds=[0]", "export=null", "training.threads=1")


@pytest.fixture(autouse=True)
def _as_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models.registry, "_parts", dict(models.registry._parts))  # what plugins add goes again
    return


def create(interactive: bool = False, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    create_recipe(Path("r.yaml"), InitOptions(**{"train": "digits", **options}), Questions(interactive), console)
    return Path("r.yaml").read_text()


def run(tmp_path: Path, *changes: str, train: bool = True) -> dict[str, Any]:
    """Trains by the recipe for one epoch on 120 images, where it trains on any; returns the results of the verdict."""
    few = ("data.test.limit=60", "targets={}", *(("data.train.limit=120",) if train else ()))
    short = SHORT if train else [change for change in SHORT if "epochs" not in change]
    recipe = Recipe.read("r.yaml", [*short, *few, *changes])
    return dict(run_recipe(recipe, tmp_path / "run", progress=False).results)


def test_peers(tmp_path: Path) -> None:
    text = create(paradigm="mutual", peers=[WIDE, NARROW])
    recipe = Recipe.read("r.yaml")
    assert list(recipe.actors) == ["peers.a", "peers.b"]
    assert recipe.teacher is None
    ((name, arguments),) = (recipe.method or {}).items()
    assert (name, arguments["views"]) == ("mutual_learning", {"peers.a": "default", "peers.b": "view_b"})
    assert isinstance(recipe.training.views, dict)
    assert set(recipe.training.views) == {"default", "view_b"}
    other = text.replace("  mutual_learning:", "  # mutual_learning:").replace("  # kdcl:", "  kdcl:")
    Path("r.yaml").write_text(other)
    assert set(run(tmp_path)) == {"peers.a", "peers.b", "ensemble"}


def test_exits_where_the_network_has_layers_and_generations_where_it_has_none(tmp_path: Path) -> None:
    create(paradigm="self", student=WIDE)
    recipe = Recipe.read("r.yaml")
    assert recipe.student.exits == ["layer1"]
    assert recipe.method == {"be_your_own_teacher": {"features": "layer3"}}
    assert set(run(tmp_path)) == {"student", "exits.layer1", "early"}
    Path("r.yaml").unlink()
    create(
        paradigm="self_distillation",
        student=ModelOptions("vit_tiny", {"dim": 8, "depth": 3, "heads": 2, "patch": 4, "size": 8}),
    )
    assert Recipe.read("r.yaml").student.exits == ["blocks.0", "blocks.1"]
    Path("r.yaml").unlink()
    Path("flat.py").write_text(FLAT)
    create(paradigm="self", student=ModelOptions("flat.py:flat"))
    recipe = Recipe.read("r.yaml")
    assert (recipe.student.exits, recipe.method, recipe.control) == ([], {"born_again": {"generations": 3}}, True)


def test_what_the_recipe_of_exits_offers_in_its_place_fits_as_it_says() -> None:
    text = create(paradigm="self", student=WIDE)
    offers = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# method:")]
    assert [next(iter(read_yaml(line)["method"])) for line in offers] == ["born_again", "ps_kd", "dlb", "mean_teacher"]
    for line in offers:
        content = {**read_yaml(text), **read_yaml(line), "control": True}
        del content["student"]["exits"]
        if (needs := line.partition("needs training: ")[2]) != "":
            content["training"] |= read_yaml(needs)
        assert Recipe.from_dict(content).method is not None


def test_several_teachers(tmp_path: Path) -> None:
    models.save_weights(models.get("tiny_cnn", width=8, size=8), tmp_path / "a.safetensors")
    trained = ModelOptions("tiny_cnn", {"width": 8, "size": 8}, "a.safetensors")
    text = create(paradigm="multi-teacher", teachers=[trained, WIDE], student=NARROW)
    recipe = Recipe.read("r.yaml")
    assert [(name, spec.weights, spec.training is not None) for name, spec in recipe.actors.items()] == [
        ("teachers.a", "a.safetensors", False),
        ("teachers.b", None, True),
    ]
    assert recipe.method == {"ca_mkd": {"hint": 0}}
    assert recipe.targets["compression"] > 2  # of all teachers together
    assert "--set actors.teachers.b.training.epochs=1" in text
    assert set(run(tmp_path, "actors.teachers.b.training.epochs=1")) == {"student"}


def test_layers_of_other_architectures(tmp_path: Path) -> None:
    transformer = ModelOptions("vit_tiny", {"dim": 8, "depth": 4, "heads": 2, "patch": 4, "size": 8})
    text = create(paradigm="heterogeneous", teachers=[WIDE], student=transformer)
    pairs = {"blocks.1": "layer1", "blocks.3": "layer3"}
    (method,) = (Recipe.read("r.yaml").method or {}).values()
    assert (method["features"], method["order"]) == (pairs, "one_shot")
    assert "# evaluate: {student: student:head}" in text  # of the exits that stand there as a comment
    Path("r.yaml").unlink()
    create(paradigm="heterogeneous", teachers=[WIDE], student=ModelOptions("mlp", {"inputs": 64, "hidden": [16, 8]}))
    recipe = Recipe.read("r.yaml")
    assert recipe.student.exits == ["layers.0.0", "layers.1.0"]  # no maps and no tokens: compared in logit space
    assert (recipe.method, recipe.evaluate) == ({"ofa_kd": {"gamma": 1}}, {"student": "student:linear"})
    assert set(run(tmp_path, "teacher.training.epochs=1")) == {"student"}


def test_two_fields_of_an_item(tmp_path: Path) -> None:
    for split, count in (("train", 40), ("test", 20)):
        items = load_items("digits", split=split).select(torch.arange(count))
        images = [png(pixels[0].numpy()) for pixels in items.fetch(torch.arange(count))]
        vectors = [[float(label), 1.0, row / count] for row, label in enumerate(items.target.tolist())]
        parquet(tmp_path / f"{split}.parquet", picture=images, vector=vectors, label=items.target.tolist())
    student = ModelOptions("mlp", {"hidden": [8]})
    create(paradigm="cross-modal", train="train.parquet", reads="picture:image,vector:array", teachers=[WIDE], student=student)
    recipe = Recipe.read("r.yaml")
    assert recipe.data.train is not None
    assert recipe.data.train.modalities == {"picture": "image", "vector": "array"}
    assert recipe.teacher is not None
    assert (recipe.teacher.reads, recipe.student.reads) == ("picture", "vector")
    assert set(run(tmp_path, "teacher.training.epochs=1", "data.train.limit=40", "data.test.limit=20")) == {"student"}


def test_a_trained_student_in_a_new_domain(tmp_path: Path) -> None:
    models.save_weights(models.get("tiny_cnn", width=8, size=8), tmp_path / "old.safetensors")
    old = replace(WIDE, weights="old.safetensors")
    create(paradigm="forgetting", student=old)
    recipe = Recipe.read("r.yaml")
    assert (recipe.student.weights, recipe.teacher) == ("old.safetensors", None)
    assert recipe.method == {"learning_without_forgetting": {}}
    assert set(run(tmp_path)) == {"student"}


def test_a_teacher_alone(tmp_path: Path) -> None:
    """Without training data: the test data says what inputs are like, and the teacher comes with weights."""
    models.save_weights(models.get("tiny_cnn", **WIDE.args), tmp_path / "t.safetensors")
    teacher = replace(WIDE, weights=str(tmp_path / "t.safetensors"))
    create(paradigm="data-free", train=None, test="digits", teachers=[teacher], student=NARROW)
    recipe = Recipe.read("r.yaml")
    assert recipe.data.train is None
    assert recipe.method == {"dfq": {"shape": [1, 8, 8], "batch_size": 128}}
    assert set(run(tmp_path, "training.steps=2", train=False)) == {"student"}


def test_a_teacher_that_is_trained_first_and_vectors_without_data(tmp_path: Path) -> None:
    values = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0)).tolist()
    for name, rows in zip(("train", "test"), values, strict=True):
        columns = {f"x{number}": [row[number] for row in rows] for number in range(3)}
        parquet(tmp_path / f"{name}.parquet", **columns, label=[row % 2 for row in range(40)])
    teacher, student = ModelOptions("mlp", {"hidden": [8]}), ModelOptions("mlp", {"hidden": [4]})
    create(paradigm="data_free", train=str(tmp_path / "train.parquet"), teachers=[teacher], student=student)
    recipe = Recipe.read("r.yaml")
    assert recipe.teacher is not None
    assert recipe.teacher.training is not None
    ((name, arguments),) = (recipe.method or {}).items()
    assert (name, arguments["low"], arguments["high"]) == ("zero_shot_kd", -2, 2)


def test_clients_that_keep_their_data(tmp_path: Path) -> None:
    text = create(paradigm="federated", student=NARROW)
    assert text.startswith("# Run with: limbeck federate r.yaml")
    job = Federation.read("r.yaml")
    items = job.simulated(0)
    assert len(items.clients) == job.federated.clients == 5
    assert items.public is not None
    assert job.control
    assert "training.epochs" not in text


@pytest.mark.parametrize(("file", "name"), [("my first one.yaml", "my-first-one"), ("--a: b.yaml", "a-b"), ("é.yaml", "é")])
def test_a_recipe_is_named_after_its_file_as_far_as_a_name_can_be(file: str, name: str) -> None:
    options = InitOptions(train="digits", paradigm="self", student=NARROW)
    create_recipe(Path(file), options, Questions(False), Console(file=io.StringIO(), width=200))
    assert Recipe.read(file).name == name


def test_data_of_a_federation_are_read_once_for_all_seeds_and_may_be_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    load = DatasetReader.raw_items
    monkeypatch.setattr(DatasetReader, "raw_items", lambda self, spec: read.append(spec.split) or load(self, spec))
    create(paradigm="federated", student=NARROW, mirror=True, formats=["none"])
    assert read == ["train", "test"]
    job = Federation.read("r.yaml")
    assert job.training.views == [{"horizontal_flip": {}}]
    first, second = (job.simulated(seed).clients for seed in job.seeds[:2])
    assert [each.keys.tolist() for each in first] != [each.keys.tolist() for each in second]


def test_weights_by_item(tmp_path: Path) -> None:
    text = create(paradigm="dynamic", teachers=[WIDE], student=NARROW)
    assert Recipe.read("r.yaml").method == {"easy_by_labels": {"by": "difficulty"}}
    for line in [line for line in text.splitlines() if line.startswith("  # ") and "{" in line and "labels" not in line[:12]]:
        name = line.removeprefix("  # ").partition(":")[0]
        Path("r.yaml").write_text(text.replace("  easy_by_labels:", "  # easy:").replace(line, line.replace("# ", "", 1)))
        assert next(iter(Recipe.read("r.yaml").method or {})) == name  # each that is named as a comment fits in its place
    assert set(run(tmp_path, "teacher.training.epochs=1")) == {"student"}


def test_the_nearest_names_of_an_unknown_paradigm() -> None:
    with pytest.raises(UnknownNameError, match="unknown --paradigm 'mutal'; nearest: mutual"):
        create(paradigm="mutal")
    assert find_paradigm("multi_teacher").name == "multi-teacher"  # as `limbeck methods --paradigm` says


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"paradigm": "mutual"}, "--peer is given not at all, and --paradigm mutual needs two peers or more"),
        ({"paradigm": "mutual", "peers": [WIDE]}, "--peer is given once"),
        ({"paradigm": "multi-teacher", "teachers": [WIDE]}, "--teacher is given once, and --paradigm multi-teacher needs two"),
        ({"paradigm": "mutual", "teachers": [WIDE]}, "--teacher: --paradigm mutual .* takes --peer; leave --teacher out"),
        ({"paradigm": "self", "student": WIDE, "reads": "image,audio"}, "--reads: --paradigm self"),
        ({"paradigm": "self"}, "--student is missing"),
        ({"paradigm": "dynamic", "features": True}, "--features: --paradigm dynamic decides what is compared"),
        ({"paradigm": "cross-modal", "teachers": [WIDE]}, "--reads is missing"),
        ({"paradigm": "cross-modal", "teachers": [WIDE], "reads": "image"}, "--reads is 'image'; expected two fields"),
        ({"paradigm": "cross-modal", "teachers": [WIDE], "reads": "image,audio"}, "digits are images alone"),
        ({"paradigm": "cross-modal", "train": "a.csv", "reads": "text,image"}, "--reads: text: .* written by hand"),
        ({"paradigm": "forgetting", "student": WIDE}, "--student-weights is missing"),
        ({"teachers": [WIDE], "student": replace(NARROW, weights="a.pt")}, "--student-weights: only --paradigm forgetting"),
        (
            {"paradigm": "heterogeneous", "teachers": [WIDE], "student": ModelOptions("flat.py:flat")},
            "no layers are found in flat",
        ),
        ({"paradigm": "data-free", "train": None, "test": "digits", "teachers": [WIDE]}, "--teacher-weights is missing"),
        ({"paradigm": "federated", "teachers": [WIDE]}, "--teacher: --paradigm federated .* takes --student"),
        (
            {"paradigm": "federated", "student": NARROW, "formats": ["onnx"]},
            "--export: `limbeck federate` writes no files .* limbeck export runs/NAME",
        ),
        (
            {"paradigm": "mutual", "peers": [WIDE, WIDE], "student": ModelOptions(None, {"width": 3})},
            "--student: --paradigm mutual .* takes --peer",
        ),
        (
            {"paradigm": "data-free", "teachers": [replace(WIDE, weights="t.pt")], "student": NARROW, "mirror": True},
            "--mirror: with --paradigm data-free nobody learns from images of the data",
        ),
        (
            {"train": "t.csv", "test": "t.csv", "teachers": [MLP], "student": MLP, "mirror": True},
            "--mirror: the data has no images",
        ),
        ({"paradigm": "self", "student": NARROW, "train": "t/"}, "--train: there is no file t; nearest: t.pt, t.csv"),
        ({"paradigm": "self", "student": NARROW, "train": "no/such/a.csv"}, "--train: there is no folder no/such"),
        ({"paradigm": "self", "student": NARROW, "name": "a b"}, "--name is 'a b'; use letters, digits"),
        ({"peers": [WIDE, WIDE]}, "--peer: --paradigm offline .* choose one of: mutual"),
    ],
)
def test_what_a_paradigm_needs_and_what_it_has_no_use_for(options: dict[str, Any], said: str) -> None:
    Path("flat.py").write_text(FLAT)
    Path("t.csv").write_text("x,z,label\n" + "".join(f"{row},{row % 3},{row % 2}\n" for row in range(40)))
    torch.save(models.get("tiny_cnn", **WIDE.args).state_dict(), "t.pt")
    with pytest.raises(InitError, match=said):
        create(**options)
    assert not Path("r.yaml").exists()


def test_peers_are_asked_for_until_no_more_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("typer.prompt", lambda text, **options: asked.append(text) or next(answers))
    monkeypatch.setattr("typer.confirm", lambda text, **options: next(answers) == "y")
    Path("flat.py").write_text(FLAT)
    answers = iter(["flat.py:flat", "tiny_cnn", "", "n", "peers", "none"])
    create(interactive=True, paradigm="mutual")
    assert [spec.model for spec in Recipe.read("r.yaml").actors.values()] == ["flat.py:flat", "tiny_cnn"]
    assert [text.split(" (")[0] for text in asked[:3]] == ["Peer 1", "Peer 2", "Peer 3"]


def test_the_help_names_every_paradigm() -> None:
    hint = get_type_hints(init, include_extras=True)["paradigm"]
    assert [name for name in NAMES if name not in hint.__metadata__[0].help] == []
