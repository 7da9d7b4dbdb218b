"""What stands behind a verdict: bins, quadrants, and the items that were chosen to be looked at."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from limbeck.data import Items
from limbeck.evaluation import Example, Predictions, Verdict, examples
from limbeck.evaluation.examples import IMAGE_BUDGET, PER_KIND, calibration, changes, thumbnail
from limbeck.evaluation.model_cost import expected_calibration_error, softmax
from limbeck.evaluation.truncate import LENGTH

from .conftest import make
from .report import made


@pytest.fixture(scope="module")
def answers():
    return made.answers(5)


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_bins_hold_every_answer_and_give_the_calibration_error(answers):
    found = calibration(answers)
    assert set(found) == {"teacher", "control", "student"}
    assert sum(bin.count for bin in found["student"]) == 3 * 600
    total = sum(bin.count for bin in found["teacher"])
    error = sum(bin.count * abs(bin.confidence - bin.accuracy) for bin in found["teacher"]) / total
    teacher = answers["teacher"]
    assert error == pytest.approx(expected_calibration_error(softmax(teacher.logits[0]), teacher.labels))


def test_quadrants_agree_with_counting_one_by_one(answers):
    found = changes(answers)
    student, control, teacher = (answers[arm].right() for arm in ("student", "control", "teacher"))
    for arm, other in (("control", control), ("teacher", np.repeat(teacher, 3, axis=0))):
        pairs = list(zip(student.ravel(), other.ravel(), strict=True))
        counted = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
        assert [*found[arm].model_dump().values()] == counted
        assert found[arm].total == 3 * 600


def test_gain_is_what_was_gained_less_what_was_forgot(answers):
    verdict, found = made.verdict(), changes(answers)["control"]
    assert verdict.gain.value == pytest.approx((found.student_only - found.other_only) / found.total)


def test_chosen_items_are_what_their_kind_says(answers):
    chosen = examples(answers, made.pictures(600), made.SEEDS, place=1)
    labels = answers["student"].labels
    for kind in ("disagreement", "forgot", "gained"):
        own = [example for example in chosen if example.kind == kind]
        assert 0 < len(own) <= PER_KIND
        assert len({example.item for example in own}) == len(own)
    for example in chosen:
        row, said = example.item, {arm: answer.label for arm, answer in example.answers.items()}
        assert (example.seed, example.label) == (1, labels[row])
        assert 1 <= example.seeds <= 3
        assert said["student"] == answers["student"].logits[1, row].argmax()
        assert said["teacher"] == answers["teacher"].logits[0, row].argmax()
        if example.kind == "disagreement":
            assert said["student"] != said["teacher"]
        else:
            assert (said["student"] == example.label) == (example.kind == "gained")
            assert (said["control"] == example.label) == (example.kind == "forgot")


def test_the_surest_come_first_and_classes_take_turns():
    labels = np.array([0] * 20 + [1, 2])
    teacher = np.zeros((1, 22, 3), np.float32)
    teacher[0, np.arange(22), labels] = 8
    student = np.zeros((1, 22, 3), np.float32)
    student[0, np.arange(22), (labels + 1) % 3] = np.linspace(1, 6, 22)  # wrong everywhere, later items surer
    found = examples({"teacher": Predictions(teacher, labels), "student": Predictions(student, labels)}, made.texts(22), (0,))
    assert [example.item for example in found] == [21, 20, 19, 18, 17, 16, 15, 14]
    assert {example.kind for example in found} == {"disagreement"}


def test_the_choice_does_not_depend_on_anything_but_the_answers(answers):
    first, second = (examples(answers, made.pictures(600), made.SEEDS) for _ in range(2))
    assert first == second


def test_texts_are_cut_and_other_inputs_are_named(answers):
    found = examples(answers, made.texts(600), made.SEEDS)
    assert all(example.text and len(example.text) <= LENGTH and example.image is None for example in found)
    tensors = examples(answers, Items.from_tensors(torch.rand(600, 7)), made.SEEDS)
    assert tensors[0].input == "tensor [7]"
    words = {"input_ids": torch.zeros(600, 9, dtype=torch.int64), "attention_mask": torch.ones(600, 9)}
    assert examples(answers, Items.from_tensors(words), made.SEEDS)[0].input == "input_ids [9], attention_mask [9]"


def test_scores_without_answers_leave_nothing_to_look_at():
    scores = {arm: Predictions(scores=np.random.default_rng(0).random((1, 30))) for arm in ("control", "student")}
    assert (calibration(scores), changes(scores), examples(scores, made.texts(30), (0,))) == ({}, {}, [])


def test_a_teacher_of_other_classes_is_not_disagreed_with(answers):
    wider = Predictions(
        np.pad(answers["teacher"].logits, ((0, 0), (0, 0), (0, 2)), constant_values=-9), answers["teacher"].labels
    )
    assert {example.kind for example in examples({**answers, "teacher": wider}, made.texts(600), made.SEEDS)} == {
        "forgot",
        "gained",
    }


@settings(max_examples=15, deadline=None)
@given(channels=st.sampled_from([1, 2, 3, 5]), height=st.integers(1, 300), width=st.integers(1, 300), seed=st.integers(0, 9))
def test_any_picture_fits_its_budget(channels, height, width, seed):
    noise = torch.randint(0, 256, (channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    picture = decoded(thumbnail(noise))
    assert max(picture.size) <= 96
    assert len(base64.b64decode(thumbnail(noise).partition(",")[2])) <= IMAGE_BUDGET


def test_a_small_picture_is_kept_pixel_by_pixel():
    grey = torch.arange(64, dtype=torch.uint8).view(1, 8, 8) * 3
    assert np.array_equal(np.asarray(decoded(thumbnail(grey))), grey[0].numpy())
    colours = torch.rand(3, 8, 8)
    shown = np.asarray(decoded(thumbnail(colours)).convert("RGB")) / 255
    assert np.allclose(shown, colours.permute(1, 2, 0), atol=0.003)
    standardised = torch.randn(1, 8, 8) * 3
    standardised[0, 0, 0] = float("nan")
    assert np.ptp(np.asarray(decoded(thumbnail(standardised)))) == 255


def test_examples_stay_small_in_the_file():
    noise = torch.randint(0, 256, (600, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    chosen = examples(made.answers(5), Items.from_tensors(noise), made.SEEDS)
    assert len(chosen) == 3 * PER_KIND
    assert len(json.dumps([example.model_dump() for example in chosen], indent=2)) < 200_000


def test_only_pictures_are_taken_for_pictures():
    fields = {"kind": "gained", "item": 0, "seed": 0, "seeds": 1, "label": 0, "answers": {}}
    for image in ("https://example.org/a.png", 'data:image/png;base64,AA" onload="x', "data:image/svg+xml;base64,AAAA"):
        with pytest.raises(ValidationError):
            Example(**fields, image=image)


def test_a_verdict_of_before_still_loads(tmp_path):
    path = tmp_path / "verdict.json"
    make().save(path)
    content = json.loads(path.read_text())
    for name in ("items", "calibration", "changes", "examples", "term_graph"):
        del content[name]
    path.write_text(json.dumps(content))
    verdict = Verdict.load(path)
    assert (verdict.items, verdict.calibration, verdict.changes, verdict.examples, verdict.term_graph) == (
        None,
        {},
        {},
        [],
        None,
    )
