"""Texts without data: impressions are embeddings of tokens, and the student reads tokens afterwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from limbeck import Distillation, Training, methods, models, steps
from limbeck.engine import Optimizer, Settings
from limbeck.tasks import Classification

transformers = pytest.importorskip("transformers")


def encoder(layers: int) -> nn.Module:
    torch.manual_seed(layers)
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "vocab_size": 30, "num_labels": 3}
    model = transformers.BertForSequenceClassification(transformers.BertConfig(num_hidden_layers=layers, **sizes))
    return models.EmbeddingInputs(model)


def test_a_student_learns_on_embeddings_and_reads_tokens() -> None:
    made: dict[str, Any] = dict(
        methods.zero_shot_kd(
            task=Classification(), length=steps(3), shape=[5, 8], low=-1, batch_size=4, samples=6, rounds=1, steps=2
        )
    )
    settings = Settings(progress=False, device="cpu", threads=1, trackers=())
    student = encoder(1)
    before = student.model.classifier.weight.clone()
    job = Distillation(
        student, encoder(2), control=False, training=Training(optimizer=Optimizer("adam", 1e-2), settings=settings), **made
    )
    best = job.fit()
    assert not torch.equal(best.model.classifier.weight.cpu(), before)
    tokens = torch.tensor([[1, 2, 3, 0]])
    found = best.eval()(input_ids=tokens, attention_mask=(tokens > 0).long()).logits
    alone = best.model.eval()(input_ids=tokens, attention_mask=(tokens > 0).long()).logits
    assert torch.equal(found, alone)


def test_embeddings_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[2, 5, 9\]; expected \[batch, tokens, 8\]"):
        encoder(1)(torch.zeros(2, 5, 9))
