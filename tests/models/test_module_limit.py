"""Models of absurd depth are refused while they are built."""

from __future__ import annotations

import pytest

from limbeck import models
from limbeck.models import module_limit
from limbeck.models.from_teacher import FromTeacher, build_model
from limbeck.models.shrink import mobilebert


def test_counts_without_an_end_are_refused_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_limit, "MOST", 300)
    models.get("resnet_cifar", depth=20)
    with pytest.raises(ValueError, match=r"the model would have more than 300 modules; give it fewer layers"):
        models.get("resnet_cifar", depth=110)
    deep = {"model_type": "bert", "num_hidden_layers": 2**31, "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 30}
    with pytest.raises(ValueError, match="more than 300 modules"):
        models.get("transformers", config=deep)
    endless = FromTeacher(lambda teacher: mobilebert(teacher, feed_forward_networks=2**31))
    with pytest.raises(ValueError, match="more than 300 modules"):
        build_model(endless, models.get("transformers", task="AutoModel", config={**deep, "num_hidden_layers": 1}))
    assert models.count_parameters(models.get("tiny_cnn", width=4, size=8)) > 0
