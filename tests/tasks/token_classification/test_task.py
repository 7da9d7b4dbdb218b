"""Tags of words: what is predicted of words with and without tokens, and how that is judged, kept and shown."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from limbeck import metrics
from limbeck.data import Items, TaggedWords, tokenize_words
from limbeck.tasks import TokenClassification
from limbeck.tasks.token_classification import TagPredictions
from tests.data import tiny_tokenizers

NAMES = ("O", "B-PER", "I-PER")
PIECES = ("ada", "love", "##lace", "is", "here")


def items(max_length: int = 16) -> Items:
    sentences = TaggedWords((("ada", "lovelace", "is"), ("here", "ada")), ((1, 2, 0), (0, 1)), NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tokenize_words(sentences, tiny_tokenizers.of_words(PIECES), max_length)


class ByToken(nn.Module):
    """The logits of each token id, of which further pieces would say something else than the first."""

    def forward(self, input_ids: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        tags = {5: 1, 6: 2, 7: 1}  # ada, love, ##lace
        chosen = torch.tensor([[tags.get(token, 0) for token in row] for row in input_ids.tolist()])
        return nn.functional.one_hot(chosen, 3).float() * 9


def test_the_first_piece_says_the_tag() -> None:
    task, data = TokenClassification(), items()
    outputs = task.outputs(ByToken(), data)
    assert outputs.shape == (2, 6, 3)
    found = task.compute_metrics(outputs, data)
    assert found["entity_f1"] == found["tag_accuracy"] == 1
    assert found["cross_entropy"] < 0.01


def test_words_beyond_the_maximum_are_predicted_outside() -> None:
    task, data = TokenClassification(), items(max_length=4)
    own = task.to_predictions([task.outputs(ByToken(), data)], data)["own"]
    assert [own.names_of(row) for row in own.tags[0]] == [["B-PER", "I-PER", "O"], ["O", "B-PER"]]
    data = items(max_length=3)  # one piece each: lovelace and the second ada are lost
    own = task.to_predictions([task.outputs(ByToken(), data)], data)["own"]
    assert [own.names_of(row) for row in own.tags[0]] == [["B-PER", "O", "O"], ["O", "O"]]
    assert task.compute_metrics(task.outputs(ByToken(), data), data)["entity_f1"] == 0
    assert task.compute_metrics(task.outputs(ByToken(), data), data)["tag_accuracy"] == pytest.approx(3 / 5)


def predictions() -> TagPredictions:
    names = ["O", "B-LOC", "B-PER", "I-PER"]
    true = np.array([[2, 3, 0, 1], [0, 2, -1, -1], [0, 0, 0, -1]])
    tags = np.array([[[2, 3, 0, 1], [0, 0, -1, -1], [0, 0, 0, -1]], [[2, 0, 0, 1], [0, 2, -1, -1], [1, 0, 0, -1]]])
    return TagPredictions(tags, true, names, [["Ada", "Lovelace", "in", "Rome"], ["is", "Bo"], ["a", "b", "c"]])


def test_entities_are_counted_by_sentence_and_type() -> None:
    own = predictions()
    metric = metrics.get("entity_f1")
    assert isinstance(metric, metrics.Metric)
    assert metric.from_means(own.item_statistics(metric).mean(1)) == pytest.approx([4 / 5, 4 / 7])
    assert own.per_class() == pytest.approx([(1 + 2 / 3) / 2, (2 / 3 + 1 / 2) / 2])  # LOC, PER
    assert own.quality().tolist() == [[1, 0, 1], [0.5, 1, 0]]
    assert TokenClassification.reported_classes(own.names) == ["LOC", "PER"]


def test_they_are_kept_and_shown() -> None:
    own = predictions()
    again = TagPredictions.from_arrays(own.arrays())
    assert np.array_equal(again.counts, own.counts)
    assert again.agreement(own) == 1
    flat = TagPredictions(own.tags[[1, 0]], own.true, own.names)
    assert own.agreement(flat) == pytest.approx(6 / 9)
    shown = own.shown()
    assert shown.text(0, 0) == "PER: Ada Lovelace; LOC: Rome"
    assert shown.text(0, 1) == "no entity"
    assert shown.truth is not None
    assert shown.truth(1) == "PER: Bo"


def test_models_that_do_not_fit_are_refused() -> None:
    task, data = TokenClassification(), items()
    with pytest.raises(ValueError, match=r"AutoModelForTokenClassification"):
        task.check_outputs(torch.zeros(2, 3), data, "student", "data")
    with pytest.raises(ValueError, match="3 tags, but the student outputs 5; give it classes: 3"):
        task.check_outputs(torch.zeros(2, 6, 5), data, "student", "data")
    with pytest.raises(ValueError, match="sentences of words with tags"):
        task.view(Items.from_tensors(torch.zeros(2, 3), [0, 1]), [])
    with pytest.raises(ValueError, match="leave views out"):
        task.view(data, ["horizontal_flip"])


def test_a_model_that_numbers_the_tags_otherwise_is_refused() -> None:
    model = ByToken()
    model.config = type("Config", (), {"id2label": dict(enumerate(["B-PER", "O", "I-PER"]))})()  # type: ignore[assignment]
    with pytest.raises(ValueError, match=json.dumps(["B-PER", "O", "I-PER"])[1:-1]):
        TokenClassification().check(model, items(), "teacher")


def test_one_tag_is_refused_because_nothing_can_be_learned() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = tokenize_words(TaggedWords((("ada", "is"),), ((0, 0),), ("O",)), tiny_tokenizers.of_words(PIECES), 16)
    with pytest.raises(ValueError, match=r"test data: it has one tag, 'O', whose softmax is 1 .*; give data of several tags"):
        TokenClassification().check_outputs(torch.zeros(1, 4, 1), data, "student", "test data")
