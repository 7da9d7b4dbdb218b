"""What a Trainer with terms keeps: adapters in its checkpoints, students without them, everything else as it was."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("transformers")

from safetensors.torch import load_file
from transformers import (
    AutoModelForSequenceClassification,
    Trainer,
    TrainerCallback,
)

from limbeck.integrations.transformers import DistillationTrainer, Distilling
from tests.integrations.tiny import (
    arguments,
    batch,
    bert,
    everywhere,
    hinton,
    logged,
    same,
    texts,
    trainer,
    weights,
)

# What the terms learn


def test_adapters_are_trained_and_not_saved_with_the_student(tmp_path):
    made = trainer(tmp_path)
    before = {name: value.clone() for name, value in made.criterion.state_dict().items()}
    made.train()
    assert before
    assert not any(torch.equal(before[name], value) for name, value in made.criterion.state_dict().items())
    made.save_model(str(tmp_path / "student"))
    assert load_file(tmp_path / "student" / "model.safetensors").keys() == bert().state_dict().keys()
    student = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    given = batch(texts(4))
    torch.testing.assert_close(student(**given).logits, made.model.eval()(**given).logits, rtol=0, atol=0)


def test_what_the_terms_learn_decays_as_the_student_does(tmp_path):
    made = trainer(tmp_path, weight_decay=0.1)
    optimizer = made.create_optimizer()
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: decay[id(p)] for name, p in made.criterion.named_parameters()}
    assert {name.rpartition(".")[2]: value for name, value in found.items()} == {"weight": 0.1, "bias": 0.0}
    assert made.create_optimizer() is optimizer
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(decay)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    options = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "lr_scheduler_type": "cosine"}
    dropout = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    whole = trainer(tmp_path / "whole", bert(**dropout), **options)
    whole.train()
    resumed = trainer(tmp_path / "resumed", bert(seed=7, **dropout), **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    same(weights(resumed), weights(whole), rtol=0, atol=0)
    assert logged(resumed)[-1]["loss"] == logged(whole)[-1]["loss"]


def test_a_second_training_goes_on_with_the_same_adapters(tmp_path):
    made = trainer(tmp_path)
    made.train()
    first = made.criterion
    made.train()
    assert made.criterion is first


def test_a_model_that_is_made_anew_has_its_own_criterion(tmp_path):
    options = {"teacher": bert(24, 2, seed=1), "terms": everywhere(), "train_dataset": texts()}
    made = DistillationTrainer(model_init=lambda: bert(), args=arguments(tmp_path), **options)
    made.train()
    first, weights_then = made.criterion, weights(made)
    made.train()
    assert made.criterion is not first
    same(weights(made), weights_then, rtol=0, atol=0)


# What stays the Trainer's


def test_evaluation_is_the_students_own_and_asks_no_teacher(tmp_path):
    data = texts()
    made = trainer(tmp_path, max_steps=2, eval_strategy="steps", eval_steps=1, more={"eval_dataset": data[:20]})
    during = []

    class Watch(TrainerCallback):
        def on_evaluate(self, *_, **__):
            during.append(made.state.log_history[-1]["eval_loss"])

    made.add_callback(Watch())
    made.criterion  # noqa: B018
    asked = []
    made.teacher.register_forward_hook(lambda *_: asked.append(1))
    made.train()
    assert len(asked) == 2  # once a step of training
    given = batch(data[:20])
    with torch.no_grad():
        expected = made.model.eval()(**given).loss.item()
    assert made.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-4)
    assert during[-1] == pytest.approx(expected, rel=1e-4)
    assert made.predict(data[:20]).predictions.shape == (20, 3)
    assert len(asked) == 2


def test_it_can_evaluate_before_it_trained(tmp_path):
    made = trainer(tmp_path, more={"eval_dataset": texts(8)})
    with torch.no_grad():
        expected = made.model(**batch(texts(8))).loss.item()
    assert made.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-4)


def test_smoothed_labels_and_a_loss_of_ones_own_stay(tmp_path):
    class Doubled(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **_):
            outputs = model(**inputs)
            return (2 * outputs.loss, outputs) if return_outputs else 2 * outputs.loss

    class Mine(Distilling, Doubled):
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


def test_an_optimizer_of_ones_own_gets_the_adapters(tmp_path):
    student = bert()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    made = trainer(tmp_path, student, more={"optimizers": (optimizer, None)})
    before = {name: value.clone() for name, value in made.criterion.state_dict().items()}
    made.train()
    assert not any(torch.equal(before[name], value) for name, value in made.criterion.state_dict().items())


def test_mixed_precision_reaches_the_teacher_and_adapters_stay_wide(tmp_path):
    made = trainer(tmp_path, bf16=True)
    heard = []
    made.criterion  # noqa: B018
    made.teacher.classifier.register_forward_hook(lambda module, given, output: heard.append(output.dtype))
    made.train()
    assert set(heard) == {torch.bfloat16}
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
