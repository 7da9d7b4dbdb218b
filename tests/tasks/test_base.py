"""What all tasks share: outputs in the order of the items, and checks before training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck.data import Items, tokenize
from limbeck.tasks import Classification, Regression, registry
from tests.data.tiny_tokenizers import of_words


class Lengths(nn.Module):
    """The number of tokens of each text, as the first of two logits."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **others: Tensor) -> Tensor:
        count = attention_mask.sum(1).float()
        return torch.stack([count, -count], 1)


def test_tasks_are_registered_by_name() -> None:
    labelled = ["classification", "multilabel_classification", "question_answering", "regression", "token_classification"]
    assert sorted(registry) == sorted(
        [*labelled, "masked_language_modelling", "next_token", "retrieval", "sentence_embeddings"]
    )
    assert all(registry[name].name == name for name in registry)  # type: ignore[attr-defined]


def test_outputs_are_in_the_order_of_the_items_and_the_mode_is_restored() -> None:
    texts = ["a", "a a a a", "a a", "a a a", "a a a a a", "a"] * 3
    items = tokenize(Items.from_tensors(texts), of_words(["a"]), 12)
    model = nn.Sequential(Lengths()).train()
    model.forward = model[0].forward  # type: ignore[assignment]
    found = Classification().outputs(model, items, batch_size=8)  # sorted by length, two texts a batch
    assert found[:, 0].tolist() == [len(text.split()) + 2 for text in texts]
    assert found.dtype == torch.float32
    assert model.training


def test_the_modes_are_restored_after_an_error() -> None:
    items = Items.from_tensors(torch.rand(10, 3), torch.arange(10) % 2)
    model = nn.Sequential(nn.Linear(4, 2), nn.Dropout()).train()
    model[0].eval()  # frozen
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        Classification().outputs(model, items)
    assert [module.training for module in model.modules()] == [True, False, True]


def test_data_and_models_that_do_not_fit_are_named_before_training() -> None:
    items = Items.from_tensors(torch.rand(10, 3), torch.arange(10) % 2)
    task = Classification()
    task.check(nn.Linear(3, 2), items, "student", "test data")
    with pytest.raises(ValueError, match="test data: the student needs labels, and there are none"):
        task.check(nn.Linear(3, 2), Items.from_tensors(torch.rand(10, 3)), "student", "test data")
    with pytest.raises(ValueError, match=r"test data: the student \(Linear\) cannot read it: "):
        task.check(nn.Linear(4, 2), items, "student", "test data")
    broken = nn.Linear(3, 2)
    nn.init.constant_(broken.weight, float("nan"))
    with pytest.raises(ValueError, match="the student gives NaN or infinity on the test data; check its weights"):
        task.check(broken, items, "student", "test data")


def test_a_metric_is_one_of_the_task() -> None:
    assert (Regression().metric.name, Regression("mean_squared_error").higher_is_better) == ("pearson", False)
    with pytest.raises(ValueError, match="'accuracy' is no metric of regression; choose one of pearson, spearman"):
        Regression("accuracy")
