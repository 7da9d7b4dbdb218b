"""The base class of federated methods, and their registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from limbeck.core.terms import Term
from limbeck.engine import Optimizer, Stage
from limbeck.evaluation.citations import method_registries
from limbeck.tasks import Task
from limbeck.utils.finite import require_finite
from limbeck.utils.registry import Registry

registry = Registry("federated method")
method_registries.append(registry)


@dataclass(frozen=True)
class FederatedMethod:
    """What a federated method decides. The rounds, transport and checks are the same for all of them.

    Attributes:
        exchanges: what travels: the weights of models, or logits on public inputs.
        needs_inputs: whether the server needs inputs without labels, public ones or made by a source.

    Raises:
        ValueError: a number that is not finite.
    """

    exchanges: ClassVar[Literal["weights", "logits"]] = "weights"
    needs_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_finite(type(self).__name__, vars(self))

    @property
    def reads_classes(self) -> bool:
        """Whether it takes outputs for the logits of classes of which one is right, and reads their softmax."""
        return False

    def local_optimizer(self, optimizer: Optimizer) -> Optimizer:
        """The optimizer of the clients' training, made from that of the recipe."""
        return optimizer

    def server_stage(self, task: Task, clients: str, students: str) -> Stage | None:
        """What the server trains after it has averaged the clients' weights: the patterns of the frozen actors `clients` and
        of the trained actors `students`; None: nothing."""
        return None

    def consensus(self, logits: Sequence[Tensor]) -> Tensor:
        """What the clients agree on: logits `[N, C]` from those of each client `[N, C]`."""
        raise NotImplementedError(f"{type(self).__name__} exchanges weights, so there is no consensus of logits")

    def consensus_terms(self, task: Task, student: str, teacher: str) -> list[Term]:
        """How a model learns from the consensus on public inputs."""
        raise NotImplementedError(f"{type(self).__name__} exchanges weights, so there is no consensus of logits")


def method(value: str | Mapping[str, Any] | FederatedMethod) -> FederatedMethod:
    """Converts a name, or the recipe form `{name: {arguments}}`, to a federated method.

    Raises:
        ValueError: an unknown name (the nearest are offered), or arguments that it does not have.
    """
    built: FederatedMethod = registry.part(value, FederatedMethod, "{feddf: {steps: 200}}")
    return built
