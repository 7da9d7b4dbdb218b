"""PyTorch as a runtime, so that files are compared with the model that they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck.core.model_io import call_model, logits_of
from limbeck.export.base import Format, Runner
from limbeck.export.check import Inputs
from limbeck.export.errors import ExportError
from limbeck.export.value_range import ValueRange
from limbeck.models import load_model, save_model, spec_of
from limbeck.models.saving import CONFIG
from limbeck.utils.json_files import read_json

PYTORCH = "pytorch"
TOKENS = ("input_ids", "attention_mask", "token_type_ids")  # inputs of text models


class PyTorch(Format):
    """A student folder as `save_model` writes it, run in float32 in evaluation mode. Not an export, hence not in `formats`."""

    name = PYTORCH
    suffix = ""
    precisions = ("fp32",)
    texts: ClassVar[bool] = True
    is_checked: ClassVar[bool] = False  # the saved weights are the model's own

    def _prepared(self, model: nn.Module, example: Inputs) -> nn.Module:
        return model

    def _write(
        self,
        model: nn.Module,
        path: Path,
        example: Any,
        precision: str,
        calibration: Sequence[Tensor],
        allowed: ValueRange | None = None,
    ) -> None:
        if spec_of(model) is None and not hasattr(model, "save_pretrained"):
            raise ExportError(f"it is unknown how to build this {type(model).__name__}, so that no other process can load it")
        save_model(model, None, path)

    def open(self, path: Path) -> Runner:
        torch.set_num_threads(1)
        model = load_model(path)

        def run(inputs: Inputs) -> Tensor:
            with torch.inference_mode():
                found = logits_of(call_model(model, inputs))
            assert isinstance(found, Tensor)
            return found

        names = tuple(name for name in TOKENS if name in signature(model.forward).parameters)
        if TOKENS[0] in names:
            return Runner(run, (), torch.int64, names)
        return Runner(run, stated_shape(path))


def stated_shape(folder: Path) -> tuple[int, ...]:
    """The shape of one input from the arguments of the model in `folder`; empty if they do not contain it.

    That of an exit, a variant, an ensemble or a model with exits is the shape of the model that it is made of.
    """
    return _shape_in(_config(folder).get("args", {}))


def _shape_in(args: Mapping[str, Any]) -> tuple[int, ...]:
    inner = args.get("of") or args.get("model") or next(iter(args.get("models") or ()), None)
    if isinstance(inner, Mapping):
        return _shape_in(inner.get("args", {}))
    if isinstance(args.get("channels"), int) and isinstance(args.get("size"), int):
        return (args["channels"], args["size"], args["size"])
    return (args["inputs"],) if isinstance(args.get("inputs"), int) else ()


def _config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG
    found = read_json(file) if file.is_file() else {}
    return found if isinstance(found, dict) else {}
