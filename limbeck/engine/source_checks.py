"""Checks of the sources of a run, before any data is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from limbeck.core.source import Source
from limbeck.engine.stages import Stage
from limbeck.utils.registry import nearest_names


def check_sources(stages: Sequence[Stage], source: Source | None, actors: Iterable[str]) -> None:
    """Refuses sources that do not fit a run.

    Args:
        source: of the updates that name none.
        actors: names of the actors of the run.

    Raises:
        ValueError: an update without a source; a source that runs an unknown actor; a stage in epochs of which no source has a
            data set.
    """
    known = list(actors)
    for number, stage in enumerate(stages):
        where = f"stage {stage.name!r}" if stage.name else f"stage {number}"
        used = [each for update in stage.updates if (each := update.source or source) is not None]
        if len(used) < len(stage.updates):
            raise ValueError(f"{where}: an update names no source and the run has none; pass source=…")
        for each in used:
            check_actors(each, known, where)
        check_length(stage, used, where)


def check_actors(source: Source, known: Sequence[str], where: str) -> None:
    """Raises a `ValueError` that offers the nearest names if a source runs an actor that is not among those known."""
    for name in source.actors:
        if name not in known:
            near = ", ".join(nearest_names(name, list(known))) or "none; there are no actors"
            raise ValueError(
                f"{where}: source {type(source).__name__} runs the actor {name!r}, which is not among the actors; "
                f"nearest: {near}"
            )


def check_length(stage: Stage, sources: Sequence[Source], where: str) -> None:
    """Raises a `ValueError` for a stage in epochs if none of its sources has any."""
    if stage.length.unit == "epochs" and not any(each.has_epochs for each in sources):
        kinds = ", ".join(dict.fromkeys(type(each).__name__ for each in sources))
        raise ValueError(
            f"{where}: epochs is {stage.length.count:g}, but no source of it has a data set to pass over ({kinds}); "
            "give steps instead"
        )


def pacing_source(sources: Sequence[Source]) -> Source:
    """Returns the source whose epochs a stage is measured in: the first one that has a data set, if there is any."""
    return next((source for source in sources if source.steps_per_epoch), sources[0])
