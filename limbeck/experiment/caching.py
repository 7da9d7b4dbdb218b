"""The teacher's cache in an experiment: what it holds, where, and how a training opens it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from limbeck.core.actors import frozen
from limbeck.data import Dataset, input_for_actor
from limbeck.data.fields import default_view
from limbeck.engine.training import Training
from limbeck.experiment.experiment import Experiment, inference_device
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


def plan_cache(experiment: Experiment, training: Training, source: Dataset) -> CachePlan:
    """Needs the teacher outputs that the checks have found.

    Raises:
        ValueError: the experiment has no cache, or a cache that cannot hold what the terms read.
    """
    if experiment.cache is None:
        raise ValueError("this experiment caches no teacher outputs; give it cache=CacheConfig(), or the recipe cache: auto")
    device = inference_device(training.settings)
    query = TeacherQuery(
        frozen(
            experiment.teacher.to(device),
            reads=input_for_actor("teacher", source.items.storage.input_names),
            **experiment.options["teacher"],
        ),
        source,
        sorted(experiment.teacher_outputs.taps),
        default_view(training.views),
        training.settings.autocast,
        experiment.teacher_outputs.top_k,
        device,
    )
    codecs = choose_codecs(query, experiment.cache)
    beside = experiment.folder and experiment.folder.parent
    return CachePlan(query, codecs, cache_folder(query, experiment.cache, beside, codecs))


@dataclass(frozen=True)
class OpenCache:
    """A cache during a training; both None where nothing is cached."""

    teacher: CachedTeacher | None = None
    folder: Path | None = None


@contextmanager
def open_teacher_cache(experiment: Experiment, training: Training, source: Dataset) -> Iterator[OpenCache]:
    """Opens the cache for one training, which adds what is missing."""
    if experiment.cache is None or not experiment.teacher_outputs.taps:
        yield OpenCache()
        return
    with (
        closing(plan_cache(experiment, training, source)) as plan,
        open_cache(plan.query, experiment.cache, plan.folder, plan.codecs) as cached,
    ):
        yield OpenCache(cached, plan.folder)
