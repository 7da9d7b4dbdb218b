"""FedDF without any data: the server makes its inputs from what the clients' models know."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actor, frozen, trained
from limbeck.core.reference_module import module_of
from limbeck.core.schedules import Cosine
from limbeck.core.teachers import Ensemble
from limbeck.data import Items
from limbeck.engine import Optimizer, Settings, Stage, steps
from limbeck.methods import registration
from limbeck.methods.federated.feddf import FedDF
from limbeck.methods.federated.server_training import that_can_learn, train_on_server
from limbeck.tasks import Task
from limbeck.utils.seeds import mix_seeds

PARADIGM = "data_free"
STUDENT, TEACHER = "student", "teacher"
SPREAD = 2.0  # standard deviations: bounds of made rows of a table, unless the arguments say others
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class WithoutData:
    """A method without data, as the server of a federation carries it out.

    Args:
        method: its name and arguments, such as `{"dfad": {"width": 16}}`.
        shape: of one input, unless the arguments say it. Vectors are taken for standardised columns of a table.
        classes: of all clients together, unless the arguments say them.

    Raises:
        ValueError: the method needs data, or does not have these arguments.
    """

    method: Mapping[str, Mapping[str, Any]]
    shape: Sequence[int]
    classes: int

    def __post_init__(self) -> None:
        check_without_data(self.method)

    def decide(self, feddf: FedDF, task: Task) -> tuple[Stage, Mapping[str, Any]]:
        """The stage of a round, in which a student takes at most `feddf.steps` steps, and the actors that make its inputs."""
        ((name, arguments),) = self.method.items()
        known: dict[str, Any] = {"shape": list(self.shape), "classes": self.classes, "batch_size": feddf.batch_size}
        if len(self.shape) == 1:  # standardised columns of a table
            known |= {"low": -SPREAD, "high": SPREAD}
        given = {field: value for field, value in known.items() if field in registration.parameters(name)}
        made = registration.call(name, {**given, **arguments}, task=task, length=steps(feddf.steps))
        (stage,) = made["stages"]
        length = steps(math.ceil(feddf.steps / stage.updates[-1].repeat))
        return replace(stage, length=length, optimizer=Optimizer("adam", feddf.lr, Cosine())), made["actors"]


def check_without_data(method: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises a ValueError for a method that needs data, and for arguments that it does not have."""
    for name, arguments in method.items():
        if name not in registration.registry.names() or registration.paradigm(name) != PARADIGM:
            known = [each for each in registration.registry.names() if registration.paradigm(each) == PARADIGM]
            raise ValueError(f"data_free: {name!r} is no method without data; choose one of {', '.join(known)}")
        registration.check_arguments(name, arguments)


def distil_without_data(
    method: FedDF,
    without: WithoutData,
    clients: Mapping[str, nn.Module],
    students: Mapping[str, nn.Module],
    makers: dict[str, dict[str, State]],
    *,
    task: Task,
    seed: int,
    settings: Settings,
    validation: Items | None = None,
) -> None:
    """Trains each group's averaged model, in place, on inputs that are made from the ensemble of the clients' models.

    Args:
        clients: models by client number, of any architectures.
        students: averaged models by group. Each has a generator of its own, since it is the adversary of one student. One that
            is the only client's model stays as it is.
        makers: weights of the generators by group, from which they go on; those of this round are put there.
        validation: chooses the state that is kept, the averages among them; None: the last one is.

    Raises:
        ValueError: the terms do not fit the models, such as BatchNorm statistics of models without such layers.
    """
    named = {f"clients.{name}": frozen(model) for name, model in clients.items()}
    teacher = module_of(Ensemble("clients.*", combine=method.combine), named).eval()
    for group, model in that_can_learn(students, clients).items():
        own = mix_seeds(seed, group)
        stage, builders = without.decide(method, task)
        actors: dict[str, Actor] = {TEACHER: frozen(teacher), STUDENT: trained(model)}
        learning = {name for update in stage.updates for name in update.trains} - {STUDENT}
        for name, build in builders.items():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(own)
                maker = build()
            if name in makers.get(group, {}):
                maker.load_state_dict(makers[group][name])
            actors[name] = trained(maker) if name in learning else frozen(maker)
        every = max(1, method.validate_every // stage.updates[-1].repeat)
        train_on_server(
            actors, stage, {STUDENT: model}, None, task=task, seed=own, settings=settings, validation=validation, every=every,
            patience=method.patience,
        )  # fmt: skip
        makers[group] = {
            name: {key: value.detach().cpu().clone() for key, value in actors[name].model.state_dict().items()}
            for name in learning
        }
