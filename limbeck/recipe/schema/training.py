"""`training:` and `optimizer:`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import ConfigDict, Discriminator, Field, Tag, field_validator, model_validator
from torch import nn

from limbeck.data import Pipeline
from limbeck.engine import Length, Optimizer, Settings, epochs, steps
from limbeck.engine.trackers import check_tracker_names
from limbeck.engine.training import Training, default_optimizer
from limbeck.recipe.schema.base import NamedPart, Precision, Spec, check_buildable, default_of

MAX_EPOCHS, MAX_STEPS, MAX_BATCH = 1_000_000, 10**10, 10**7
MAX_THREADS, MAX_PREFETCH = 1024, 1024  # a process cannot start any number of threads


class OptimizerSpec(Spec):
    """An optimizer of torch.optim by name. Fields that are not listed are its arguments (momentum, weight_decay, betas, …)."""

    model_config = ConfigDict(extra="allow")
    name: str = default_optimizer().name
    lr: float = Field(default_optimizer().lr, gt=0)
    schedule: float | str | dict[str, Any] = Field(
        default_factory=lambda: {"warmup": {"until": 0.05, "then": "cosine"}}, description="of the learning rate"
    )
    decay_vectors: bool = Field(
        default_of(Optimizer, "decay_vectors"), description="weight decay on biases and normalisation weights too"
    )

    @model_validator(mode="after")
    def _check_arguments(self) -> Self:
        check_buildable(lambda: self.build().build([nn.Parameter(torch.zeros(1, 1))]))
        return self

    def build(self) -> Optimizer:
        return Optimizer(self.name, self.lr, self.schedule, dict(self.model_extra or {}), self.decay_vectors)


def _kind(value: Any) -> str:
    return "named views" if isinstance(value, Mapping) else "list of views"


ViewList = Annotated[list[NamedPart], Tag("list of views")]
ViewField = Annotated[ViewList | Annotated[dict[str, list[NamedPart]], Tag("named views")], Discriminator(_kind)]
ViewsField = Annotated[ViewList | Annotated[dict[str, ViewField], Tag("named views")], Discriminator(_kind)]


def _lists_in(views: Any) -> Iterator[list[Any]]:
    """The lists of transforms in any form of views."""
    if isinstance(views, Mapping):
        for part in views.values():
            yield from _lists_in(part)
    else:
        yield views


class TrainingSpec(Spec):
    """How models are trained."""

    epochs: float | None = Field(None, gt=0, le=MAX_EPOCHS)
    steps: int | None = Field(None, gt=0, le=MAX_STEPS)
    batch_size: int = Field(default_of(Training, "batch_size"), gt=0, le=MAX_BATCH)
    views: ViewsField = Field(
        default_factory=lambda: list(default_of(Training, "views")),
        description="augmentation of the training items, in order; by field ({image: […], wave: […]}), or several views "
        "by name ({default: […], weak: […]})",
    )
    optimizer: OptimizerSpec = Field(default_factory=lambda: OptimizerSpec.model_validate({}))
    precision: Precision = default_of(Settings, "precision")
    ema: float | None = Field(
        default_of(Training, "ema"), gt=0, lt=1, description="decay of an average of the student, which is then kept"
    )
    accumulate: int = Field(default_of(Settings, "accumulate"), gt=0)
    clip: float | None = Field(default_of(Settings, "clip"), gt=0)
    compile: bool = default_of(Settings, "compile")
    patience: int | None = Field(default_of(Training, "patience"), gt=0)
    validate_every: int = Field(default_of(Training, "validate_every"), gt=0, description="epochs between evaluations")
    checkpoint_every: int | None = Field(
        default_of(Settings, "checkpoint_every"), gt=0, description="steps between checkpoints; none: every epoch"
    )
    log_every: int = Field(default_of(Settings, "log_every"), gt=0)
    trackers: list[str] = Field(default_factory=lambda: list(default_of(Settings, "trackers")))
    prefetch: int = Field(default_of(Training, "prefetch"), ge=0, le=MAX_PREFETCH)
    workers: int | None = Field(
        default_of(Training, "workers"),
        ge=0,
        le=MAX_THREADS,
        description="processes that make batches; none: one a core, at most 8, if items are decoded anew on more than 4 cores",
    )
    evaluation_batch_size: int | None = Field(
        default_of(Training, "evaluation_batch_size"),
        gt=0,
        le=MAX_BATCH,
        description="items of an evaluation that a model runs on at once; none: as many as a process gets in training",
    )
    overlap: bool = Field(
        default_of(Training, "overlap"), description="half of each batch are the items of the batch before, in other views"
    )
    device: Literal["cpu"] | None = default_of(Settings, "device")
    threads: int | None = Field(
        default_of(Settings, "threads"), gt=0, le=MAX_THREADS, description="of the CPU; very small models are fastest with 1"
    )
    sync_batch_norm: bool = Field(
        default_of(Settings, "sync_batch_norm"),
        description="BatchNorm over the whole batch where several processes share it, as one process would",
    )
    shard: bool = Field(
        default_of(Settings, "shard"),
        description="several processes hold a part of every weight each (FSDP2), for models that do not fit one device",
    )
    gradient_checkpointing: bool = Field(
        default_of(Settings, "gradient_checkpointing"),
        description="repeated blocks keep their inputs only and compute the rest again: less memory, more time, same results",
    )

    @field_validator("views")
    @classmethod
    def _check_views(cls, views: Any) -> Any:
        check_buildable(lambda: [Pipeline.from_spec(part).modality for part in _lists_in(views)])
        return views

    @field_validator("trackers")
    @classmethod
    def _check_trackers(cls, trackers: list[str]) -> list[str]:
        check_tracker_names(trackers)
        return trackers

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"epochs is {self.epochs:g} and steps is {self.steps}; give one of the two")
        if self.overlap and self.batch_size % 2:
            raise ValueError(f"overlap: half of each batch of {self.batch_size} is repeated; set batch_size to an even number")
        check_buildable(self._settings)
        return self

    def _settings(self) -> Settings:
        return Settings(
            precision=self.precision,
            accumulate=self.accumulate,
            clip=self.clip,
            compile=self.compile,
            checkpoint_every=self.checkpoint_every,
            log_every=self.log_every,
            trackers=tuple(self.trackers),
            device=self.device,
            threads=self.threads,
            sync_batch_norm=self.sync_batch_norm,
            shard=self.shard,
            gradient_checkpointing=self.gradient_checkpointing,
        )

    def build(self) -> Training:
        return Training(
            length=length(self.epochs, self.steps),
            batch_size=self.batch_size,
            views=self.views,
            optimizer=self.optimizer.build(),
            ema=self.ema,
            settings=self._settings(),
            patience=self.patience,
            validate_every=self.validate_every,
            prefetch=self.prefetch,
            workers=self.workers,
            evaluation_batch_size=self.evaluation_batch_size,
            overlap=self.overlap,
        )


def length(epoch_count: float | None, step_count: int | None) -> Length:
    """Returns the length of a training; the default of `Training` if neither epochs nor steps are given."""
    if step_count is not None:
        return steps(step_count)
    default: Length = default_of(Training, "length")
    return default if epoch_count is None else epochs(epoch_count)
