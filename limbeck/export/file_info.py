"""What a stranger needs to use an exported file: how inputs are made, what the outputs are called, how good the model was.

An ONNX file holds it in its metadata, one JSON value for each key. Beside a file of a format without metadata lies the same as
`NAME.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from limbeck.data import Items, TokenStorage
from limbeck.models.base import Normalize

if TYPE_CHECKING:
    from limbeck.evaluation import Verdict

RESIZE = "scale to cover the size (bilinear, Pillow's ImageOps.fit), then crop around the centre"
SUFFIX = ".json"  # of the file beside one that has no metadata
VALUE_RANGE = (0.0, 1.0)  # of images


def file_info(model: nn.Module, items: Items, verdict: Verdict | None = None, result: str = "student") -> dict[str, Any]:
    """Returns what is written into the files of a model.

    Args:
        items: the test items as the model reads them.
        verdict: of the run; its figures of `result` are added.

    Returns: by key, values that JSON has:
        limbeck: the version that wrote the file.
        task, metric, figures: of the run; `figures` has the mean of all seeds with its interval, the teacher's and the gain.
        classes: names in the order of the outputs; their numbers if the classes have no names.
        value_range, size, channels, resize: of images.
        normalisation: "in the file" if the model normalises its inputs itself, with mean and deviation; else "none".
        max_tokens, padding: of texts.
    """
    info: dict[str, Any] = {"limbeck": version("limbeck")}
    names = (None if verdict is None else verdict.classes) or items.class_names
    if not names and items.has_classes and items.classes is not None:
        names = [str(number) for number in range(items.classes)]
    if names:
        info["classes"] = list(names)
    info |= _of_inputs(model, items)
    return info if verdict is None else info | _figures(verdict, result)


def _of_inputs(model: nn.Module, items: Items) -> dict[str, Any]:
    storage = items.storage
    if isinstance(storage, TokenStorage):
        tokenizer = next(iter(storage.encodings.values())).tokenizer
        return {"max_tokens": tokenizer.max_length, "padding": "left" if tokenizer.pad_left else "right"}
    found: dict[str, Any] = {"normalisation": "none"}
    own = next((module for module in model.modules() if isinstance(module, Normalize)), None)
    if own is not None:
        found = {"normalisation": "in the file", "mean": own.mean.flatten().tolist(), "std": own.std.flatten().tolist()}
    if not items.images:
        return found
    channels, height, width = items.fetch(torch.arange(1)).shape[1:]
    return found | {
        "value_range": list(VALUE_RANGE),
        "channels": channels,
        "size": [height, width],
        "resize": RESIZE,
    }


def _figures(verdict: Verdict, result: str) -> dict[str, Any]:
    found = verdict.results.get(result)
    arm = verdict.teacher if found is None else found.distilled
    figures: dict[str, Any] = {"seeds": len(verdict.seeds)}
    if arm is not None:
        figures |= {"value": arm.metric, "ci95": list(arm.ci95)}
    if found is not None and verdict.teacher is not None:
        figures["teacher"] = verdict.teacher.metric
    if found is not None and (told := verdict.told(found)) is not None:
        figures |= {"gain": told[1].value, "gain_ci95": list(told[1].ci95)}
    return {"task": verdict.task, "metric": verdict.metric.name, "figures": figures}


def write_beside(path: Path, info: Mapping[str, Any]) -> None:
    """Writes the info of the file at `path` beside it."""
    beside(path).write_text(json.dumps(dict(info), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def beside(path: Path) -> Path:
    """The path of the info of a file that has no metadata: `student-int8.pte.json`."""
    return path.with_name(path.name + SUFFIX)
