"""Caches of frozen actors in an experiment: what they hold, where, and how a training opens them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limbeck.data import Dataset
from limbeck.data.fields import default_view
from limbeck.experiment.arm_stages import arm_stages
from limbeck.experiment.experiment import Experiment, inference_device, read_by
from limbeck.experiment.plan import Plan
from limbeck.experiment.teacher_outputs import TeacherOutputs
from limbeck.teacher_cache import CachedTeacher, Codec, TeacherQuery, cache_folder, choose_codecs, open_cache


@dataclass(frozen=True)
class CachePlan:
    """What is computed and where it is kept.

    Attributes:
        query: the teacher, its inputs and its taps; close it after use.
        codecs: how each tap is stored.
        folder: of the cache.
    """

    query: TeacherQuery
    codecs: dict[str, Codec]
    folder: Path

    def close(self) -> None:
        self.query.close()


def plan_cache(experiment: Experiment, plan: Plan, name: str, source: Dataset) -> CachePlan:
    """Needs the outputs of the actor that the checks have found.

    Args:
        name: of the frozen actor.
        source: the training data in its views.

    Raises:
        ValueError: the actor has no cache, or a cache that cannot hold what the terms read.
    """
    actor, training = plan.actors[name], plan.training
    config: Any = actor.cache
    if config is None:
        raise ValueError("this experiment caches no teacher outputs; give it cache=CacheConfig(), or the recipe cache: auto")
    device = inference_device(training.settings)
    reads = read_by(name, actor, source.items)
    assert actor.module is not None, f"the cached actor {name!r} has no module"
    outputs = experiment.teacher_outputs.get(name, TeacherOutputs())
    query = TeacherQuery(
        replace(actor, module=actor.module.to(device), cache=None, reads=reads),
        source,
        sorted(outputs.taps),
        default_view(training.views),
        training.settings.autocast,
        outputs.top_k,
        device,
        longest_stage(experiment, plan, source) if config.refresh else 1,
    )
    codecs = choose_codecs(query, config)
    beside = experiment.folder and experiment.folder.parent
    return CachePlan(query, codecs, cache_folder(query, config, beside, codecs))


def longest_stage(experiment: Experiment, plan: Plan, source: Dataset) -> int:
    """Returns the most epochs of a data set that a stage shows; each stage begins with the first views again."""
    found = 1
    for stage in arm_stages(experiment, plan, source):
        for update in stage.updates:
            drawn = update.source or source
            if isinstance(drawn, Dataset):
                batches = int(stage.length.count) * (update.repeat if update.fresh else 1)
                found = max(found, math.ceil(batches / drawn.steps_per_epoch))
    return found


@dataclass(frozen=True)
class OpenCache:
    """The cache of an actor during a training, and its folder."""

    cached: CachedTeacher
    folder: Path


@contextmanager
def open_caches(experiment: Experiment, plan: Plan, source: Dataset) -> Iterator[dict[str, OpenCache]]:
    """Opens the caches for one training, which adds what is missing; by the name of the actor.

    Actors that output the same, because they are one model on the same inputs, share a folder, which is opened once.
    """
    with ExitStack() as stack:
        opened: dict[str, OpenCache] = {}
        for name, config in plan.caches.items():
            if not experiment.teacher_outputs.get(name, TeacherOutputs()).taps:
                continue
            made = stack.enter_context(closing(plan_cache(experiment, plan, name, source)))
            equal = (each for other, each in opened.items() if each.folder == made.folder and plan.caches[other] == config)
            same = next(equal, None)
            opened[name] = same or OpenCache(
                stack.enter_context(open_cache(made.query, config, made.folder, made.codecs)), made.folder
            )
        yield opened
