"""FedDF: the server distils the ensemble of its clients' models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from limbeck.core.schedules import Cosine
from limbeck.core.teachers import Ensemble
from limbeck.engine import Optimizer, Stage, Update, steps
from limbeck.methods.federated.base import FederatedMethod, registry
from limbeck.methods.training_stages import taught_by
from limbeck.tasks import Task


@registry.register(
    "feddf",
    cite="""
        @inproceedings{lin2020ensemble,
            title = {Ensemble Distillation for Robust Model Fusion in Federated Learning},
            author = {Lin, Tao and Kong, Lingjing and Stich, Sebastian U. and Jaggi, Martin},
            booktitle = {Advances in Neural Information Processing Systems},
            year = {2020},
            eprint = {2006.07242},
            archiveprefix = {arXiv},
        }
    """,
)
@dataclass(frozen=True)
class FedDF(FederatedMethod):
    """After averaging, each group's model learns from the mean logits of all clients' models (2006.07242).

    T² KL(softmax(mean_k z_k / T) ‖ p) on inputs without labels, from the averaged weights on. Clients may have different
    architectures: weights are averaged within a group, and all groups learn from all clients. The averaged weights stay if no
    state of the distillation is better on the server's validation data.

    Args:
        steps: of a round, at most.
        batch_size: inputs in a step.
        temperature: T.
        combine: "logits", as in the paper, or "probabilities": mean_k softmax(z_k). A client that has seen few classes is very
            sure of them on all inputs; its logits outweigh those of the others, its probabilities do not.
        lr: of Adam, with a cosine to 0.
        validate_every: steps between evaluations on the server's validation data; the best state is kept.
        patience: evaluations without improvement that end a round's distillation; None: all steps are done.

    Raises:
        ValueError: a number that is not positive.
    """

    needs_inputs: ClassVar[bool] = True
    steps: int = 200
    batch_size: int = 128
    temperature: float = 1.0
    combine: Literal["logits", "probabilities"] = "logits"
    lr: float = 1e-3
    validate_every: int = 50
    patience: int | None = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "batch_size", "temperature", "lr", "validate_every"):
            if getattr(self, name) <= 0:
                raise ValueError(f"feddf: {name} is {getattr(self, name)}; expected a number above 0")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"feddf: patience is {self.patience}; expected 1 or more evaluations, or null for all steps")

    @property
    def reads_classes(self) -> bool:
        return self.combine == "probabilities"

    def server_stage(self, task: Task, clients: str, students: str) -> Stage:
        terms = taught_by(Ensemble(clients, combine=self.combine), students, task=task, temperature=self.temperature)
        return Stage(
            [Update(terms, trains=students)], steps(self.steps), Optimizer("adam", self.lr, Cosine()), name="distillation"
        )
