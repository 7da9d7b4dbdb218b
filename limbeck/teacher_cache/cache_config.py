"""Configuration of a teacher cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from limbeck.data.fields.views import ViewSpecs, transforms_in
from limbeck.teacher_cache.codecs import top_k_codec

AUTO = "auto"
DEFAULT_VIEWS = 16  # no view is shown twice in trainings of so many epochs


@dataclass(frozen=True)
class CacheConfig:
    """Which outputs of a teacher are cached, in which precision, and where.

    Attributes:
        path: a folder; "auto": one beside the run, named after a hash of the teacher, views and data, so that other runs and
            seeds find it again.
        views: augmented views of each item; None: 16, or 1 without augmentation. An epoch shows each item in one of them. If
            they change no field that a cached teacher reads, None leaves them new in every epoch.
        refresh: share of the views that are replaced by new ones each time all have been shown, from 0 to 1: with `views=8,
            refresh=0.25` the teacher computes two more views of each item in epochs 9 to 16, in place of the two oldest.
        logits: "auto", "fp16", "bf16", "fp32", or `{"k": 16}` with the options of `TopKCodec`.
        features: precision of all other taps: "fp16", "bf16", "fp32" or "int8" (with a scale for each channel and item).
        strict: never run the teacher; outputs that are not in the cache are an error.
        view_seed: seed of the views, for all runs that share the cache.

    Raises:
        ValueError: a refresh that is no share; options of `logits` that `TopKCodec` does not have.
    """

    path: str | Path = AUTO
    views: int | None = None
    refresh: float = 0.0
    logits: str | Mapping[str, Any] = AUTO
    features: Literal["fp16", "bf16", "fp32", "int8"] = "fp16"
    strict: bool = False
    view_seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.refresh <= 1:
            raise ValueError(f"refresh={self.refresh}: expected a share of the views, from 0 to 1")
        if isinstance(self.logits, Mapping):
            try:
                top_k_codec(self.logits)
            except ValueError as error:
                raise ValueError(f"logits={dict(self.logits)}: {error}") from error
        if self.path != AUTO:
            object.__setattr__(self, "path", Path(self.path).expanduser())

    def view_count(self, views: ViewSpecs) -> int:
        """Returns the number of views of each item; `views` is the augmentation."""
        augmented = any(True for _ in transforms_in(views))
        return self.views if self.views is not None else (DEFAULT_VIEWS if augmented else 1)
