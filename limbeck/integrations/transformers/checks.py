"""Checks before training: refuses what a Trainer cannot distil."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.criterion import Criterion
from limbeck.core.model_io import LOGITS
from limbeck.core.taps.tap import Tap
from limbeck.integrations.teacher_checks import tokenizer_difference
from limbeck.integrations.transformers.collator import TEACHER_PREFIX
from limbeck.integrations.transformers.columns import BatchColumns
from limbeck.objectives.spans import SpanObjective
from limbeck.objectives.transformers import TokenObjective
from limbeck.tasks.next_token import is_encoder_decoder


def require_one_device(trainer: Any) -> None:
    """Refuse sharded training, and several GPUs in one process.

    Raises:
        ValueError: with what works instead.
    """
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled or trainer.args.n_gpu > 1:
        raise ValueError(
            "args: distillation runs on one device, or on several with one process each (torchrun, accelerate launch), not "
            "sharded by FSDP or DeepSpeed and not on several GPUs from one process"
        )


def require_signals(args: Any, criterion: Criterion) -> None:
    """Refuse training arguments under which the student does not compute the signals that the terms read.

    Raises:
        ValueError: with the argument and what to do instead.
    """
    taps = {r.tap for term in criterion.terms for r in term.students}
    if args.use_liger_kernel and LOGITS in taps:
        raise ValueError("use_liger_kernel=True: its fused loss computes no logits, which a term compares; leave it out")
    inner = sorted(taps - {LOGITS})
    if args.torch_compile and inner:
        raise ValueError(
            f"torch_compile=True: a compiled student cannot be tapped at {', '.join(inner)}; leave it out, or compare "
            "outputs only"
        )


def require_open_scheduler(trainer: Any, criterion: Criterion) -> None:
    """Refuse a learning rate scheduler that was made without the parameters of the terms.

    Raises:
        ValueError: with what to pass instead.
    """
    has_parameters = any(True for _ in criterion.parameters())
    if has_parameters and trainer.lr_scheduler is not None and trainer.optimizer is not None:
        raise ValueError(
            "optimizers: a term has parameters of its own, which a scheduler made before does not know; pass "
            "(optimizer, None) and choose lr_scheduler_type"
        )


def missing_labels(names: Sequence[str], weight: float, error: ValueError) -> ValueError:
    """Returns the error for a batch without labels, where the Trainer's own loss has a weight."""
    return ValueError(
        f"labels={weight}: the batch holds none of {', '.join(names) or 'the labels'} ({error}); name the column so, or pass "
        "labels=0 to learn from the teacher alone"
    )


def require_aligned_tokens(criterion: Criterion, columns: BatchColumns, inputs: Mapping[str, Any]) -> None:
    """Refuse terms that compare token by token if student and teacher read different tokens, or the mask is of others.

    Raises:
        ValueError: with the term.
    """
    different = columns.has_teacher_tokens(inputs)
    for term, by_token in zip(criterion.terms, criterion.per_token, strict=True):
        if not by_token and not isinstance(term.objective, TokenObjective | SpanObjective):
            continue
        if different and term.teachers:
            raise ValueError(
                f"term {term.name!r}: it compares token by token, and the teacher reads tokens of its own (the columns "
                f"{TEACHER_PREFIX}…); compare outputs of whole texts, embeddings, or relations"
            )
        paths = [Tap.parse(reference.tap).path for reference in term.students]
        if is_encoder_decoder(columns.student) and any(re.search(r"(^|\.)encoder(\.|$)", path) for path in paths):
            raise ValueError(
                f"term {term.name!r}: it taps the encoder of {type(columns.student).__name__}, and the tokens that count are "
                "the decoder's; tap the decoder, or distil the encoder alone"
            )


def require_same_vocabulary(columns: BatchColumns, inputs: Mapping[str, Any], tokenizer: Any, teacher_tokenizer: Any) -> None:
    """Refuse a teacher that reads the student's token ids if they stand for other tokens in its vocabulary.

    If both tokenizers are known, they must give each token the same id; otherwise both vocabularies must have the same size.

    Raises:
        ValueError: with the first token that differs, or with both sizes if a tokenizer is unknown; and what to do instead.
    """
    if columns.teacher is None or "input_ids" not in inputs or columns.has_teacher_tokens(inputs):
        return
    known, difference = tokenizer_difference(tokenizer, teacher_tokenizer)
    if not known:
        difference = _size_difference(columns.student, columns.teacher)
    if difference is not None:
        raise ValueError(
            f"teacher: it reads the student's token ids, which stand for other tokens in its vocabulary ({difference}). "
            f"Tokenise for the teacher too: columns {TEACHER_PREFIX}input_ids, {TEACHER_PREFIX}attention_mask, and "
            "teacher_processing_class=… to pad them. If the tokenizers are the same, pass both"
        )


def _size_difference(student: nn.Module, teacher: nn.Module) -> str | None:
    """The sizes of two vocabularies, if they differ."""
    ours, theirs = vocabulary_size(student), vocabulary_size(teacher)
    if ours is None or theirs is None or ours == theirs:
        return None
    return f"its vocabulary has {theirs}, the student's {ours}"


def vocabulary_size(model: nn.Module) -> int | None:
    """Returns the vocabulary size of a model; None if it reads no tokens."""
    config: Any = getattr(model, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    size: int | None = getattr(text, "vocab_size", None)
    return size


def ignores_count(loss: Callable[[Tensor], Tensor]) -> bool:
    """Whether a loss ignores the number of items that it is given to divide by: it is the mean over its own batch then."""
    with torch.no_grad():
        one, two = (float(loss(torch.tensor(count))) for count in (1, 2))
    return one == two != 0


def autocast_of(precision: str) -> torch.dtype | None:
    """Returns the data type of a Trainer's mixed precision."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
