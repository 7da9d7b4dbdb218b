"""Models of absurd depth or width are refused while they are built."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from limbeck import models
from limbeck.models import size_limit
from limbeck.models.from_teacher import FromTeacher, build_model
from limbeck.models.shrink import mobilebert


def test_counts_without_an_end_are_refused_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_limit, "MOST", 300)
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


@pytest.mark.parametrize(
    ("name", "sizes", "said"),
    [
        ("tiny_cnn", {"width": 10**6}, r"would need 72,000\.0 GB with its tensor \[2000000, 1000000, 3, 3\].*make it smaller"),
        ("tiny_cnn", {"channels": 2**31}, "channels must be at most 10,000,000, got 2147483648"),
        ("tiny_cnn", {"blocks": 2**31}, "blocks must be at most"),
        ("vit_tiny", {"size": 4 * 10**6}, "would need"),
        ("vit_tiny", {"dim": 3 * 10**6, "depth": 1}, "would need"),
        ("mlp", {"inputs": 10**6, "hidden": [10**7]}, "would need"),
        ("resnet_cifar", {"widths": [2**40] * 3}, "would need"),
        ("transformers", {"config": {"model_type": "bert", "vocab_size": 2**50}}, "would need"),
    ],
)
def test_sizes_that_no_memory_holds_are_refused_before_it_is_taken(name: str, sizes: dict[str, Any], said: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=said):
        models.get(name, **sizes)
    assert time.process_time() - began < 20  # 4 s with the imports; values for the smallest of these would take minutes


def test_the_parameters_of_all_layers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_limit, "free_memory", lambda: 100_000)
    models.get("mlp", inputs=8, hidden=[64] * 4)
    with pytest.raises(ValueError, match=r"and 0\.0 GB of memory are free"):
        models.get("mlp", inputs=8, hidden=[64] * 8)


def test_a_large_model_is_the_same_as_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for large in (10**9, 1_000):  # the second is first built without values
        monkeypatch.setattr(size_limit, "LARGE", large)
        torch.manual_seed(0)
        found.append(models.get("vit_tiny", size=8, dim=12, depth=2).state_dict())
    assert all(torch.equal(found[0][name], tensor) for name, tensor in found[1].items())
