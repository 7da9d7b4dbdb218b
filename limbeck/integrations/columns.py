"""Whose the columns of a Transformers batch are: what the student reads, what the teacher reads, what is compared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn, stack
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.objective import UNLABELLED
from limbeck.integrations.position_limits import Positions

PREFIX = "teacher_"  # in front of the columns that are the teacher's own, from its own tokenizer
REMEDY = {
    "student": "tokenise with truncation=True and max_length={limit}",
    "teacher": "tokenise with truncation=True and max_length={limit}, for the teacher alone in columns teacher_input_ids and "
    "teacher_attention_mask, or take a teacher with more positions",
}


class Columns:
    """Takes the batches of a Trainer apart.

    Columns whose name begins with `teacher_` are the teacher's alone; where there are none, it reads what its `forward` names
    among all columns. Labels go to neither model; the student's own loss has them.

    Args:
        student, teacher: the models; no teacher where the terms need none.
        labels: the names of the labels, as `TrainingArguments.label_names` or the student's class has them.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module | None, labels: Sequence[str]) -> None:
        self.student, self.teacher, self.labels = student, teacher, tuple(labels)
        self.ours, self.theirs = forward_names(student), forward_names(teacher)
        models = {"student": student} | ({} if teacher is None else {"teacher": teacher})
        self.positions = {
            who: Positions.of(model, who, REMEDY[who], writes=is_encoder_decoder(model)) for who, model in models.items()
        }

    @property
    def for_teacher(self) -> list[str]:
        """The columns of a data set that the teacher could read."""
        return [*sorted(self.theirs), *(PREFIX + name for name in sorted(self.theirs))]

    def own(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What the student's own loss is computed from: all but what is the teacher's alone."""
        return {name: value for name, value in inputs.items() if not self._is_teachers(name)}

    def _is_teachers(self, name: str) -> bool:
        return name not in self.ours and name not in self.labels and (name.startswith(PREFIX) or name in self.theirs)

    def are_apart(self, inputs: Mapping[str, Any]) -> bool:
        """Whether the teacher reads tokens of its own."""
        return any(name.startswith(PREFIX) and self._is_teachers(name) for name in inputs)

    def batch(self, inputs: Mapping[str, Any]) -> Batch:
        """The batch as a criterion sees it: what `student` and `teacher` read, targets, and the mask of the tokens.

        Raises:
            ValueError: texts longer than a model has positions for; a batch that holds nothing that a model takes.
        """
        ours = self._readable(self.student, self.ours, self.own(inputs))
        read = {"student": ours}
        if self.teacher is not None:
            given = inputs
            if self.are_apart(inputs):
                given = {name.removeprefix(PREFIX): value for name, value in inputs.items() if name.startswith(PREFIX)}
            read["teacher"] = self._readable(self.teacher, self.theirs, given)
        for who, given in read.items():
            self.positions[who].refuse_longer(given)
        target = self._target(inputs)
        return Batch({DEFAULT_VIEW: read}, target=target, mask=self._mask(ours, target))

    def _readable(self, model: nn.Module, names: frozenset[str], given: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the given columns that a model takes, without labels."""
        read = {name: value for name, value in given.items() if name in (names or given) and name not in self.labels}
        if not read:
            raise ValueError(
                f"{type(model).__name__} takes {', '.join(sorted(names))}, and the batch holds {', '.join(given)}; name the "
                f"data set's columns after what the model takes, those for the teacher alone with {PREFIX!r} in front"
            )
        labels = given.get("labels")
        if is_encoder_decoder(model) and "decoder_input_ids" not in read and labels is not None:
            read["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels)  # type: ignore[operator]
        return read

    def _target(self, inputs: Mapping[str, Any]) -> Tensor | None:
        """The labels; of several label columns, positions [B, k]; of a causal language model, each token's next one."""
        found = [inputs[name] for name in self.labels if inputs.get(name) is not None]
        if len(found) == 1:
            target: Tensor = found[0]
            return F.pad(target[..., 1:], (0, 1), value=UNLABELLED) if predicts_next(self.student) else target
        if not found or any(one.ndim != 1 for one in found):
            return None
        return stack(found, 1)

    def _mask(self, read: Mapping[str, Any], target: Tensor | None) -> Tensor | None:
        """The tokens that count. In models that write, those which predict a labelled one."""
        mask: Tensor | None = read.get("attention_mask")
        if is_encoder_decoder(self.student):
            return read.get("decoder_attention_mask") if target is None else target != UNLABELLED
        if predicts_next(self.student) and target is not None:
            labelled = target != UNLABELLED
            return labelled if mask is None else mask.bool() & labelled
        return mask


def plain(model: nn.Module) -> nn.Module:
    """A model without PEFT's wrapper."""
    base: nn.Module = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    return base


def forward_names(model: nn.Module | None) -> frozenset[str]:
    """The inputs that a model's `forward` names."""
    if model is None:
        return frozenset()
    catch_all = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(plain(model).forward).parameters.items()
    return frozenset(name for name, parameter in parameters if parameter.kind not in catch_all)


def is_encoder_decoder(model: nn.Module) -> bool:
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))


def predicts_next(model: nn.Module) -> bool:
    """Whether a model's own loss compares what it says at a token with the label of the next one."""
    model = plain(model)
    shifts = getattr(model, "loss_type", None) in ("ForCausalLM", "ForConditionalGeneration")
    causal = shifts or type(model).__name__ in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
    return causal and not is_encoder_decoder(model)


Collator = Callable[[list[dict[str, Any]]], Mapping[str, Any]]


@dataclass(frozen=True)
class Beside:
    """A data collator for two tokenizers: columns with `teacher_` in front go to the teacher's, all others to the student's."""

    student: Collator
    teacher: Collator

    @property
    def tokenizer(self) -> Any:
        """The student's, which a Trainer saves beside the student."""
        return getattr(self.student, "tokenizer", None)

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        ours = [{name: value for name, value in item.items() if not name.startswith(PREFIX)} for item in items]
        theirs = [
            {name.removeprefix(PREFIX): value for name, value in item.items() if name.startswith(PREFIX)} for item in items
        ]
        batch = dict(self.student(ours))
        if any(theirs):
            batch |= {PREFIX + name: value for name, value in self.teacher(theirs).items()}
        return batch
