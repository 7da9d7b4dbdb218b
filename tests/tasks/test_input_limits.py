"""How many tokens a model has positions for, and texts that exceed them or its vocabulary."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from limbeck.data import Items, tokenize
from limbeck.tasks.input_limits import check_input_limits, position_limit, position_limits
from tests.data.tiny_tokenizers import of_words

transformers = pytest.importorskip("transformers")
TABLES = {"Bert": 16, "DistilBert": 16, "Roberta": 14, "MPNet": 14, "Electra": 16, "Albert": 16}


def encoder(name: str, head: str = "Model", **options: Any) -> nn.Module:
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 16}
    config = getattr(transformers, f"{name}Config")(**(sizes | {"max_position_embeddings": 16} | options))
    model: nn.Module = getattr(transformers, f"{name}{head}")(config)
    return model


@pytest.mark.parametrize("name", TABLES)
def test_positions_are_as_many_as_can_be_read(name: str) -> None:
    model = encoder(name, "Model", **({"pad_token_id": 1} if name in ("Roberta", "MPNet") else {}), **_sizes(name))
    assert position_limit(model) == TABLES[name]
    ids = torch.full((1, TABLES[name]), 5)
    model(input_ids=ids)
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, TABLES[name] + 1), 5))


def _sizes(name: str) -> dict[str, int]:
    return {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16} if name == "DistilBert" else {}


def test_models_that_compute_their_positions_read_any_length() -> None:
    model = encoder("ModernBert", "Model", pad_token_id=0, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2)
    assert position_limit(model) is None
    assert position_limit(nn.Linear(2, 2)) is None


def test_the_smallest_table_is_the_limit() -> None:
    both = nn.ModuleDict({"a": encoder("Bert"), "b": encoder("Bert", max_position_embeddings=9)})
    assert position_limits(both) == {
        "a.embeddings.position_embeddings": 16,
        "b.embeddings.position_embeddings": 9,
    }
    assert position_limit(both) == 9


def test_texts_beyond_the_limits_are_refused() -> None:
    words = of_words(["the", "cow", "barn"])
    items = tokenize(Items.from_tensors(["the cow", "barn"]), words, 16)
    check_input_limits(encoder("Bert"), items, "student", "training data")
    with pytest.raises(
        ValueError, match=r"training data: max_length=16, and the student \(BertModel\) has positions for 9 tokens"
    ):
        check_input_limits(encoder("Bert", max_position_embeddings=9), items, "student", "training data")
    with pytest.raises(
        ValueError, match=r"the student \(BertModel\) has a vocabulary of 6 tokens, and the texts hold token 7, 'barn'"
    ):
        check_input_limits(encoder("Bert", vocab_size=6), items, "student", "training data")
    check_input_limits(nn.Linear(2, 2), Items.from_tensors(torch.rand(3, 2)), "student", "training data")
