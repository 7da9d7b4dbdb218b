"""Configuration of a teacher cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from limbeck.data.fields.views import ViewSpecs, transforms_in

AUTO = "auto"
DEFAULT_VIEWS = 8


@dataclass(frozen=True)
class CacheConfig:
    """Which outputs of a teacher are cached, in which precision, and where.

    Attributes:
        path: a folder; "auto": one beside the run, named after a hash of the teacher, views and data, so that other runs and
            seeds find it again.
        views: augmented views of each item; None: 8, or 1 without augmentation. An epoch shows each item in one of them.
        logits: "auto", "fp16", "bf16", "fp32", or `{"k": 16}` with the options of `TopKCodec`.
        features: precision of all other taps: "fp16", "bf16", "fp32" or "int8" (with a scale for each channel and item).
        strict: never run the teacher; outputs that are not in the cache are an error.
        view_seed: seed of the views, for all runs that share the cache.
    """

    path: str | Path = AUTO
    views: int | None = None
    logits: str | Mapping[str, Any] = AUTO
    features: Literal["fp16", "bf16", "fp32", "int8"] = "fp16"
    strict: bool = False
    view_seed: int = 0

    def view_count(self, views: ViewSpecs) -> int:
        """Returns the number of views of each item; `views` is the augmentation."""
        augmented = any(True for _ in transforms_in(views))
        return self.views if self.views is not None else (DEFAULT_VIEWS if augmented else 1)
