"""Parameters of the terms: trained, saved in the Trainer's checkpoints, and not part of the saved student."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")

from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from limbeck.integrations.transformers import DistillationTrainer
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


def test_adapters_have_the_weight_decay_of_the_student(tmp_path):
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


def test_a_second_training_continues_with_the_same_adapters(tmp_path):
    made = trainer(tmp_path)
    made.train()
    first = made.criterion
    made.train()
    assert made.criterion is first


def test_a_new_model_gets_a_new_criterion(tmp_path):
    options = {"teacher": bert(24, 2, seed=1), "terms": everywhere(), "train_dataset": texts()}
    made = DistillationTrainer(model_init=lambda: bert(), args=arguments(tmp_path), **options)
    made.train()
    first, weights_then = made.criterion, weights(made)
    made.train()
    assert made.criterion is not first
    same(weights(made), weights_then, rtol=0, atol=0)


def test_an_own_optimizer_gets_the_adapters(tmp_path):
    student = bert()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    made = trainer(tmp_path, student, more={"optimizers": (optimizer, None)})
    before = {name: value.clone() for name, value in made.criterion.state_dict().items()}
    made.train()
    assert not any(torch.equal(before[name], value) for name, value in made.criterion.state_dict().items())


def test_a_scheduler_that_does_not_know_the_adapters(tmp_path):
    student = bert()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    with pytest.raises(ValueError, match=r"pass \(optimizer, None\)"):
        trainer(tmp_path, student, more={"optimizers": (optimizer, scheduler)}).train()
    trainer(tmp_path, student, terms=[hinton()], more={"optimizers": (optimizer, scheduler)}).train()


def test_a_checkpoint_of_other_terms(tmp_path):
    options = {"train_dataset": texts(), "teacher": bert(24, 2)}
    DistillationTrainer(bert(), arguments(tmp_path, save_strategy="steps", save_steps=1), **options, terms=everywhere()).train()
    made = DistillationTrainer(bert(), arguments(tmp_path, max_steps=4), **options, terms=[hinton()])
    with pytest.raises(
        ValueError, match=r"it was written with other terms, which have 2 tensors, where the terms of this run have 0"
    ):
        made.train(resume_from_checkpoint=True)
