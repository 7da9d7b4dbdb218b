"""A Trainer with terms computes what a criterion computes; evaluation, precision and its own loss do not change."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("transformers")

from transformers import Trainer, TrainerCallback

from limbeck import Criterion, Term, objectives
from limbeck.core.schedules import Linear
from limbeck.integrations.transformers import DistillationMixin, DistillationTrainer
from tests.integrations.tiny import (
    SGD,
    batch,
    bert,
    everywhere,
    hinton,
    llama,
    logged,
    same,
    texts,
    trainer,
    weights,
    writings,
)


def test_the_loss_is_the_formula(tmp_path):
    made = trainer(tmp_path, terms=[hinton(0.3)], labels=0.7)
    given = batch(texts(8))
    student, teacher = copy.deepcopy(made.model), made.teacher
    loss = made.compute_loss(made.model.train(), given)
    loss.backward()
    read = {name: given[name] for name in ("input_ids", "attention_mask")}
    s, t = student(**read).logits, teacher(**read).logits.detach()
    soft = 4 * F.kl_div((s / 2).log_softmax(1), (t / 2).softmax(1), reduction="batchmean")
    expected = 0.7 * F.cross_entropy(s, given["labels"]) + 0.3 * soft
    torch.testing.assert_close(loss, expected)
    expected.backward()
    for ours, theirs in zip(made.model.parameters(), student.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)
    assert all(p.grad is None for p in teacher.parameters())


def test_the_terms_are_those_of_a_criterion(tmp_path):
    made = trainer(tmp_path)
    given = batch(texts(8))
    alone = Criterion(everywhere(), made.model, made.teacher, example=given, seed=0)
    alone.load_state_dict(made.criterion.state_dict())
    loss, outputs = made.compute_loss(made.model.train(), given, return_outputs=True)
    torch.testing.assert_close(loss, 0.5 * outputs.loss + alone(given)["loss"])
    torch.testing.assert_close(outputs.loss, F.cross_entropy(outputs.logits, given["labels"]))


def test_the_student_runs_once_a_batch_and_the_teacher_in_evaluation_mode(tmp_path):
    made = trainer(tmp_path, teacher=bert(24, 2, seed=1).train(), max_steps=3)
    runs, modes = [], []
    made.criterion  # noqa: B018  the trial run on two items is over
    made.model.register_forward_hook(lambda *_: runs.append(1))
    made.teacher.register_forward_hook(lambda module, *_: modes.append(module.training))
    made.train()
    assert len(runs) == 3
    assert modes == [False] * 3
    assert not any(p.requires_grad for p in made.teacher.parameters())


def test_the_log_holds_every_term(tmp_path):
    made = trainer(tmp_path, max_steps=4, logging_steps=2, gradient_accumulation_steps=2)
    made.train()
    first, second = logged(made)
    for line in (first, second):
        terms = 0.5 * line["loss_soft_targets"] + line["loss_hidden_states"] + 2 * line["loss_attention_scores"]
        assert line["loss"] == pytest.approx(0.5 * line["loss_labels"] + terms, rel=1e-4)
    assert first != second


@pytest.mark.parametrize("size", [4, 2])
def test_accumulation_gives_the_weights_of_the_whole_batch(tmp_path, size):
    whole, pieces = (
        trainer(tmp_path, **SGD, per_device_train_batch_size=n, gradient_accumulation_steps=8 // n) for n in (8, size)
    )
    for made in (whole, pieces):
        made.train()
    same(weights(pieces), weights(whole), rtol=0, atol=1e-6)
    for one, other in zip(logged(whole), logged(pieces), strict=True):
        assert {n: v for n, v in one.items() if "loss" in n} == pytest.approx(
            {n: other[n] for n in one if "loss" in n}, rel=1e-3
        )


def test_accumulation_counts_the_tokens_of_all_batches(tmp_path):
    found = []
    for size in (8, 2):
        options = {**SGD, "per_device_train_batch_size": size, "gradient_accumulation_steps": 8 // size}
        made = trainer(tmp_path, llama(16, 0), teacher=llama(24, 1), terms=[hinton()], data=writings(), **options)
        made.train()
        found.append(weights(made))
    same(*found, rtol=0, atol=1e-6)


def test_a_language_model_is_compared_where_it_predicts_a_labelled_token(tmp_path):
    made = trainer(tmp_path, llama(16, 0), teacher=llama(24, 1), terms=[hinton(1)], data=writings(), labels=0)
    given = batch(writings(4))
    loss = made.compute_loss(made.model.train(), given)
    read = {name: given[name] for name in ("input_ids", "attention_mask")}
    s, t = made.model(**read).logits / 2, made.teacher(**read).logits / 2
    each = 4 * F.kl_div(s.log_softmax(-1), t.softmax(-1), reduction="none").sum(-1)
    counted = given["labels"][:, 1:] != -100
    torch.testing.assert_close(loss, each[:, :-1][counted].mean())


def test_a_batch_without_a_mask_counts_every_token(tmp_path):
    data = [{name: item[name] for name in ("input_ids", "labels")} for item in texts()]
    made = trainer(tmp_path, data=data)
    made.train()
    given = batch(data[:8])
    full = given | {"attention_mask": torch.ones_like(given["input_ids"])}
    made.model.train()
    torch.testing.assert_close(made.compute_loss(made.model, given), made.compute_loss(made.model, full))


def test_weights_follow_their_schedules_and_a_teacher_without_weight_does_not_run(tmp_path):
    term = Term(objectives.get("soft_targets"), weight=Linear(0, 1, begin=0.4, finish=0.6))
    made = trainer(tmp_path, terms=[term], labels=Linear(1, 0, begin=0.6, finish=0.9), max_steps=10)
    teacher_runs = []
    made.criterion  # noqa: B018
    made.teacher.register_forward_hook(lambda *_: teacher_runs.append(made.state.global_step))
    made.train()
    assert teacher_runs == [5, 6, 7, 8, 9]
    lines = logged(made)
    assert ["loss_soft_targets" in line for line in lines] == [False] * 5 + [True] * 5
    assert ["loss_labels" in line for line in lines] == [True] * 9 + [False]


def test_the_student_learns_from_the_teacher(tmp_path):
    data = texts(64, labels=False)
    options = {"max_steps": 60, "per_device_train_batch_size": 32, "learning_rate": 5e-3}
    made = trainer(tmp_path, terms=[hinton(1)], data=data, labels=0, **options)
    made.train()
    lines = [line["loss_soft_targets"] for line in logged(made)]
    assert sum(lines[-5:]) < 0.2 * sum(lines[:5])
    given = batch(data)
    with torch.no_grad():
        agreed = made.model.eval()(**given).logits.argmax(1) == made.teacher(**given).logits.argmax(1)
    assert agreed.float().mean() > 0.85


def test_evaluation_does_not_run_the_teacher(tmp_path):
    data = texts()
    made = trainer(tmp_path, max_steps=2, eval_strategy="steps", eval_steps=1, more={"eval_dataset": data[:20]})
    during = []

    class Watch(TrainerCallback):
        def on_evaluate(self, *_, **__):
            during.append(made.state.log_history[-1]["eval_loss"])

    made.add_callback(Watch())
    made.criterion  # noqa: B018
    teacher_runs = []
    made.teacher.register_forward_hook(lambda *_: teacher_runs.append(1))
    made.train()
    assert len(teacher_runs) == 2  # once a step of training
    given = batch(data[:20])
    with torch.no_grad():
        expected = made.model.eval()(**given).loss.item()
    assert made.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-4)
    assert during[-1] == pytest.approx(expected, rel=1e-4)
    assert made.predict(data[:20]).predictions.shape == (20, 3)
    assert len(teacher_runs) == 2


def test_it_can_evaluate_before_it_trained(tmp_path):
    made = trainer(tmp_path, more={"eval_dataset": texts(8)})
    with torch.no_grad():
        expected = made.model(**batch(texts(8))).loss.item()
    assert made.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-4)


def test_smoothed_labels_and_an_own_loss_are_kept(tmp_path):
    class Doubled(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **_):
            outputs = model(**inputs)
            return (2 * outputs.loss, outputs) if return_outputs else 2 * outputs.loss

    class Mine(DistillationMixin, Doubled):
        pass

    given = batch(texts(8))
    plain, doubled, smoothed = (
        trainer(tmp_path, kind=kind, terms=[hinton(0)], labels=1, **options)
        for kind, options in ((DistillationTrainer, {}), (Mine, {}), (DistillationTrainer, {"label_smoothing_factor": 0.1}))
    )
    for made in (plain, doubled, smoothed):
        made.model.train()
    own = F.cross_entropy(plain.model(**given).logits, given["labels"])
    torch.testing.assert_close(plain.compute_loss(plain.model, given), own)
    torch.testing.assert_close(doubled.compute_loss(doubled.model, given), 2 * own)
    expected = F.cross_entropy(plain.model(**given).logits, given["labels"], label_smoothing=0.1)
    torch.testing.assert_close(smoothed.compute_loss(smoothed.model, given), expected)
    doubled.train()
    assert logged(doubled)[0]["loss_labels"] > 0


def test_mixed_precision_reaches_the_teacher_and_adapters_stay_wide(tmp_path):
    made = trainer(tmp_path, bf16=True)
    dtypes = []
    made.criterion  # noqa: B018
    made.teacher.classifier.register_forward_hook(lambda module, given, output: dtypes.append(output.dtype))
    made.train()
    assert set(dtypes) == {torch.bfloat16}
    assert {p.dtype for p in made.criterion.parameters()} == {torch.float32}
    assert all(line["loss"] == pytest.approx(line["loss"]) for line in logged(made))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_teacher_may_have_another_precision_than_the_student(tmp_path, dtype):
    made = trainer(tmp_path, teacher=bert(24, 2, seed=1).to(dtype))
    made.train()
    wide = trainer(tmp_path)
    wide.train()
    assert logged(made)[0]["loss"] == pytest.approx(logged(wide)[0]["loss"], rel=0.05)


def test_a_compiled_student_is_compared_at_its_outputs(tmp_path):
    made = trainer(tmp_path, terms=[hinton()], torch_compile=True, torch_compile_backend="eager")
    made.train()
    plain = trainer(tmp_path, terms=[hinton()])
    plain.train()
    assert [line["loss"] for line in logged(made)] == pytest.approx([line["loss"] for line in logged(plain)], rel=1e-4)
