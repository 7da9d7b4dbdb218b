"""Digits, and a teacher that knows nothing of them yet."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.data import Items, load_items
from tests.experiment.tiny_classifiers import Own


@pytest.fixture(scope="session")
def train() -> Items:
    return load_items("digits", split="train")


@pytest.fixture(scope="session")
def test() -> Items:
    return load_items("digits", split="test")


@pytest.fixture
def teacher() -> nn.Module:
    torch.manual_seed(0)
    return Own(32)
