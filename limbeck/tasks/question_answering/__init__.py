"""Extractive question answering: the answer is a span of a context."""

from limbeck.tasks.question_answering.task import QuestionAnswering

__all__ = ["QuestionAnswering"]
