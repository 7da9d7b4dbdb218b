"""Taps are addresses of signals inside a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from limbeck.core.errors import TapError
from limbeck.core.taps.attention_modules import KINDS
from limbeck.core.taps.batch_statistics import STATISTICS, statistics_hook_point
from limbeck.core.taps.encoder_layout import HookPoint, attention_hook_point, hidden_hook_point, is_number
from limbeck.utils.registry import nearest_names

SIDES = ("input", "hidden", "cls", STATISTICS, *KINDS)  # written in front of the address; a bare path is the module's output
_PATTERN = re.compile(r"(\w+)\((.*)\)")


ADDED = {  # what models are given beside their own modules, how a recipe says so, and how Python does
    "exits": ("exits: [layer1, layer2]", "models.with_exits"),
    "branches": ("branches: {modules: [layer3, linear], count: 3}", "models.with_branches"),
}


def missing_part(path: str, modules: Sequence[str]) -> str | None:
    """What to do about a tap in exits or branches that a model was not given; None for other taps."""
    part = path.partition(".")[0]
    if part not in ADDED or any(name.partition(".")[0] == part for name in modules):
        return None
    recipe, function = ADDED[part]
    return f"it has no {part}; in a recipe give the model, for example, {recipe}, in Python use {function}"


@dataclass(frozen=True)
class Tap:
    """The address of a signal: the path of a module as in `named_modules()` or the number of a layer, and what is read there.

    As text, where D is the width of a hidden state, d that of a head, and T the number of tokens:

        layer3, input(layer3)                 output of a module, input of a module
        logits                                output of the model
        hidden(N), cls(N)                     the state after layer N [B, T, D], and its first token [B, D]; 0: the embeddings
        scores(P)                             QKᵀ·scale with position biases, before any mask [B, heads, T, T]
        attention(P)                          attention probabilities, before dropout [B, heads, T, T]
        queries(P), keys(P), values(P)        as the attention uses them [B, heads, T, d]
        statistics(P)                         moments of what a BatchNorm layer reads, and its running variance [B, 3, C]; see
                                              `batch_statistics.input_statistics`

    P is the path of an attention module (of statistics: a BatchNorm layer) or of a module that contains exactly one; of an
    attention module it may be the number N of its layer: 1 to L from the input, -1 to -L from the output. Numbers are for
    encoders with one list of layers; see `encoder_layout.layers`.

    Attributes:
        path: path of a module, or number of a layer.
        of: what is read there: `output`, `input`, `hidden`, `cls`, `statistics`, or a kind of attention.

    Raises:
        TapError: an unknown kind, path or number, or a signal that the module does not provide; the message names the others.
    """

    path: str
    of: str = "output"

    @classmethod
    def parse(cls, text: str | Tap) -> Tap:
        """Parses the text form."""
        if isinstance(text, Tap):
            return text
        match = _PATTERN.fullmatch(text)
        if match is None:
            return cls(text)
        of, path = match.groups()
        if of not in SIDES:
            raise TapError(f"unknown kind {of!r} in tap {text!r}; there are a bare path and {', '.join(SIDES)}")
        return cls(path, of)

    def __str__(self) -> str:
        return self.path if self.of == "output" else f"{self.of}({self.path})"

    def hook_point(self, model: nn.Module) -> HookPoint:
        """Where in the model the hook goes; an unknown path raises with the three nearest names."""
        if self.of in ("hidden", "cls"):
            return hidden_hook_point(model, self.path)
        if self.of in KINDS and is_number(self.path):
            return attention_hook_point(model, self.path, self.of)
        modules = dict(model.named_modules(remove_duplicate=False))  # a shared module has several names
        if self.path not in modules:
            known = [name for name in modules if name]
            offer = ", ".join(nearest_names(self.path, known)) or "the model has no submodules"
            remedy = missing_part(self.path, known) or f"nearest: {offer}"
            raise TapError(f"unknown tap {self.path!r} in {type(model).__name__}; {remedy}")
        if self.of == STATISTICS:
            return statistics_hook_point(model, self.path)
        return attention_hook_point(model, self.path, self.of) if self.of in KINDS else HookPoint(self.path, self.of)

    def find(self, model: nn.Module) -> nn.Module:
        """The module at this address."""
        return model.get_submodule(self.hook_point(model).path)
