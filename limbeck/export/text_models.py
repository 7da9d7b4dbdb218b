"""Models of texts as a file holds them: tokens in, one tensor out, for any number of texts of any length."""

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
EXAMPLE_TOKENS = 8  # tokens of an example: more than one and two, which tracing takes for constants


class TokenLogits(nn.Module):
    """A model of texts over tensors in a fixed order.

    Args:
        names: the model's keyword arguments, in that order.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, *inputs: Tensor) -> Tensor:
        logits = logits_of(self.model(**dict(zip(self.names, inputs, strict=True))))
        assert isinstance(logits, Tensor)
        return logits


def first_tokens(example: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The first tokens of two texts, `[2, WIDTH]`, the last of them padding, so that no shortcut for unpadded texts is traced.

    Every name with a tensor stays, in its order; the mask of padding is added where there is none.
    """
    tensors = {name: tensor for name, tensor in example.items() if isinstance(tensor, Tensor)}
    tensors.setdefault(MASK, torch.ones_like(tensors[IDS]))
    tokens = {
        name: torch.cat((tensor[:1], tensor[-1:]))[:, : EXAMPLE_TOKENS - 1].cpu().long() for name, tensor in tensors.items()
    }
    return {name: F.pad(tensor, (0, EXAMPLE_TOKENS - tensor.shape[1])) for name, tensor in tokens.items()}


def token_logits(model: nn.Module, example: Mapping[str, Tensor]) -> TokenLogits:
    """`model` so that it takes the tensors of `example` one after the other and returns one.

    Raises:
        ExportError: it does not take them, or returns no logits.
    """
    wrapped, model_class = TokenLogits(model, list(example)), type(model).__name__
    try:
        with torch.no_grad():
            wrapped(*example.values())
    except (TapError, AssertionError) as error:
        raise ExportError(
            f"{model_class} returns no single tensor of logits, and a file has one as its output",
            "Export a wrapper whose forward returns the logits alone",
        ) from error
    except Exception as error:
        raise ExportError(
            f"{model_class} does not run on tokens ({', '.join(example)}) of shape "
            f"{[*example[IDS].shape]}: {first_line(error)}",
            "Pass the inputs that its forward takes, from the tokenizer of the model",
            failing_line(error),
        ) from error
    return wrapped
