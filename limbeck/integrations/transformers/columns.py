"""Splits a batch of a Trainer into what the student reads, what the teacher reads, and what is compared."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn, stack

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.labels import UNLABELLED
from limbeck.data.text.next_tokens import next_token_targets
from limbeck.integrations.position_limits import PositionLimits
from limbeck.integrations.transformers.collator import TEACHER_PREFIX, strip_prefix
from limbeck.integrations.transformers.multilabel import as_multi_hot, has_independent_labels
from limbeck.tasks.next_token import is_encoder_decoder, predicts_next_token, without_peft

REMEDY = {
    "student": "tokenise with truncation=True and max_length={limit}",
    "teacher": "tokenise with truncation=True and max_length={limit}, for the teacher alone in columns teacher_input_ids and "
    "teacher_attention_mask, or take a teacher with more positions",
}


class BatchColumns:
    """Assigns the columns of a batch to student and teacher.

    Columns whose names begin with `teacher_` belong to the teacher alone. If there are none, it reads the columns that its
    `forward` names. Labels are passed to neither model; the student's own loss gets them.

    Args:
        student: the student.
        teacher: the teacher, or None if the terms need none.
        labels: the names of the labels, as in `TrainingArguments.label_names` or by default of the student's class.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module | None, labels: Sequence[str]) -> None:
        self.student, self.teacher, self.labels = student, teacher, tuple(labels)
        self._student_names, self._teacher_names = forward_names(student), forward_names(teacher)
        models = {"student": student} | ({} if teacher is None else {"teacher": teacher})
        self.limits = {
            who: PositionLimits.of_model(model, who, REMEDY[who], encoder_decoder=is_encoder_decoder(model))
            for who, model in models.items()
        }

    @property
    def for_teacher(self) -> list[str]:
        """The columns of a data set that the teacher could read."""
        return [*sorted(self._teacher_names), *(TEACHER_PREFIX + name for name in sorted(self._teacher_names))]

    def for_own_loss(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the inputs of the student's own loss: all columns but those of the teacher alone."""
        return {name: value for name, value in inputs.items() if not self._is_teachers(name)}

    def has_teacher_tokens(self, inputs: Mapping[str, Any]) -> bool:
        """Whether the teacher reads tokens of its own."""
        return any(name.startswith(TEACHER_PREFIX) and self._is_teachers(name) for name in inputs)

    def batch(self, inputs: Mapping[str, Any]) -> Batch:
        """Returns the batch for a criterion: the inputs of `student` and `teacher`, targets, and the mask of tokens that count.

        Raises:
            ValueError: texts longer than a model has positions for; a batch without anything that a model takes.
        """
        student = self._inputs_of(self.student, self._student_names, self.for_own_loss(inputs))
        read = {"student": student}
        if self.teacher is not None:
            columns = strip_prefix(inputs) if self.has_teacher_tokens(inputs) else inputs
            read["teacher"] = self._inputs_of(self.teacher, self._teacher_names, columns)
        for who, columns in read.items():
            self.limits[who].refuse_longer(columns)
        target = self._target(inputs)
        return Batch({DEFAULT_VIEW: read}, target=target, mask=self._mask(student, target))

    def _is_teachers(self, name: str) -> bool:
        """Whether only the teacher reads a column."""
        by_teacher = name.startswith(TEACHER_PREFIX) or name in self._teacher_names
        return by_teacher and name not in self._student_names and name not in self.labels

    def _inputs_of(self, model: nn.Module, names: frozenset[str], columns: Mapping[str, Any]) -> dict[str, Any]:
        """The columns that a model takes, without labels."""
        read = {name: value for name, value in columns.items() if name in (names or columns) and name not in self.labels}
        if not read:
            raise ValueError(
                f"{type(model).__name__} takes {', '.join(sorted(names))}, and the batch holds {', '.join(columns)}; name the "
                f"data set's columns like the model's inputs, those for the teacher alone with the prefix {TEACHER_PREFIX!r}"
            )
        labels = columns.get("labels")
        if is_encoder_decoder(model) and "decoder_input_ids" not in read and labels is not None:
            read["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels)  # type: ignore[operator]
        return read

    def _target(self, inputs: Mapping[str, Any]) -> Tensor | None:
        """The labels; several label columns become positions [B, k]; for a causal language model the next token of each."""
        found = [inputs[name] for name in self.labels if inputs.get(name) is not None]
        if len(found) == 1:
            target: Tensor = found[0]
            if has_independent_labels(self.student, target):
                return as_multi_hot(target)
            return next_token_targets(target) if predicts_next_token(self.student) else target
        if not found or any(one.ndim != 1 for one in found):
            return None
        return stack(found, 1)

    def _mask(self, read: Mapping[str, Any], target: Tensor | None) -> Tensor | None:
        """The tokens that count. For models that generate text these are the ones that predict a labelled token."""
        mask: Tensor | None = read.get("attention_mask")
        if is_encoder_decoder(self.student):
            return read.get("decoder_attention_mask") if target is None else target != UNLABELLED
        if predicts_next_token(self.student) and target is not None:
            labelled = target != UNLABELLED
            return labelled if mask is None else mask.bool() & labelled
        return mask


def forward_names(model: nn.Module | None) -> frozenset[str]:
    """Returns the inputs that a model's `forward` names."""
    if model is None:
        return frozenset()
    catch_all = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(without_peft(model).forward).parameters.items()
    return frozenset(name for name, parameter in parameters if parameter.kind not in catch_all)
