"""The items chosen as examples."""

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from limbeck.data import Items
from limbeck.evaluation import Example, Predictions, build_verdict, choose_examples
from limbeck.evaluation.examples import PER_KIND
from limbeck.evaluation.truncate import LENGTH

from .report import made


@pytest.fixture(scope="module")
def answers():
    return made.answers(5)


def test_chosen_items_are_what_their_kind_says(answers):
    chosen = choose_examples(answers, made.pictures(600), made.SEEDS, index=1)
    labels = answers["student"].labels
    for kind in ("disagreement", "forgot", "gained"):
        own = [example for example in chosen if example.kind == kind]
        assert 0 < len(own) <= PER_KIND
        assert len({example.item for example in own}) == len(own)
    for example in chosen:
        row, said = example.item, {arm: answer.label for arm, answer in example.predictions.items()}
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
    found = choose_examples(
        {"teacher": Predictions(teacher, labels), "student": Predictions(student, labels)}, made.texts(22), (0,)
    )
    assert [example.item for example in found] == [21, 20, 19, 18, 17, 16, 15, 14]
    assert {example.kind for example in found} == {"disagreement"}


def test_the_choice_does_not_depend_on_anything_but_the_answers(answers):
    first, second = (choose_examples(answers, made.pictures(600), made.SEEDS) for _ in range(2))
    assert first == second


def test_texts_are_cut_and_other_inputs_are_named(answers):
    found = choose_examples(answers, made.texts(600), made.SEEDS)
    assert all(example.text and len(example.text) <= LENGTH and example.image is None for example in found)
    tensors = choose_examples(answers, Items.from_tensors(torch.rand(600, 7)), made.SEEDS)
    assert tensors[0].input == "tensor [7]"
    words = {"input_ids": torch.zeros(600, 9, dtype=torch.int64), "attention_mask": torch.ones(600, 9)}
    assert choose_examples(answers, Items.from_tensors(words), made.SEEDS)[0].input == "input_ids [9], attention_mask [9]"


def test_scores_without_answers_leave_nothing_to_look_at():
    scores = {arm: Predictions(scores=np.random.default_rng(0).random((1, 30))) for arm in ("control", "student")}
    found = build_verdict(scores, name="x", task="t", seeds=[0], examples=choose_examples(scores, made.texts(30), (0,)))
    assert ([arm.calibration for arm in found.arms.values()], found.result.changes, found.result.examples) == ([[], []], {}, [])


def test_a_teacher_of_other_classes_is_not_disagreed_with(answers):
    wider = Predictions(
        np.pad(answers["teacher"].logits, ((0, 0), (0, 0), (0, 2)), constant_values=-9), answers["teacher"].labels
    )
    assert {example.kind for example in choose_examples({**answers, "teacher": wider}, made.texts(600), made.SEEDS)} == {
        "forgot",
        "gained",
    }


def test_examples_stay_small_in_the_file():
    noise = torch.randint(0, 256, (600, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    chosen = choose_examples(made.answers(5), Items.from_tensors(noise), made.SEEDS)
    assert len(chosen) == 3 * PER_KIND
    assert len(json.dumps([example.model_dump() for example in chosen], indent=2)) < 200_000


def test_only_pictures_are_taken_for_pictures():
    fields = {"kind": "gained", "item": 0, "seed": 0, "seeds": 1, "label": 0, "predictions": {}}
    for image in ("https://example.org/a.png", 'data:image/png;base64,AA" onload="x', "data:image/svg+xml;base64,AAAA"):
        with pytest.raises(ValidationError):
            Example(**fields, image=image)


def test_examples_of_a_result_are_about_its_own_arms():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    rates = {"teacher": 0.9, **made.PEERS, "b/noise": 0.7}
    found = {arm: Predictions(made.logits(labels, 3, 1, rate, rng), labels) for arm, rate in rates.items()}
    first, b = (choose_examples(found, made.pictures(600), (0,), result=result) for result in (None, "b"))
    assert first == choose_examples(found, made.pictures(600), (0,), result="a")
    assert first != b
    for example in b:
        assert set(example.predictions) == {"teacher", "student", "control"}
        expected = int(found["b/student"].logits[0, example.item].argmax())
        assert example.predictions["student"].label == expected
