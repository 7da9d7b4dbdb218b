"""What users get wrong, and what their data gets wrong: one clear error each, before anything is trained or lost."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from limbeck import Distillation, Ensemble, Term, Training, frozen, models, objectives
from limbeck.data import Items, load_items
from limbeck.engine import NonFiniteError, Settings, steps
from limbeck.engine.checkpoint import Checkpoints
from limbeck.recipe import Recipe
from limbeck.runs import run_recipe
from tests import tiny

QUICK = Training(
    length=steps(8), batch_size=32, settings=Settings(progress=False, trackers=(), checkpoint_every=2, log_every=2)
)


@pytest.fixture(scope="module")
def train() -> Items:
    return load_items("digits", split="train")


def cnn(classes: int = 10, width: int = 4) -> nn.Module:
    return models.get("tiny_cnn", width=width, size=8, classes=classes, channels=1)


def check(train: Items, student: nn.Module, teacher: nn.Module, *terms: Term, **others: Any) -> None:
    """What `fit` does first; nothing is trained."""
    Distillation(student, teacher, terms=list(terms) or None, training=QUICK).check(train, **others)


# --- models and data -------------------------------------------------------------------------------------------------


def test_labels_beyond_the_classes(train: Items) -> None:
    with pytest.raises(ValueError, match=r"training data: labels go up to 9, but the student outputs 5 classes.*classes: 10"):
        check(train, cnn(5), cnn(5))
    assert train.target is not None
    few = train.select(train.target < 5)
    with pytest.raises(ValueError, match=r"test data: labels go up to 9, but the student outputs 5"):
        check(few, cnn(5), cnn(5), test=train)
    with pytest.raises(ValueError, match=r"validation data: labels go up to 9"):
        check(few, cnn(5), cnn(5), validation=train)


def test_teacher_and_student_of_different_classes(train: Items) -> None:
    with pytest.raises(ValueError, match=r"soft_targets.*student outputs 10 classes and the teacher 12"):
        check(train, cnn(), cnn(12))
    check(train, cnn(), cnn(12), Term(objectives.Hint(), student="layer1", teacher="layer1"))  # features may be compared


def test_data_without_labels_or_of_another_shape(train: Items) -> None:
    bare = Items.from_tensors(torch.rand(50, 1, 8, 8))
    with pytest.raises(ValueError, match=r"training data: the student needs labels.*label"):
        check(bare, cnn(), cnn())
    with pytest.raises(ValueError, match=r"test data: the student needs labels"):
        check(train, cnn(), cnn(), test=bare)
    flat = Items.from_tensors(torch.rand(50, 64), torch.arange(50) % 10)
    with pytest.raises(ValueError, match=r"test data: the student \(\w+\) cannot read it: .*64"):
        check(train, cnn(), cnn(), test=flat)


class Sick(nn.Module):
    """Gives NaN: always, or from the n-th call on."""

    def __init__(self, well: int = 0) -> None:
        super().__init__()
        self.left, self.model = well, cnn()

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        logits: Tensor = self.model(x)
        return logits * (1.0 if self.left >= 0 else float("nan"))


def test_a_teacher_of_several_that_fails_is_named(train: Items) -> None:
    actors = {"teachers.a": frozen(cnn()), "teachers.b": frozen(nn.Sequential(nn.Flatten(), nn.Linear(17, 10)))}
    several = Ensemble("teachers.*")
    plan = {"actors": actors, "terms": [Term(objectives.get("soft_targets"), teacher=several)]}
    with pytest.raises(ValueError, match=r"actor 'teachers.b' \(Sequential\) cannot read inputs"):
        Distillation(cnn(), **plan).check(train)
    with pytest.raises(ValueError, match=r"the teacher \(EnsembleModule\) cannot read it: .*raised by 'teachers.b' \(Seq"):
        Distillation(cnn(), **plan, evaluate={"student": "student", "teacher": several}).check(train)


def test_a_teacher_that_gives_nan(train: Items) -> None:
    with pytest.raises(ValueError, match=r"the teacher gives NaN or infinity on the training data; check its weights"):
        check(train, cnn(), Sick())


def test_a_teacher_that_gives_nan_later(train: Items, tmp_path: Path) -> None:
    teacher = Sick(well=11)
    job = Distillation(cnn(), teacher, training=QUICK, control=False, folder=tmp_path)
    with pytest.raises((ValueError, RuntimeError), match=r"soft_targets.*(NaN|infinity)"):
        job.fit(train)
    kept = Checkpoints(tmp_path / "checkpoints" / "seed-0-student" / "checkpoints").newest()
    assert kept is not None
    assert all(bool(tensor.isfinite().all()) for tensor in kept["actors"]["student"].values())


def test_a_loss_that_becomes_nan_keeps_the_last_good_checkpoint(train: Items, tmp_path: Path) -> None:
    class Exploding(objectives.HardTargets):
        calls = 0

        def compare(self, student: Any, teacher: Any, **others: Any) -> Tensor:
            self.calls += self.training
            return super().compare(student, teacher, **others) * (float("inf") if self.calls > 5 else 1.0)

    terms = [Term(Exploding(), weight=0.5), Term(objectives.SoftTargets())]
    job = Distillation(cnn(), cnn(), terms=terms, training=QUICK, control=False, folder=tmp_path)
    with pytest.raises(NonFiniteError, match=r"term 'hard_targets' became NaN or infinite at step 6.*checkpoint.*smaller"):
        job.fit(train)
    kept = Checkpoints(tmp_path / "checkpoints" / "seed-0-student" / "checkpoints")
    assert kept.found()[-1].name == "step-000000004"
    state = kept.newest()
    assert state is not None
    assert all(bool(tensor.isfinite().all()) for tensor in state["actors"]["student"].values())


# --- terms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "said"),
    [
        (lambda: Term(objectives.Hint(), student="logits", teacher="layer1"), r"hint.*\(2, 10\).*\(2, 4, "),
        (
            lambda: Term(objectives.AttentionTransfer(), student="layer1", teacher="logits"),
            r"\(2, 4, 8, 8\) and teacher \(2, 10\): attention_transfer compares signals of 4 axes",
        ),
        (lambda: Term(objectives.AttentionTransfer(), student="logits", teacher="logits"), r"attention_transfer.*\(2, 10\)"),
        (lambda: Term(objectives.Hint(), student="layr1", teacher="layer1"), r"unknown tap 'layr1'.*nearest: layer1"),
        (lambda: Term(objectives.Hint(), student="layer1", teacher="layer1", adapter="convv"), r"'convv'.*nearest: conv"),
    ],
)
def test_taps_of_the_wrong_kind(train: Items, term: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(train, cnn(), cnn(), term())


def test_a_part_to_freeze_that_is_not_there(train: Items, tmp_path: Path) -> None:
    stages = [{"terms": ["soft_targets"], "steps": 2, "freeze": ["layr1"]}]
    with pytest.raises(ValueError, match=r"'layr1'.*nearest: layer1"):
        run_recipe(Recipe.from_dict({**tiny.content(), "terms": [], "stages": stages}), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("student.args.widht=3", r"model 'tiny_cnn'.*widht"),
        ("student.args.classes=12", r"student outputs 12 classes and the teacher 10"),
        ("terms.1={hint: {student: logits, teacher: layer1}}", r"hint.*\(2, 10\)"),
        ("terms.1={hint: {student: layr1, teacher: layer1}}", r"unknown tap 'layr1'"),
        ("data.test={path: digits, split: tset}", r"split='tset': digits has the splits train and test"),
    ],
)
def test_a_recipe_is_refused_before_its_teacher_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, said: str
) -> None:
    monkeypatch.setattr("limbeck.runs.teacher.train_teacher", lambda *_, **__: pytest.fail("the teacher was trained first"))
    with pytest.raises(ValueError, match=said):
        run_recipe(tiny.recipe(change), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


# --- files -----------------------------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("owned"),))


def test_a_pickle_as_weights_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "weights.pt"
    torch.save({"state_dict": Evil()}, weights)
    changes = ["teacher.training=null", f"teacher.weights={weights}"]
    with pytest.raises(ValueError, match=r"weights.pt.*could run code.*convert it once"):
        run_recipe(tiny.recipe(*changes), tmp_path / "run", progress=False)
    weights.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"weights.pt"):
        run_recipe(tiny.recipe(*changes), tmp_path / "run", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]  # neither a run nor what the pickle wanted
    torch.save(cnn(width=8).state_dict(), weights)
    run_recipe(tiny.recipe(*changes, "control=false"), tmp_path / "run", progress=False)


def test_images_that_do_not_decode(tmp_path: Path) -> None:
    for label in range(3):
        (tmp_path / "data" / f"{label}").mkdir(parents=True)
        for number in range(6):
            Image.new("L", (8, 8), 40 * label + number).save(tmp_path / "data" / f"{label}" / f"{number}.png")
    (tmp_path / "data" / "1" / "3.png").write_bytes(b"no image")
    where = f"{{path: {tmp_path}/data}}"
    changes = [f"data.train={where}", f"data.test={where}", "data.validation=0", "control=false"]
    changes += ["data.allow_shared_items=true"]
    with pytest.raises(ValueError, match=r"1 of 18 images do not decode, the first at .*1/3.png.*on_error: skip"):
        run_recipe(tiny.recipe(*changes), tmp_path / "run", progress=False)
    skipping = [f"data.{part}.on_error=skip" for part in ("train", "test")]
    with pytest.warns(UserWarning, match=r"1 of 18 images do not decode.*1/3.png"):
        verdict = run_recipe(
            tiny.recipe(*changes, *skipping, "training.batch_size=8", "teacher.training.batch_size=8"), tmp_path / "run",
            progress=False,
        )  # fmt: skip
    assert verdict.student.per_class is not None
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["epoch"] == 6  # 12 steps of 8 among 17 images: two in each epoch
