"""Which models predict the next token."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers")
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
)

from limbeck.tasks.next_token import predicts_next_token
from tests.integrations.tiny import WORDS, bert, t5


def test_models_that_predict_the_next_token():
    gpt = GPT2LMHeadModel(GPT2Config(vocab_size=WORDS, n_embd=8, n_layer=1, n_head=1))
    assert [predicts_next_token(model) for model in (gpt, bert(), t5(8, 0))] == [True, False, False]
