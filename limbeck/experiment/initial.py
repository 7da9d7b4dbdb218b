"""The arm `initial`: a student as it starts, where it starts from trained weights, so that it can unlearn something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors, Role
from limbeck.core.model_io import LOGITS
from limbeck.core.reference_module import module_of
from limbeck.core.references import Reference
from limbeck.core.teachers import Teacher
from limbeck.data import Items
from limbeck.evaluation.arms import INITIAL, ArmName
from limbeck.experiment.checks.guessing import beats_guessing
from limbeck.experiment.experiment import Experiment
from limbeck.experiment.plan import STUDENT, Evaluated
from limbeck.models.adapters import merge_adapters
from limbeck.utils.seeds import mix_seeds


def initial_arms(experiment: Experiment, items: Mapping[str, Items], seeds: Sequence[int]) -> dict[str, list[nn.Module]]:
    """Returns the students before their training, one for each seed, by the name of the arm (`[RESULT/]initial`).

    A student with random weights is none of them, nor is one that guesses: a new head on trained layers, a teacher's layers of
    which some are left out. So are exits, ensembles and averages, which are parts of others.

    Args:
        items: the test items, as each arm reads them.
        seeds: of the trainings.
    """
    found = {}
    for result, evaluated in experiment.plan.evaluate.items():
        actor = _whole_actor(experiment, evaluated)
        if actor is None or (given := given_weights(experiment, actor, evaluated, seeds)) is None:
            continue
        models = [merge_adapters(model.cpu().eval()) for model in given]
        if beats_guessing(experiment.task, models[0], items[str(ArmName(result, STUDENT))]):
            found[str(ArmName(result, INITIAL))] = models
    return found


def _whole_actor(experiment: Experiment, evaluated: Evaluated) -> str | None:
    """The trained actor that is evaluated as it is; None for an exit, a variant, an ensemble or a frozen model."""
    if isinstance(evaluated, Teacher):
        return None
    reference = Reference.parse(evaluated, default=STUDENT, actors=experiment.plan.actors)
    actor = experiment.plan.actors.get(reference.actor)
    whole = reference.variant is None and reference.tap == LOGITS and not reference.is_pattern
    return reference.actor if whole and actor is not None and actor.role is Role.TRAINED and actor.of is None else None


def _module(experiment: Experiment, actor: str, evaluated: Evaluated, seed: int) -> nn.Module:
    """What is evaluated of an actor as it starts for a seed, with the output that is chosen for it."""
    return module_of(evaluated, Actors(experiment.actors(experiment.plan, seed=seed, only={actor})))


def given_weights(experiment: Experiment, actor: str, evaluated: Evaluated, seeds: Sequence[int]) -> list[nn.Module] | None:
    """What is evaluated of an actor as it starts, for each seed; None if most of its weights come from the seed.

    An actor that is built is built once for each seed, and twice for a single one: its weights are compared for two seeds.
    """
    first = _module(experiment, actor, evaluated, seeds[0])
    if experiment.plan.actors[actor].module is None:
        other = next((seed for seed in seeds if seed != seeds[0]), mix_seeds(seeds[0], "other"))
        second = _module(experiment, actor, evaluated, other)
        if not _same_weights(first.state_dict(), second.state_dict()):
            return None
        built = {seeds[0]: first, other: second}
    else:
        built = {seeds[0]: first}
    return [built[seed] if seed in built else _module(experiment, actor, evaluated, seed) for seed in seeds]


def _same_weights(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether most numbers of two models are equal, without tensors of one number repeated, as biases and norms start."""
    same = other = 0
    for key, tensor in first.items():
        if tensor.is_floating_point() and tensor.numel() > 1 and bool((tensor != tensor.flatten()[0]).any()):
            equal = torch.equal(tensor, second[key])
            same, other = same + equal * tensor.numel(), other + (not equal) * tensor.numel()
    return same > other
