"""Next-token prediction: judged token by token against a loop, and what does not fit is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")
from transformers import GPT2Config, GPT2ForSequenceClassification

from limbeck.data import Items, tokenize
from limbeck.evaluation import Predictions
from limbeck.evaluation.statistics import interval
from limbeck.tasks import NextTokenPrediction
from tests.data.sources.language_models import gpt2, llama
from tests.data.tiny_tokenizers import byte_bpe, of_words

TEXTS = ["a b c", "c", "b b a a b c", "a c", "b"]


def items() -> Items:
    return tokenize(Items.from_tensors(TEXTS), of_words(["a", "b", "c"], types=False), 12)


@pytest.mark.parametrize("build", [gpt2, llama])
def test_figures_are_those_of_a_loop_over_texts_and_tokens(build) -> None:
    model, task, count, found, nats = build(), NextTokenPrediction(), 0, 0, 0.0
    for text in TEXTS:
        (tokens,) = torch.tensor([of_words(["a", "b", "c"], types=False)(text)["input_ids"]])
        with torch.no_grad():
            logits = model(tokens[None]).logits[0].double()
        for place in range(len(tokens) - 1):
            word = int(tokens[place + 1])
            count, found = count + 1, found + int(logits[place].argmax() == word)
            nats -= float(logits[place].log_softmax(-1)[word])
    outputs = task.outputs(model, items())
    assert outputs.shape == (len(TEXTS), 3)
    figures = task.compute_metrics(outputs, items())
    expected = {"token_accuracy": found / count, "token_cross_entropy": nats / count, "perplexity": math.exp(nats / count)}
    assert figures == pytest.approx(expected, rel=1e-5)
    assert outputs[:, 0].tolist() == [len(text.split()) + 1 for text in TEXTS]  # the end of the text is predicted too
    parts = Predictions(**task.to_predictions([outputs], items())).item_statistics(task.metric)
    assert interval(parts, value=task.metric.from_means)[0] == pytest.approx(figures["perplexity"])  # type: ignore[attr-defined]


def test_a_model_that_learns_from_its_hard_term_predicts_better() -> None:
    from limbeck import Distillation, Training, steps
    from limbeck.engine import Settings

    task, train = NextTokenPrediction(), items()
    student = llama()
    before = task.compute_metrics(task.outputs(student, train), train)["perplexity"]
    training = Training(steps(8), batch_size=4, settings=Settings(progress=False, trackers=(), device="cpu"))
    job = Distillation(student, terms=task.hard_terms(), training=training, task=task, control=False)
    best = job.fit(train)
    assert task.compute_metrics(task.outputs(best, train), train)["perplexity"] < 0.9 * before


def test_other_models_other_items_and_views_are_refused() -> None:
    task, few = NextTokenPrediction(), items()
    assert not task.metric.higher_is_better
    with pytest.raises(ValueError, match="reads texts as tokens"):
        task.view(Items.from_tensors(torch.rand(4, 3)), ())
    with pytest.raises(ValueError, match="of texts, the next token is predicted, so leave views out"):
        task.view(few, ["random_crop"])
    classifier = GPT2ForSequenceClassification(GPT2Config(vocab_size=50, n_embd=8, n_layer=1, n_head=1, pad_token_id=0))
    with pytest.raises(ValueError, match=r"needs logits of tokens \(.*, 'vocabulary'\) \(task: AutoModelForCausalLM\)"):
        task.check(classifier, few, "student")


def test_texts_of_one_token_are_refused_where_there_are_no_others() -> None:
    task, tokenizer = NextTokenPrediction(), byte_bpe(special=False)
    ones, longer = ["a"] * 9, ["a long text"]
    nothing = tokenize(Items.from_tensors(ones), tokenizer, 16)
    with pytest.raises(ValueError, match="test data: no text holds two tokens, so there is no next one; give longer texts"):
        task.check_outputs(torch.zeros(8, 3), nothing, "student", "test data")
    task.check_outputs(torch.zeros(8, 3), tokenize(Items.from_tensors(ones + longer), tokenizer, 16), "student", "test data")


def test_its_metrics_are_means_over_tokens() -> None:
    sums = torch.tensor([[4.0, 1.0, 2.0], [1.0, 1.0, 3.0]])
    found = NextTokenPrediction("token_accuracy").compute_metrics(sums, items())
    assert found == pytest.approx({"perplexity": np.e, "token_cross_entropy": 1.0, "token_accuracy": 0.4})
