"""`cache:` the teacher's outputs, kept on disk."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from limbeck.recipe.paths import expand_variables
from limbeck.recipe.schema.base import Spec, default_of
from limbeck.teacher_cache.cache_config import CacheConfig
from limbeck.teacher_cache.codecs import top_k_codec


class CacheSpec(Spec):
    """The teacher's outputs, kept on disk: each is computed once for any number of epochs, seeds and students."""

    path: str = Field(
        default_of(CacheConfig, "path"),
        description="a folder; auto: one beside the run, which other runs and seeds find again",
    )
    views: int | None = Field(
        default_of(CacheConfig, "views"),
        gt=0,
        le=9999,
        description="augmented views of each item; none: 16, or 1 without views",
    )
    refresh: float = Field(
        default_of(CacheConfig, "refresh"),
        ge=0,
        le=1,
        description="share of the views that are new each time all have been shown; the teacher runs again for these",
    )
    logits: Literal["auto", "fp16", "bf16", "fp32"] | dict[str, Any] = Field(
        default_of(CacheConfig, "logits"),
        description="auto, fp16, bf16, fp32, or the largest only, such as {k: 16, values: steps}",
    )
    features: Literal["fp16", "bf16", "fp32", "int8"] = Field(
        default_of(CacheConfig, "features"), description="of all taps but the logits"
    )
    strict: bool = Field(
        default_of(CacheConfig, "strict"), description="never run the teacher; an output that is not cached is an error"
    )
    view_seed: int = Field(
        default_of(CacheConfig, "view_seed"), description="seed of the views, for all runs that share the cache"
    )

    @field_validator("logits")
    @classmethod
    def _check_logits(cls, value: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(value, dict):
            top_k_codec(value)
        return value

    def build(self) -> CacheConfig:
        return CacheConfig(**self.model_dump() | {"path": expand_variables(self.path, "cache.path")})


def _cache(value: Any) -> Any:
    """Returns the long form of `auto`, `off` (which YAML reads as false) and a folder."""
    if value is False or value == "off":
        return None
    return {"path": "auto" if value is True else value} if isinstance(value, str | bool) else value


CacheField = Annotated[CacheSpec | None, BeforeValidator(_cache)]
