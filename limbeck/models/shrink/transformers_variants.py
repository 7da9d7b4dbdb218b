"""Builds models of Transformers like a teacher: of its class in other sizes, or of another family with its head."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from torch import Tensor, nn

from limbeck.models.base import record_spec

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

HEAD = re.compile(r"For[A-Z]\w*$")  # suffix of a class name that names its head
LABELS = ("id2label", "label2id", "problem_type")


def build_same_class(
    teacher: PreTrainedModel, config: PreTrainedConfig, state: dict[str, Tensor] | None = None
) -> PreTrainedModel:
    """Builds a model of the teacher's class from `config`, with the weights `state` (None: random initialisation).

    It has the precision and device of the teacher, and no pooler if the teacher has none. It shares no storage with it, every
    parameter is trainable, and it is in evaluation mode, like models from `from_pretrained`.
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
                f"the first layer of {type(teacher).__name__} has other parameters: no place for {unmatched[0]}; keep layer 0"
            )
        student.load_state_dict(state)
    return student


def match_teacher(teacher: PreTrainedModel, student: PreTrainedModel) -> PreTrainedModel:
    """Moves `student` to the precision and device of the teacher, in evaluation mode, and records how it was built."""
    import transformers

    student = student.to(teacher.device)
    for parameter in student.parameters():
        parameter.data = parameter.data.to(teacher.dtype)  # not the buffers: rotary frequencies need float32
    head = _head_of(student)
    if head is not None and hasattr(transformers, f"AutoModel{head}"):
        record_spec(student, "transformers", {"task": f"AutoModel{head}", "config": student.config.to_dict()})
    return student.eval()


def class_in_family(teacher: PreTrainedModel, family: str) -> type[PreTrainedModel]:
    """Returns the class of `family`, such as "MobileBert", with the head of the teacher.

    Raises:
        ValueError: the family has no such head; the message has those that it has.
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
    """Returns the fields of the configuration about labels, including the number of classes."""
    return {field: getattr(teacher.config, field) for field in LABELS}


def copy_matching(student: nn.Module, teacher: nn.Module) -> None:
    """Copies every parameter with equal name and shape."""
    given = teacher.state_dict()
    fitting = {
        name: given[name] for name, own in student.state_dict().items() if name in given and given[name].shape == own.shape
    }
    student.load_state_dict(fitting, strict=False)


def _head_of(model: PreTrainedModel) -> str | None:
    """Returns a suffix such as `"ForSequenceClassification"`; `""` without head, None if the class name has no suffix."""
    if model.base_model is model:
        return ""
    head = HEAD.search(type(model).__name__)
    return head.group() if head else None


def _is_absent(model: nn.Module, path: str) -> bool:
    """Whether a module that the class can have, such as a pooler, is None in `model`."""
    parent, _, name = path.rpartition(".")
    try:
        holder = model.get_submodule(parent)
    except AttributeError:
        return False
    return getattr(holder, name, model) is None
