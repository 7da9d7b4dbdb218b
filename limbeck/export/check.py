"""Checks that a written file computes what its model computes: one item and several, texts at two lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from limbeck.export.errors import ExportError
from limbeck.export.text_models import IDS, MASK
from limbeck.export.trace import ANY_BATCH, failing_line, first_line

Inputs: TypeAlias = Tensor | Mapping[str, Tensor]
"""Inputs of a model: one tensor `[N, …]`, or the keyword arguments of a text model, tokens `[N, T]` each."""
FP32_TOLERANCE = 1e-4  # allowed difference of float32 files, see `tolerance`
SEVERAL, MOST = 3, 8  # rows of the larger batch, never the two of the example that is traced
RANDOM = (
    "Check what forward does differently each time or under tracing: dropout left on, random numbers, torch.jit.is_tracing, "
    "caches"
)


def check_batches(example: Inputs) -> list[Inputs]:
    """Returns the batches that a file is checked on: the first item alone, and several; of texts also the first half of each.

    The items are the first of `example`, repeated if it has fewer than `SEVERAL`.
    """
    if isinstance(example, Tensor):
        rows = torch.arange(max(SEVERAL, min(MOST, len(example)))) % len(example)
        return [example[:1].cpu(), example[rows].cpu()]
    tensors = {name: part.cpu().long() for name, part in example.items() if isinstance(part, Tensor)}
    tensors.setdefault(MASK, torch.ones_like(tensors[IDS]))
    count, length = tensors[IDS].shape
    rows = torch.arange(max(SEVERAL, min(MOST, count))) % count
    alone = int(tensors[MASK][0].sum()) or length  # the first text without padding
    sizes = [(torch.arange(1), alone), (torch.arange(1), (alone + 1) // 2), (rows, length), (rows, (length + 1) // 2)]
    left = bool((tensors[MASK][:, 0] == 0).any())  # padded on the left: the texts end together
    cut = [(chosen, slice(-size, None) if left else slice(size)) for chosen, size in sizes]
    return [{name: part[chosen][:, columns] for name, part in tensors.items()} for chosen, columns in cut]


def reference_outputs(model: nn.Module, batches: Sequence[Inputs]) -> list[Tensor]:
    """Returns the outputs of a model that takes one tensor, or tensors of tokens as positional arguments.

    Raises:
        ExportError: the model does not run on one of the batches.
    """
    found = []
    for batch in batches:
        try:
            with torch.no_grad():
                found.append(model(*batch.values()) if isinstance(batch, Mapping) else model(batch))
        except Exception as error:
            raise ExportError(
                f"the model runs on two items, but not on {_size(batch)}: {first_line(error)}", ANY_BATCH, failing_line(error)
            ) from error
    return found


def check_file(
    runner: Callable[[Inputs], Tensor], batches: Sequence[Inputs], references: Sequence[Tensor], *, exact: bool
) -> None:
    """Runs a file on each batch and compares its outputs with those of the model.

    Args:
        exact: whether they must agree as float32 does; else their shapes, and that they are finite where the model's are.

    Raises:
        ExportError: the file does not run on a batch, or returns something else; the message says for how many items.
    """
    for batch, reference in zip(batches, references, strict=True):
        try:
            outputs = runner(batch)
        except (ExportError, RuntimeError, ValueError) as error:
            raise ExportError(f"the file does not run on {_size(batch)}: {error}") from error
        if outputs.shape != reference.shape:
            raise ExportError(
                f"the file returns {list(outputs.shape)} for {_size(batch)}, and the model {list(reference.shape)}",
                ANY_BATCH,
            )
        found, expected = _at_tokens(outputs, batch), _at_tokens(reference, batch)
        if exact:
            check_difference(found, expected, f"for {_size(batch)} ")
        elif bool((expected.isfinite() & ~found.isfinite()).any()):
            raise ExportError(f"the file returns NaN or infinity for {_size(batch)}, and the model does not", "Ship fp32")


def check_difference(outputs: Tensor, reference: Tensor, where: str = "") -> None:
    """Raises `ExportError` if float32 outputs differ by more than rounding explains."""
    difference, allowed = largest_difference(outputs, reference), tolerance(reference, FP32_TOLERANCE)
    if not difference <= allowed:
        raise ExportError(
            f"the file does not compute what the model computes: {where}its outputs differ by up to {difference:.2g}, "
            f"more than rounding explains ({allowed:.2g})",
            RANDOM,
        )


def largest_difference(logits: Tensor, reference: Tensor) -> float:
    """Returns max |logits − reference|."""
    return float((logits - reference).abs().max())


def tolerance(reference: Tensor, absolute: float) -> float:
    """Allowed difference of float32 files: `absolute` · max(1, largest |reference|), since rounding is relative."""
    return absolute * max(1.0, float(reference.abs().max()))


def _at_tokens(outputs: Tensor, batch: Inputs) -> Tensor:
    """Returns the outputs without those at padding, if there is one for each token: `[N, T, …]` or `[N, 2, T]`."""
    if isinstance(batch, Tensor):
        return outputs
    mask = batch[MASK].bool()
    if outputs.ndim == 3 and outputs.shape[2] == mask.shape[1] and outputs.shape[1] == 2:
        return outputs.transpose(1, 2)[mask]
    if outputs.ndim >= 3 and outputs.shape[1] == mask.shape[1]:
        return outputs[mask]
    return outputs


def _size(batch: Inputs) -> str:
    if isinstance(batch, Tensor):
        return "1 item" if len(batch) == 1 else f"{len(batch)} items"
    count, length = batch[IDS].shape
    return f"{count} text{'' if count == 1 else 's'} of {length} token{'' if length == 1 else 's'}"
