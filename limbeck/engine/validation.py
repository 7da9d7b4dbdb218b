"""Selection of the best state of a run on validation data. The test set is read once, after the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors
from limbeck.core.model_io import preserve_modes
from limbeck.core.originals import with_originals
from limbeck.engine.checkpoint import FILE, CheckpointError, load_checkpoint, save_checkpoint
from limbeck.engine.clock import Clock
from limbeck.engine.metrics_log import MetricsLog
from limbeck.engine.sharding import gather_state, load_weights
from limbeck.engine.stages import Reinitialise, Snapshot, Stage
from limbeck.utils import distributed


@dataclass(frozen=True)
class Validation:
    """How the best state of a run is chosen.

    Attributes:
        evaluate: model → metrics, on validation data; of several actors, models by name → metrics.
        actor: which actor is evaluated and kept (the student, or its average), or several of them.
        metric: the metric that decides.
        higher_is_better: its direction.
        every: steps between evaluations; None: one after every epoch of the stage's source.
        patience: evaluations without improvement after which the stage stops; None: it never does.
        decides: the actors that the metric which decides is of; None: all that are evaluated. A stage that trains none of them
            is not evaluated.
    """

    evaluate: Callable[[Any], Mapping[str, float]]
    actor: str | Sequence[str] = "student"
    metric: str = "accuracy"
    higher_is_better: bool = True
    every: int | None = None
    patience: int | None = None
    decides: Sequence[str] | None = None

    def better(self, value: float, best: float | None) -> bool:
        return best is None or (value > best if self.higher_is_better else value < best)


class Validator:
    """Evaluates an actor when an evaluation is due and keeps its best state.

    Args:
        validation: None: nothing is evaluated, and the last state is kept.
        actors: of the run.
        log: where the metrics go.
        folder: where the best state is written; None: it is kept in memory only.
    """

    def __init__(self, validation: Validation | None, actors: Actors, log: MetricsLog, folder: Path | None) -> None:
        self.validation, self.actors, self.log, self.folder = validation, actors, log, folder
        self.best_states: dict[str, dict[str, Tensor]] | None = None
        self._learning: set[str] = set()  # of the evaluated actors, in this stage

    def begin(self, stages: Sequence[Stage], clock: Clock, *, resumed: bool) -> None:
        """Starts to look at a stage: patience begins anew, and so does the search where an evaluated actor does.

        A state from before an actor was made anew, or before a snapshot was taken, has not gone through what the run does.

        Args:
            stages: up to this one, with the names of actors in place of patterns.
            resumed: whether the stage has begun before.
        """
        if self.validation is None:
            return
        trained = {name for update in stages[-1].updates for name in update.trains}
        self._learning = {name for name in self.models if trained & set(with_originals(name, self.actors))}
        if resumed:
            return
        clock.waited = 0
        events = (*(stages[-2].on_exit if len(stages) > 1 else ()), *stages[-1].on_enter)
        anew = {event.actor for event in events if isinstance(event, Reinitialise | Snapshot)}
        if any(anew & set(with_originals(name, self.actors)) for name in self.models):
            clock.best, self.best_states = None, None

    def finish(self, clock: Clock) -> None:
        """Ends a stage. What it has trained of the kept models is kept, if those that decide have learned before it only."""
        if self._learning and not self._decides and clock.best is not None:
            kept = {name: model for name, model in self.models.items() if name in self._learning}
            self._write({**self._best(chosen=True), **_copies(kept)}, self._figures())

    @property
    def _decides(self) -> bool:
        """Whether the stage trains what decides."""
        decides = None if self.validation is None else self.validation.decides
        return bool(self._learning if decides is None else self._learning & set(decides))

    def evaluate_if_due(self, clock: Clock, *, at_epoch: bool, at_end: bool) -> bool:
        """Returns whether patience is exhausted.

        Raises:
            ValueError: the metric that decides is not among those that `evaluate` returns.
        """
        v = self.validation
        if v is None or not self._decides or not (at_end or (at_epoch if v.every is None else clock.step % v.every == 0)):
            return False
        models = self.models
        with torch.no_grad(), preserve_modes(*models.values()):
            for model in models.values():
                model.eval()
            metrics = dict(v.evaluate(models if self._several else next(iter(models.values()))))
        if v.metric not in metrics:
            raise ValueError(f"validation gives {', '.join(metrics)}; metric {v.metric!r} is not among them")
        self.log.write_validation(clock, metrics)
        if v.better(metrics[v.metric], clock.best):
            clock.best, clock.waited = metrics[v.metric], 0
            self._keep(models, metrics)
        else:
            clock.waited += 1
        return v.patience is not None and clock.waited >= v.patience

    def _keep(self, models: Mapping[str, nn.Module], metrics: Mapping[str, float]) -> None:
        self._write(_copies(models), metrics)

    def _figures(self) -> Mapping[str, float]:
        """Those of the best state, as its file has them."""
        known = self.folder is not None and (self.folder / FILE).exists()
        return load_checkpoint(self.folder)["figures"] if known and self.folder is not None else {}

    def _write(self, states: dict[str, dict[str, Tensor]], metrics: Mapping[str, float]) -> None:
        self.best_states = states
        if self.folder is not None:
            whole = gather_state(self.best_states)
            kept = {"models": whole} if self._several else {"model": next(iter(whole.values()))}
            if distributed.rank() == 0:
                save_checkpoint(self.folder, {**kept, "figures": metrics})

    def load_best(self, *, chosen: bool = False) -> nn.Module:
        """Loads the best state into the evaluated actors and returns the first; the last state if nothing was chosen.

        Args:
            chosen: whether a best state was chosen, so that its file must be there.

        Raises:
            CheckpointError: the file of the best state is damaged or gone.
        """
        models = self.models
        for name, state in self._best(chosen).items():
            load_weights(models[name], state)
        return next(iter(models.values()))

    def _best(self, chosen: bool) -> dict[str, Any]:
        if self.best_states is not None:
            return self.best_states
        if self.folder is None or not (self.folder / FILE).exists():
            if chosen and self.folder is not None:
                raise CheckpointError(
                    f"{self.folder / FILE}, the best state by validation, is gone. Delete {self.folder.parent} to start this "
                    "training over"
                )
            return {}
        kept = load_checkpoint(self.folder)
        return kept["models"] if self._several else {next(iter(self.models)): kept["model"]}

    @property
    def models(self) -> dict[str, nn.Module]:
        """The models that are evaluated and kept, by actor."""
        given = "student" if self.validation is None else self.validation.actor
        return {name: self.actors[name].model for name in ((given,) if isinstance(given, str) else given)}

    @property
    def _several(self) -> bool:
        return self.validation is not None and not isinstance(self.validation.actor, str)


def _copies(models: Mapping[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    """Copies of the weights and buffers of models."""
    return {
        name: {key: tensor.detach().clone() for key, tensor in model.state_dict().items()} for name, model in models.items()
    }
