"""What a Trainer could not distil well is refused before the first step."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.criterion import Criterion
from limbeck.core.model_io import LOGITS
from limbeck.core.taps.tap import Tap
from limbeck.data.text.tokenizer_alignment import vocabulary_difference
from limbeck.integrations.columns import PREFIX, Columns, is_encoder_decoder
from limbeck.objectives.spans import SpanObjective
from limbeck.objectives.transformers import TokenObjective


def precision(teacher: nn.Module) -> None:
    """Refuse a teacher that was loaded in several precisions; layers that Transformers keeps wide, and quantised models, pass.

    Raises:
        ValueError: with the precisions found.
    """
    if getattr(teacher, "quantization_method", None) is not None or getattr(teacher, "_keep_in_fp32_modules", None):
        return
    found = sorted({str(p.dtype).removeprefix("torch.") for p in teacher.parameters() if p.is_floating_point()})
    if len(found) > 1:
        raise ValueError(
            f"teacher: the parameters of {type(teacher).__name__} are in {' and '.join(found)}, so its layers do not fit each "
            "other; load it with one dtype=…, or bring it to one with teacher.to(torch.float32)"
        )


def arguments(args: Any, criterion: Criterion) -> None:
    """Refuse training arguments under which the student's signals do not exist.

    Raises:
        ValueError: with the argument and what to do instead.
    """
    taps = {r.tap for term in criterion.terms for r in term.students}
    if args.use_liger_kernel and LOGITS in taps:
        raise ValueError("use_liger_kernel=True: its fused loss makes no logits, which a term compares; leave it out")
    inner = sorted(taps - {LOGITS})
    if args.torch_compile and inner:
        raise ValueError(
            f"torch_compile=True: a compiled student cannot be tapped at {', '.join(inner)}; leave it out, or compare "
            "outputs only"
        )


def tokens(criterion: Criterion, columns: Columns, inputs: Mapping[str, Any]) -> None:
    """Refuse terms that compare token by token where student and teacher read other tokens, or where the mask is another's.

    Raises:
        ValueError: with the term.
    """
    apart = columns.are_apart(inputs)
    for term, by_token in zip(criterion.terms, criterion.token_level, strict=True):
        if not by_token and not isinstance(term.objective, TokenObjective | SpanObjective):
            continue
        if apart and term.teachers:
            raise ValueError(
                f"term {term.name!r}: it compares token by token, and the teacher reads tokens of its own (the columns "
                f"{PREFIX}…); compare outputs of whole texts, embeddings, or relations"
            )
        paths = [Tap.parse(reference.tap).path for reference in term.students]
        if is_encoder_decoder(columns.student) and any(re.search(r"(^|\.)encoder(\.|$)", path) for path in paths):
            raise ValueError(
                f"term {term.name!r}: it taps the encoder of {type(columns.student).__name__}, and the tokens that count are "
                "the decoder's; tap the decoder, or distil the encoder alone"
            )


def vocabulary(columns: Columns, inputs: Mapping[str, Any], tokenizer: Any, teachers: Any) -> None:
    """Refuse to show a teacher the student's token ids where they mean other tokens to it.

    Where both tokenizers are known, they must give each token the same id; otherwise both models must know as many tokens.

    Raises:
        ValueError: with the first token that differs, or where a tokenizer is unknown with both sizes; and what to do instead.
    """
    if columns.teacher is None or "input_ids" not in inputs or columns.are_apart(inputs):
        return
    known = [one.get_vocab() for one in (tokenizer, teachers) if hasattr(one, "get_vocab")]
    apart = vocabulary_difference(*known) if len(known) == 2 else _other_size(columns)
    if apart is not None:
        raise ValueError(
            f"teacher: it reads the student's token ids, which mean other tokens to it ({apart}). Tokenise for the teacher "
            f"too: columns {PREFIX}input_ids, {PREFIX}attention_mask, and teacher_processing_class=… to pad them. Where the "
            "tokenizers are the same, hand over both"
        )


def _other_size(columns: Columns) -> str | None:
    """How many tokens the models know, where these are not as many."""
    ours, theirs = vocabulary_size(columns.student), None if columns.teacher is None else vocabulary_size(columns.teacher)
    if ours is None or theirs is None or ours == theirs:
        return None
    return f"its vocabulary has {theirs}, the student's {ours}"


def vocabulary_size(model: nn.Module) -> int | None:
    """How many tokens a model knows; None where it reads none."""
    config: Any = getattr(model, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    size: int | None = getattr(text, "vocab_size", None)
    return size


def ignores_count(loss: Callable[[Tensor], Tensor]) -> bool:
    """Whether a loss is the same whatever number of items it is told to divide by: the mean over its own batch, then."""
    with torch.no_grad():
        one, two = (float(loss(torch.tensor(count))) for count in (1, 2))
    return one == two != 0


def autocast_of(precision: str) -> torch.dtype | None:
    """The data type of a Trainer's mixed precision."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
