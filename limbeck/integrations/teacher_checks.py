"""Checks of a teacher that all integrations share."""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck.core.actors import check_weights, frozen, trained
from limbeck.data.text.tokenizer_alignment import vocabulary_difference


def require_one_precision(teacher: nn.Module) -> None:
    """Refuse a teacher that was loaded in several precisions.

    Layers that Transformers keeps in float32, and quantised models, are accepted.

    Raises:
        ValueError: with the precisions found.
    """
    if getattr(teacher, "quantization_method", None) is not None or getattr(teacher, "_keep_in_fp32_modules", None):
        return
    found = sorted({str(p.dtype).removeprefix("torch.") for p in teacher.parameters() if p.is_floating_point()})
    if len(found) > 1:
        raise ValueError(
            f"teacher: the parameters of {type(teacher).__name__} are in {' and '.join(found)}, so its layers do not fit each "
            "other; load it with one dtype=…, or convert it with teacher.to(torch.float32)"
        )


def require_own_weights(student: nn.Module, teacher: nn.Module) -> None:
    """Refuse a teacher that is the student or shares weights with it: training would change them, or freezing them would keep
    the student from learning.

    Raises:
        ValueError: with the first weights that they share.
    """
    check_weights({"student": trained(student), "teacher": frozen(teacher)})


def tokenizer_difference(student: Any, teacher: Any) -> tuple[bool, str | None]:
    """Compares the vocabularies of two tokenizers.

    Returns:
        whether both vocabularies are known, and the first id that stands for different tokens, None if there is none.
    """
    if not (hasattr(student, "get_vocab") and hasattr(teacher, "get_vocab")):
        return False, None
    return True, vocabulary_difference(student.get_vocab(), teacher.get_vocab())
