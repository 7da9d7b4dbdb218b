"""PyTorch itself as a runtime, so that what a file costs stands beside what the model cost before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.export.base import Format, Runner
from limbeck.export.error import ExportError
from limbeck.models import load_student, save_student, spec_of
from limbeck.models.student import CONFIG
from limbeck.taps import logits_of

PYTORCH = "pytorch"
LIBRARIES = ("transformers", "timm", "torchvision")  # models that another package builds, by the name of their builder


class PyTorch(Format):
    """A student's folder, as `save_student` writes it; the float32 model in eval mode. It is no export, so it is not among
    `formats`."""

    name = PYTORCH
    suffix = ""
    precisions = ("fp32",)

    def _write(self, model: nn.Module, path: Path, example: Tensor, precision: str, calibration: Sequence[Tensor]) -> None:
        if spec_of(model) is None:
            raise ExportError(f"how this {type(model).__name__} is built is unknown, so it cannot be built elsewhere")
        save_student(model, None, path)

    def open(self, path: Path) -> Runner:
        torch.set_num_threads(1)
        model = load_student(path)

        def run(inputs: Tensor) -> Tensor:
            with torch.inference_mode():
                found = logits_of(model(inputs))
            assert isinstance(found, Tensor)
            return found

        return Runner(run, stated_shape(path))

    def libraries(self, path: Path) -> tuple[str, ...]:
        built_by = _config(path).get("model")
        return (built_by,) if built_by in LIBRARIES else ()


def stated_shape(folder: Path) -> tuple[int, ...]:
    """The shape of one input, as far as the arguments of the model in `folder` tell; empty where they do not."""
    args = _config(folder).get("args", {})
    if isinstance(args.get("channels"), int) and isinstance(args.get("size"), int):
        return (args["channels"], args["size"], args["size"])
    return (args["inputs"],) if isinstance(args.get("inputs"), int) else ()


def _config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found if isinstance(found, dict) else {}
