"""Wraps text models for export: tokens in, one tensor out, for any number of texts of any length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.errors import TapError
from limbeck.core.model_io import logits_of
from limbeck.export.errors import ExportError
from limbeck.export.trace import failing_line, first_line

IDS, MASK = "input_ids", "attention_mask"
EXAMPLE_TOKENS = 8  # length of an example; tracing specialises lengths of 1 and 2


class TokenLogits(nn.Module):
    """A text model that takes its tensors as positional arguments.

    Args:
        names: keyword arguments of the model, in that order.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, *inputs: Tensor) -> Tensor:
        logits = logits_of(self.model(**dict(zip(self.names, inputs, strict=True))))
        assert isinstance(logits, Tensor)
        return logits


def first_tokens(example: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the first tokens of two texts, `[2, EXAMPLE_TOKENS]`. The last one is padding, so that tracing does not take a
    shortcut for texts without padding.

    All tensors are kept in their order; the attention mask is added if it is missing.
    """
    tensors = {name: tensor for name, tensor in example.items() if isinstance(tensor, Tensor)}
    tensors.setdefault(MASK, torch.ones_like(tensors[IDS]))
    tokens = {
        name: torch.cat((tensor[:1], tensor[-1:]))[:, : EXAMPLE_TOKENS - 1].cpu().long() for name, tensor in tensors.items()
    }
    return {name: F.pad(tensor, (0, EXAMPLE_TOKENS - tensor.shape[1])) for name, tensor in tokens.items()}


def token_logits(model: nn.Module, example: Mapping[str, Tensor]) -> TokenLogits:
    """Wraps `model` so that it takes the tensors of `example` as positional arguments and returns one tensor.

    Raises:
        ExportError: the model does not take them, or returns no logits.
    """
    wrapped, model_class = TokenLogits(model, list(example)), type(model).__name__
    try:
        with torch.no_grad():
            wrapped(*example.values())
    except (TapError, AssertionError) as error:
        raise ExportError(
            f"{model_class} returns no single tensor of logits, but an exported file returns one tensor",
            "Export a wrapper whose forward returns only the logits",
        ) from error
    except Exception as error:
        raise ExportError(
            f"{model_class} does not run on tokens ({', '.join(example)}) of shape "
            f"{[*example[IDS].shape]}: {first_line(error)}",
            "Pass the inputs that its forward takes, from the tokenizer of the model",
            failing_line(error),
        ) from error
    return wrapped
