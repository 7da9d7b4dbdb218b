"""Extractive question answering: where in a context an answer starts and ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from limbeck.objectives import SpanTargets
from limbeck.sources import Items, WindowStorage, answers_from
from limbeck.tasks.base import Task
from limbeck.tasks.squad import exact_match, f1
from limbeck.terms import Term

SCORES = {"answer_f1": f1, "exact_match": exact_match}


class QuestionAnswering(Task):
    """An answer is a piece of the context, judged by the words it shares with the true ones, or by being one of them, as the
    script of SQuAD v1.1 does. Items are windows; a question's answer is the best of all its windows.

    Args:
        metric: answer_f1 or exact_match.
        longest: the most tokens of an answer.
    """

    name = "question_answering"
    metrics = ("answer_f1", "exact_match")

    def __init__(self, metric: str | None = None, longest: int = 30) -> None:
        super().__init__(metric)
        self.longest = longest

    def hard_terms(self, student: str = "student") -> list[Term]:
        return [Term(SpanTargets(), student=student)]

    def joined(self, outputs: list[Tensor]) -> Tensor:
        """Windows of several widths as one tensor; what is filled up is never read."""
        widest = max(found.shape[-1] for found in outputs)
        return torch.cat([torch.nn.functional.pad(found, (0, widest - found.shape[-1])) for found in outputs])

    def figures(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        return {name: float(self.scores(outputs, items, name).mean()) for name in self.metrics}

    def answered(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        return {"scores": torch.stack([self.scores(found, items, self.metric) for found in outputs]).numpy()}

    def scores(self, outputs: Tensor, items: Items, metric: str) -> Tensor:
        """The score of each labelled question that has windows among the items, float64."""
        storage = _windows(items)
        answers = answers_from([(torch.arange(len(items)), outputs)], items, storage.questions, self.longest)
        truths, asked = storage.questions.truths, torch.unique(storage.question).tolist()
        return torch.tensor([SCORES[metric](answers[row], truths[row]) for row in asked if truths[row]], dtype=torch.float64)

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        _windows(items)
        if outputs.ndim != 3 or outputs.shape[1] != 2:
            raise ValueError(
                f"the {who} gives outputs of shape {tuple(outputs.shape)}; question answering needs start and end logits "
                "[items, 2, tokens] (task: AutoModelForQuestionAnswering)"
            )


def _windows(items: Items) -> WindowStorage:
    if not isinstance(items.storage, WindowStorage):
        raise ValueError(
            "question answering reads questions with contexts: limbeck.sources.windows(load_questions(…), tokenizer)"
        )
    return items.storage
