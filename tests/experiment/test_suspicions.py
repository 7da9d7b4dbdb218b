"""What is said of data, teachers and BatchNorm before or after a training, so that nothing goes wrong in silence."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from limbeck import Distillation, Optimizer, Term, frozen
from limbeck.data import Items
from limbeck.engine import steps
from limbeck.experiment.checks import try_teachers, warn_of_batch_statistics, warn_of_guessing
from limbeck.objectives import SoftTargets
from limbeck.tasks import Classification, MultilabelClassification, Regression
from tests.experiment.tiny_classifiers import QUICK

DRAW = torch.Generator().manual_seed(0)
X = torch.rand(512, 6, generator=DRAW)
Y = (X[:, 0] > 0.5).long()


def sign(factor: float = 20.0) -> nn.Module:
    """A teacher that is right on every item, or with a negative factor on none."""
    model = nn.Linear(6, 2)
    with torch.no_grad():
        model.weight.zero_()
        model.weight[1, 0], model.bias[:] = factor, torch.tensor([0.0, -factor / 2])
    return model


# --- data ------------------------------------------------------------------------------------------------------------


def test_items_in_training_and_test_data_are_counted_and_named() -> None:
    train, test = Items.from_tensors(X[:400], Y[:400]), Items.from_tensors(X[396:], Y[396:])
    job = Distillation(nn.Linear(6, 2), sign(), training=QUICK)
    with pytest.warns(UserWarning, match=r"test data: 4 of 116 items are in the training data too \(rows 0, 1, 2, …\)"):
        job.check(train, test=test)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        job.check(train, test=test.select(torch.arange(4, 116)))


def test_a_test_set_in_another_range_is_refused() -> None:
    train, job = Items.from_tensors(X[:400], Y[:400]), Distillation(nn.Linear(6, 2), sign(), training=QUICK)
    said = r"test data: its values go from 0\.\d* to 25\d.* and those of the training data from \S+ to 0\.99"
    with pytest.raises(ValueError, match=said):
        job.check(train, test=Items.from_tensors(X[400:] * 255, Y[400:]))
    with pytest.raises(ValueError, match="test data: its values go from"):
        job.check(Items.from_tensors(X[:400] * 255, Y[:400]), test=Items.from_tensors(X[400:], Y[400:]))
    job.check(train, test=Items.from_tensors(X[400:] * 2, Y[400:]))  # a little more is no other unit


def test_uint8_images_and_floats_in_unit_range_are_of_one_range() -> None:
    images = torch.randint(0, 256, (64, 1, 4, 4), generator=DRAW, dtype=torch.uint8)
    train = Items.from_tensors(images[:32], torch.arange(32) % 2)
    test = Items.from_tensors(images[32:].float() / 255, torch.arange(32) % 2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    Distillation(model, nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), training=QUICK).check(train, test=test)


def test_images_of_another_size_are_said() -> None:
    train, test = (Items.from_tensors(torch.rand(8, 1, size, size), torch.arange(8) % 2) for size in (8, 16))
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 2))
    job = Distillation(model, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)), training=QUICK)
    with pytest.warns(UserWarning, match="test data: its images are 16×16, and those of the training data 8×8; give both"):
        job.check(train, test=test)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_found_at_loading_with_their_row(value: float) -> None:
    inputs = X.clone()
    inputs[37, 2] = value
    with pytest.raises(ValueError, match=rf"inputs: row 37 holds {value:g}; expected finite numbers"):
        Items.from_tensors(inputs, Y)
    with pytest.raises(ValueError, match=r"inputs 'wave': row 37 holds"):
        Items.from_tensors({"wave": inputs}, Y)


def test_sparse_ids_are_refused_before_anything_is_allocated() -> None:
    ids = torch.tensor([1_000_000_007, 5, 1_000_000_007, 999_999_999])
    with pytest.raises(ValueError, match=r"row 0 holds 1000000007, and there are 3 different labels.*as names"):
        Items.from_tensors(X[:4], ids)
    assert Items.from_tensors(X[:4], torch.tensor([0, 21_000, 3, 4])).classes == 21_001  # few items of many classes


# --- outputs ---------------------------------------------------------------------------------------------------------


class Through(nn.Module):
    def __init__(self, last: nn.Module, outputs: int = 2) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(6, outputs), last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(x))


def test_probabilities_in_place_of_logits_are_named() -> None:
    items = Items.from_tensors(X, Y)
    with pytest.warns(
        UserWarning, match=r"teacher: its outputs are probabilities \(each row sums to 1\).*leave its softmax out"
    ):
        Distillation(nn.Linear(6, 2), Through(nn.Softmax(-1)), training=QUICK).check(items)
    hot = Items.from_tensors(X, torch.stack([Y, 1 - Y], 1), classes=2)
    with pytest.warns(UserWarning, match=r"teacher: its outputs .* all lie between 0 and 1.*leave its sigmoid out"):
        Distillation(nn.Linear(6, 2), Through(nn.Sigmoid()), task=MultilabelClassification(), training=QUICK).check(hot)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Distillation(nn.Linear(6, 2), Through(nn.LogSoftmax(-1)), training=QUICK).check(items)


def test_one_logit_for_two_classes_is_refused_with_the_way_to_do_it() -> None:
    items = Items.from_tensors(X, Y)
    for model in (nn.Linear(6, 1), Through(nn.Flatten(0), 1)):
        with pytest.raises(ValueError, match=r"one logit z for class 1 of two returns both: torch\.stack\(\[torch\.zeros_like"):
            Classification().check(model, items, "student")
    hot = Items.from_tensors(X, torch.stack([Y, 1 - Y], 1), classes=2)
    with pytest.raises(ValueError, match="several labels of an item are task: multilabel_classification"):
        Classification().check(nn.Linear(6, 2), hot, "student")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (Y[:, None], r"labels\.flatten\(\)"),
        (nn.functional.one_hot(Y, 3), r"labels\.argmax\(1\)"),
        (Y.float(), r"labels\.long\(\)"),
        (Y + 0.5, r"the labels are no classes$"),
    ],
)
def test_labels_of_another_shape_or_type_are_told_with_the_remedy(labels: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classification().check(nn.Linear(6, 2), Items.from_tensors(X, labels), "student")


class Complex(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).to(torch.complex64)


def test_complex_outputs_are_no_logits() -> None:
    with pytest.raises(ValueError, match="Complex returned complex numbers; classification needs logits"):
        Classification().check(Complex(6, 2), Items.from_tensors(X, Y), "teacher")


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (Y * 0 + 1, ["low", "high"], r"all 512 labels are of class 1 \('high'\), so that there is nothing to tell apart"),
        (Y + 1, None, "labels go from 1 to 2, and classes are numbered from 0.*models have 3 outputs; subtract 1"),
    ],
)
def test_training_labels_of_one_class_and_those_from_1_are_said(labels: Tensor, names: list[str] | None, message: str) -> None:
    items = Items.from_tensors(X, labels, class_names=names)
    assert items.classes is not None
    job = Distillation(nn.Linear(6, items.classes), nn.Linear(6, items.classes), training=QUICK)
    with pytest.warns(UserWarning, match=message):
        job.check(items)


def test_a_data_set_of_one_class_is_refused_where_models_have_one_output() -> None:
    job = Distillation(nn.Linear(6, 1), nn.Linear(6, 1), training=QUICK)
    with (
        pytest.warns(UserWarning, match="all 512 labels are of class 0, so that there is nothing to tell apart"),
        pytest.raises(ValueError, match="training data: the student outputs one class, whose softmax is 1 for every item"),
    ):
        job.check(Items.from_tensors(X, Y * 0))


# --- teachers --------------------------------------------------------------------------------------------------------


def test_a_teacher_below_guessing_is_said_before_the_training_with_its_answers() -> None:
    items = Items.from_tensors(X, Y, class_names=["low", "high"])
    job = Distillation(nn.Linear(6, 2), sign(-20.0), training=QUICK)
    with pytest.warns(
        UserWarning, match=r"right on 0 of 500 items .* fewer than guessing reaches .*(0→1|1→0).*0: low, 1: high"
    ):
        job.fit(items)
    with pytest.warns(UserWarning, match="no more than guessing reaches"):
        warn_of_guessing(Classification(), Constant(), items, "test data")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_guessing(Classification(), sign(), items, "test data")
        warn_of_guessing(Classification(), None, items, "test data")


def test_a_teacher_that_the_run_has_trained_is_to_be_trained_longer() -> None:
    job = Distillation(nn.Linear(6, 2), Constant(), training=QUICK)
    job.experiment.trained_first = frozenset({"teacher"})
    with pytest.warns(UserWarning, match=r"no more than guessing reaches .*The run has trained it: train it longer"):
        try_teachers(job.experiment, Items.from_tensors(X, Y))


def test_a_teacher_of_numbers_that_is_no_better_than_their_mean_is_said() -> None:
    items = Items.from_tensors(X, 30 + X[:, 0])
    right = nn.Linear(6, 1)
    with torch.no_grad():
        right.weight.zero_()
        right.weight[0, 0], right.bias[:] = 1, 30
    job = Distillation(nn.Linear(6, 1), nn.Linear(6, 1), task=Regression(), training=QUICK)
    with pytest.warns(UserWarning, match=r"squared error on 500 items of the data is .* in the unit of the labels"):
        try_teachers(job.experiment, items)
    job.experiment.trained_first = frozenset({"teacher"})
    with pytest.warns(UserWarning, match=r"The run has trained it: train it longer .*, or scale the labels"):
        try_teachers(job.experiment, items)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_guessing(Regression(), right, items, "data")


def test_each_of_several_teachers_is_tried(recwarn: pytest.WarningsRecorder) -> None:
    items = Items.from_tensors(X, Y, classes=2)
    actors = {"teachers.a": frozen(sign()), "teachers.b": frozen(Constant()), "teachers.c": frozen(sign(-20.0))}
    terms = [Term(SoftTargets(), teacher={"ensemble": {"of": "teachers.*"}})]
    Distillation(nn.Linear(6, 2), actors=actors, terms=terms, training=QUICK).fit(items)
    said = [str(one.message) for one in recwarn if "guessing reaches" in str(one.message)]
    assert [one.split(":")[0] for one in said] == ["teacher 'teachers.b'", "teacher 'teachers.c'"]


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([1.0, 0.0]).expand(len(x), 2)


# --- BatchNorm -------------------------------------------------------------------------------------------------------


def normalised(momentum: float) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16, momentum=momentum), nn.ReLU(), nn.Linear(16, 2))


def test_running_statistics_that_lag_behind_are_said_after_the_training() -> None:
    items = Items.from_tensors(100 * X + 300, Y)
    training = replace(QUICK, length=steps(60), optimizer=Optimizer("adam", lr=0.03, schedule="cosine"))
    with pytest.warns(UserWarning, match=r"student, arm \w+, seed 0: .*% of 512 training items .* the former lag behind"):
        Distillation(normalised(0.001), None, terms=hard(), training=training).fit(items)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        items = Items.from_tensors(X, Y)
        model = Distillation(normalised(0.1), None, terms=hard(), training=training).fit(items)
        before = [buffer.clone() for buffer in model.buffers()]
        warn_of_batch_statistics(Classification(), model, items, "student")
    assert all(torch.equal(one, other) for one, other in zip(before, model.buffers(), strict=True))


def hard() -> list:
    return Classification().hard_terms()
