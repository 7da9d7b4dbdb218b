"""Selection of the best state of a run on validation data. The test set is read once, after the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors
from limbeck.engine.checkpoint import load_checkpoint, save_checkpoint
from limbeck.engine.clock import Clock
from limbeck.engine.metrics_log import MetricsLog
from limbeck.utils import distributed


@dataclass(frozen=True)
class Validation:
    """How the best state of a run is chosen.

    Attributes:
        evaluate: model → metrics, on validation data.
        actor: which actor is evaluated (the student, or its average).
        metric: the metric that decides.
        higher_is_better: its direction.
        every: steps between evaluations; None: one after every epoch of the stage's source.
        patience: evaluations without improvement after which the stage stops; None: it never does.
    """

    evaluate: Callable[[nn.Module], Mapping[str, float]]
    actor: str = "student"
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
        self.best_state: dict[str, Tensor] | None = None

    def evaluate_if_due(self, clock: Clock, *, at_epoch: bool, at_end: bool) -> bool:
        """Returns whether patience is exhausted.

        Raises:
            ValueError: the metric that decides is not among those that `evaluate` returns.
        """
        v = self.validation
        if v is None or not (at_end or (at_epoch if v.every is None else clock.step % v.every == 0)):
            return False
        model = self.actors[v.actor].model
        was_training = model.training
        with torch.no_grad():
            metrics = dict(v.evaluate(model.eval()))
        model.train(was_training)
        if v.metric not in metrics:
            raise ValueError(f"validation gives {', '.join(metrics)}; metric {v.metric!r} is not among them")
        self.log.write_validation(clock, metrics)
        if v.better(metrics[v.metric], clock.best):
            clock.best, clock.waited = metrics[v.metric], 0
            self._keep(model, metrics)
        else:
            clock.waited += 1
        return v.patience is not None and clock.waited >= v.patience

    def _keep(self, model: nn.Module, metrics: Mapping[str, float]) -> None:
        self.best_state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        if self.folder is not None and distributed.rank() == 0:
            save_checkpoint(self.folder, {"model": self.best_state, "figures": metrics})

    def load_best(self) -> nn.Module:
        """Loads the best state into the evaluated actor and returns it; the last state if nothing was chosen."""
        model = self.actors[self.validation.actor if self.validation else "student"].model
        if self.best_state is not None:
            model.load_state_dict(self.best_state)
        elif self.folder is not None and self.folder.exists():
            model.load_state_dict(load_checkpoint(self.folder)["model"])
        return model
