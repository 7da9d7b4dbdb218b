"""The task of extractive question answering: start and end of the answer in a context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.core.terms import Term
from limbeck.data import Items, WindowStorage
from limbeck.data.text.qa_answers import extract_scored_answers
from limbeck.data.text.qa_windows import OUTSIDE
from limbeck.objectives import SpanSoftTargets, SpanTargets
from limbeck.tasks.base import Task
from limbeck.tasks.question_answering.question_format import QuestionFormat
from limbeck.tasks.question_answering.squad_metrics import exact_match, f1, normalized
from limbeck.tasks.text_predictions import TextInput, TextPredictions

SCORES = {"answer_f1": f1, "exact_match": exact_match}


class QuestionAnswering(Task):
    """The answer is a span of the context, with the metrics of SQuAD v1.1.

    Items are windows; the answer to a question is the best span of all its windows.

    Args:
        metric: answer_f1 or exact_match.
        longest: maximum number of tokens in an answer.
    """

    name = "question_answering"
    metrics = ("answer_f1", "exact_match")
    unit = "questions"
    data_format = QuestionFormat()

    def __init__(self, metric: str | None = None, longest: int = 30) -> None:
        super().__init__(metric)
        self.longest = longest

    def hard_terms(self, student: str = "student") -> list[Term]:
        return [Term(SpanTargets(), student=student)]

    def soft_terms(self, temperature: float, student: str = "student") -> list[Term]:
        return [Term(SpanSoftTargets(temperature=temperature), student=student)]

    def concatenate(self, outputs: list[Tensor]) -> Tensor:
        """Outputs of windows of different widths as one tensor, padded at the end."""
        widest = max(found.shape[-1] for found in outputs)
        return torch.cat([torch.nn.functional.pad(found, (0, widest - found.shape[-1])) for found in outputs])

    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        return {name: float(self.scores(outputs, items, name).mean()) for name in self.metrics}

    def to_predictions(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        storage, questions = _windows(items), _labelled_questions(items)
        found = [self._answers(one, items) for one in outputs]
        answers = [[seed[row][0] for row in questions] for seed in found]
        logit_sums = torch.tensor([[seed[row][1] for row in questions] for seed in found], dtype=torch.float64)
        log_normalizers = torch.stack([span_log_normalizers(one, storage)[questions] for one in outputs])
        texts = TextPredictions(
            choice=np.array([[normalized(answer) for answer in seed] for seed in answers], dtype=object),
            text=lambda seed, unit: answers[seed][unit],
            confidence=(logit_sums - log_normalizers).exp().numpy(),
            input=lambda unit: _input(storage, questions[unit]),
        )
        scores = torch.stack([_scores(seed, items, self.metric.name) for seed in answers]).numpy()
        return {"scores": scores, "text_predictions": texts}

    def scores(self, outputs: Tensor, items: Items, metric: str) -> Tensor:
        """The score of each labelled question that has windows among the items, float64."""
        found = self._answers(outputs, items)
        return _scores([found[row][0] for row in _labelled_questions(items)], items, metric)

    def _answers(self, outputs: Tensor, items: Items) -> list[tuple[str, float]]:
        """The answer to every question, with the sum of its start and end logits."""
        return extract_scored_answers([(torch.arange(len(items)), outputs)], items, _windows(items).questions, self.longest)

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        _windows(items)
        if outputs.ndim != 3 or outputs.shape[1] != 2:
            raise ValueError(
                f"the {who} gives outputs of shape {tuple(outputs.shape)}; question answering needs start and end logits "
                "[items, 2, tokens] (task: AutoModelForQuestionAnswering)"
            )


def span_log_normalizers(outputs: Tensor, storage: WindowStorage) -> Tensor:
    """The log normalizer of each question's spans, float64; −∞ without windows.

    exp(start logit + end logit − normalizer) is the probability of the start token times that of the end token, among all
    tokens of the context in all windows of the question.
    """
    spans = storage.spans.pad(torch.arange(len(storage)), outputs.shape[2], OUTSIDE)
    inside = outputs.double().masked_fill((spans[..., 0] < 0)[:, None], -torch.inf)
    of, count = storage.question_rows, len(storage.questions)
    largest = torch.full((count, 2), -torch.inf, dtype=torch.float64)
    largest = largest.scatter_reduce_(0, of[:, None].expand(-1, 2), inside.amax(2), "amax").nan_to_num(neginf=0)
    powers = (inside - largest[of][..., None]).exp().sum(2)
    return (largest + torch.zeros_like(largest).index_add_(0, of, powers).log()).sum(1)


def _labelled_questions(items: Items) -> list[int]:
    """The labelled questions that have windows among the items."""
    storage = _windows(items)
    truths = storage.questions.answer_texts
    return [row for row in torch.unique(storage.question_rows).tolist() if truths[row]]


def _scores(answers: Sequence[str], items: Items, metric: str) -> Tensor:
    """The scores of the answers to `_labelled_questions(items)`."""
    truths = _windows(items).questions.answer_texts
    found = [SCORES[metric](answer, truths[row]) for answer, row in zip(answers, _labelled_questions(items), strict=True)]
    return torch.tensor(found, dtype=torch.float64)


def _input(storage: WindowStorage, row: int) -> TextInput:
    text, start = storage.questions.answers[row][0]
    return TextInput(storage.questions.contexts[row], storage.questions.questions[row], text, (start, start + len(text)))


def _windows(items: Items) -> WindowStorage:
    if not isinstance(items.storage, WindowStorage):
        expected = "limbeck.data.tokenize_questions(load_questions(…), tokenizer)"
        raise ValueError(f"question answering reads questions with contexts: {expected}")
    return items.storage
