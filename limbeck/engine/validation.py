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
from limbeck.engine.checkpoint import FILE, CheckpointError, load_checkpoint, save_checkpoint
from limbeck.engine.clock import Clock
from limbeck.engine.metrics_log import MetricsLog
from limbeck.engine.sharding import gather_state, load_weights
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
    """

    evaluate: Callable[[Any], Mapping[str, float]]
    actor: str | Sequence[str] = "student"
    metric: str = "accuracy"
    higher_is_better: bool = True
    every: int | None = None
    patience: int | None = None

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

    def evaluate_if_due(self, clock: Clock, *, at_epoch: bool, at_end: bool) -> bool:
        """Returns whether patience is exhausted.

        Raises:
            ValueError: the metric that decides is not among those that `evaluate` returns.
        """
        v = self.validation
        if v is None or not (at_end or (at_epoch if v.every is None else clock.step % v.every == 0)):
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
        self.best_states = {
            name: {key: tensor.detach().clone() for key, tensor in model.state_dict().items()} for name, model in models.items()
        }
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

    def _best(self, chosen: bool) -> Mapping[str, Any]:
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
