"""What models learn from a round of a federation: each is an ordinary run whose frozen actors are the replies."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from limbeck.core.actors import Actor, frozen, trained
from limbeck.core.schedules import Cosine
from limbeck.core.source import Source
from limbeck.data import Dataset, Items
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, steps
from limbeck.methods.federated.base import FederatedMethod
from limbeck.methods.federated.feddf import FedDF
from limbeck.methods.federated.logits import LogitExchange
from limbeck.methods.federated.server_training import that_can_learn, train_on_server
from limbeck.tasks import Task
from limbeck.teacher_cache.in_memory import MemoryCache

CONSENSUS = "consensus"


def distil_clients(
    method: FederatedMethod,
    clients: Mapping[str, nn.Module],
    students: Mapping[str, nn.Module],
    inputs: Items | Source | None,
    *,
    task: Task,
    seed: int,
    settings: Settings,
    validation: Items | None = None,
) -> None:
    """Trains the averaged models on the ensemble of the clients' models, in place; nothing if the method only averages.

    Args:
        clients: models by client number.
        students: averaged models by group. One that is the only client's model stays as it is.
        inputs: items, whose labels are not read, or any source; None for methods that only average.
        validation: chooses the state that is kept, the averages among them; None: the last one is.
    """
    stage, students = method.server_stage(task, "clients.*", "groups.*"), that_can_learn(students, clients)
    if stage is None or not students:
        return
    assert isinstance(method, FedDF)
    assert inputs is not None
    source = public_source(inputs, method.batch_size) if isinstance(inputs, Items) else inputs.fresh()
    actors: dict[str, Actor] = {}
    for name, model in clients.items():  # each runs once on each public item, however many steps there are
        actors[f"clients.{name}"] = frozen(model, cache=MemoryCache() if isinstance(source, Dataset) else None)
    actors |= {f"groups.{name}": trained(model) for name, model in students.items()}
    train_on_server(
        actors, stage, {f"groups.{name}": model for name, model in students.items()}, source, task=task, seed=seed,
        settings=settings, validation=validation, every=method.validate_every, patience=method.patience,
    )  # fmt: skip


def distil_consensus(
    method: FederatedMethod,
    model: nn.Module,
    inputs: Items,
    consensus: Tensor,
    *,
    task: Task,
    seed: int,
    settings: Settings,
) -> None:
    """Trains a model on the consensus of the clients' logits `[N, C]` for public items, in place."""
    assert isinstance(method, LogitExchange)
    terms = method.consensus_terms(task, "student", CONSENSUS)
    stage = Stage([Update(terms)], steps(method.steps), Optimizer("adam", method.lr, Cosine()), name=CONSENSUS)
    cache = MemoryCache.of(inputs.keys, consensus)
    actors = {"student": trained(model), CONSENSUS: frozen(Known(consensus.shape[1]), cache=cache)}
    Run(actors, [stage], source=public_source(inputs, method.batch_size), seed=seed, settings=settings).fit()


class Known(nn.Module):
    """Stands for a model of which only the logits are known: those are in its cache, and a dry run sees zeros `[B, C]`."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.new_zeros(len(inputs), self.classes, dtype=inputs.dtype if inputs.is_floating_point() else None)


def public_source(items: Items, batch_size: int) -> Dataset:
    """Returns public items in batches, without augmentation, so that what clients say of them can be looked up."""
    return Dataset(items, batch_size, view_count=1, view_seed=0)
