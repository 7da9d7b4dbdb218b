"""A student with adapters of PEFT: only they learn, and what is evaluated and kept is the base with them merged."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck import Distillation, models
from limbeck.models.adapters import merge_adapters
from tests.experiment.test_shared_items import X, part
from tests.experiment.tiny_classifiers import QUICK

peft = pytest.importorskip("peft")


def with_lora(base: nn.Module) -> nn.Module:
    model: nn.Module = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules="all-linear"))
    return model


def base() -> nn.Module:
    return models.get("mlp", inputs=6, hidden=[8], classes=2)


def test_merged_outputs_are_those_with_the_adapter_and_other_models_stay_as_they_are() -> None:
    model = with_lora(base())
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    merged = merge_adapters(model.eval())
    assert not hasattr(merged, "peft_config")
    torch.testing.assert_close(merged(X), model(X))
    assert hasattr(model, "peft_config")
    assert merge_adapters(merged) is merged


def test_only_the_adapters_learn_and_the_student_folder_is_whole(tmp_path: Path) -> None:
    student, teacher = with_lora(base()), nn.Linear(6, 2)
    before = copy.deepcopy(student)
    job = Distillation(student, teacher, training=QUICK, folder=tmp_path / "run")
    best = job.fit(part(0, 100), part(100, 130))
    verdict = job.evaluate(part(130, 180))
    loaded = models.load_model(tmp_path / "run" / "student")
    assert verdict.student.parameters == sum(parameter.numel() for parameter in loaded.parameters())
    torch.testing.assert_close(loaded(X), best(X))
    trained = job.runs[0].actors["student"].model
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, before.state_dict()[name])}
    assert changed
    assert all("lora_" in name for name in changed)


def test_a_registered_function_that_builds_the_adapter_builds_it_again(tmp_path: Path) -> None:
    model = with_lora(base())
    models.registry.register("mlp_with_lora")(lambda: with_lora(base()))
    model = models.get("mlp_with_lora")
    assert merge_adapters(model) is model
    models.save_model(model, None, tmp_path / "student")
    torch.testing.assert_close(models.load_model(tmp_path / "student")(X), model.eval()(X))


def test_an_encoder_of_transformers_is_saved_in_its_own_format(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    merged = merge_adapters(
        peft.get_peft_model(BertForSequenceClassification(config), peft.LoraConfig(r=2, target_modules=["query"]))
    )
    models.save_model(merged, None, tmp_path / "student")
    ids = torch.arange(8)[None]
    torch.testing.assert_close(models.load_model(tmp_path / "student")(ids).logits, merged.eval()(ids).logits)
