"""Transformers models built beside a teacher: of its class in other sizes, or of another family with its head."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from torch import Tensor, nn

from limbeck.models.base import record_spec

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

HEAD = re.compile(r"For[A-Z]\w*$")  # the end of a class name that says what the model is for
LABELS = ("id2label", "label2id", "problem_type")


def build_same_class(
    teacher: PreTrainedModel, config: PreTrainedConfig, state: dict[str, Tensor] | None = None
) -> PreTrainedModel:
    """A model of the teacher's class made from `config`, with `state` in it (None: freshly initialised).

    Like the teacher it is in the same precision and on the same device, and has no pooler where the teacher has none. It
    shares no storage with it, every parameter is trainable, and it is in evaluation mode, as `from_pretrained` leaves models.
    """
    student = type(teacher)(config)
    for path, _ in list(student.named_modules()):
        if path and _is_absent(teacher, path):
            parent, _, name = path.rpartition(".")
            setattr(student.get_submodule(parent), name, None)
    student = match_teacher(teacher, student)
    if state is not None:
        unmatched = sorted(state.keys() - student.state_dict().keys())
        if unmatched:
            raise ValueError(
                f"{type(teacher).__name__} builds its first layer otherwise: no place for {unmatched[0]}; keep layer 0"
            )
        student.load_state_dict(state)
    return student


def match_teacher(teacher: PreTrainedModel, student: PreTrainedModel) -> PreTrainedModel:
    """`student` in the teacher's precision and on its device, in evaluation mode, with the record of how it was built."""
    import transformers

    student = student.to(teacher.device)
    for parameter in student.parameters():
        parameter.data = parameter.data.to(teacher.dtype)  # buffers keep theirs: rotary frequencies need float32
    head = _head_of(student)
    if head is not None and hasattr(transformers, f"AutoModel{head}"):
        record_spec(student, "transformers", {"task": f"AutoModel{head}", "config": student.config.to_dict()})
    return student.eval()


def class_in_family(teacher: PreTrainedModel, family: str) -> type[PreTrainedModel]:
    """The class of `family`, such as "MobileBert", that has the teacher's head.

    Raises:
        ValueError: the family has no such head; the message names those that it has.
    """
    import transformers

    head = _head_of(teacher)
    name = "" if head is None else f"{family}{head or 'Model'}"
    found: type[PreTrainedModel] | None = getattr(transformers, name, None) if name else None
    if found is None:
        offer = ", ".join(sorted(known for known in dir(transformers) if known.startswith(f"{family}For")))
        raise ValueError(f"{type(teacher).__name__} has no counterpart among {family}Model, {offer}")
    return found


def label_config(teacher: PreTrainedModel) -> dict[str, object]:
    """The part of the configuration that says what the head's outputs mean, its number of classes included."""
    return {field: getattr(teacher.config, field) for field in LABELS}


def copy_matching(student: nn.Module, teacher: nn.Module) -> None:
    """Copy every parameter that has the same name and the same shape in both."""
    given = teacher.state_dict()
    fitting = {
        name: given[name] for name, own in student.state_dict().items() if name in given and given[name].shape == own.shape
    }
    student.load_state_dict(fitting, strict=False)


def _head_of(model: PreTrainedModel) -> str | None:
    """`"ForSequenceClassification"` and the like; `""` for a model without head, None where the class does not say."""
    if model.base_model is model:
        return ""
    head = HEAD.search(type(model).__name__)
    return head.group() if head else None


def _is_absent(model: nn.Module, path: str) -> bool:
    """Whether `model` has None where its class could have a module (a pooler that was not asked for)."""
    parent, _, name = path.rpartition(".")
    try:
        holder = model.get_submodule(parent)
    except AttributeError:
        return False
    return getattr(holder, name, model) is None
