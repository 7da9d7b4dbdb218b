"""FedMD and DS-FL: clients exchange logits on public inputs, never weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from limbeck.core.terms import Term
from limbeck.methods.federated.base import FederatedMethod, registry
from limbeck.methods.training_stages import taught_by
from limbeck.tasks import Task


@dataclass(frozen=True)
class LogitExchange(FederatedMethod):
    """A round: clients learn from the last consensus, then from their own labels, and send their logits.

    Args:
        items: public inputs of a round, drawn anew for each; None: all.
        steps: of learning from the consensus, for each client and for the server's model.
        batch_size: inputs in such a step.
        lr: of Adam in such a step.

    Raises:
        ValueError: a number that is not positive.
    """

    exchanges: ClassVar[Literal["weights", "logits"]] = "logits"
    needs_inputs: ClassVar[bool] = True
    items: int | None = None
    steps: int = 50
    batch_size: int = 64
    lr: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("items", "steps", "batch_size", "lr", "temperature"):
            value = getattr(self, name, None)
            if value is not None and value <= 0:
                raise ValueError(f"{type(self).__name__}: {name} is {value}; expected a number above 0")


@registry.register(
    "fedmd",
    cite="""
        @article{li2019fedmd,
            title = {FedMD: Heterogenous Federated Learning via Model Distillation},
            author = {Li, Daliang and Wang, Junpu},
            journal = {arXiv preprint arXiv:1910.03581},
            year = {2019},
            eprint = {1910.03581},
            archiveprefix = {arXiv},
        }
    """,
)
@dataclass(frozen=True)
class FedMD(LogitExchange):
    """The consensus is the mean of the clients' logits, and is learned by T² KL (1910.03581).

    Args:
        temperature: T.
        others: see `LogitExchange`.
    """

    temperature: float = 1.0

    def consensus(self, logits: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(logits)).mean(0)

    def consensus_terms(self, task: Task, student: str, teacher: str) -> list[Term]:
        return taught_by(teacher, student, task=task, temperature=self.temperature)


@registry.register(
    "ds_fl",
    cite="""
        @article{itahara2021distillation,
            title = {Distillation-Based Semi-Supervised Federated Learning for Communication-Efficient Collaborative Training
                with Non-{IID} Private Data},
            author = {Itahara, Sohei and Nishio, Takayuki and Koda, Yusuke and Morikura, Masahiro and Yamamoto, Koji},
            journal = {IEEE Transactions on Mobile Computing},
            year = {2021},
            eprint = {2008.06180},
            archiveprefix = {arXiv},
        }
    """,
)
@dataclass(frozen=True)
class DSFL(LogitExchange):
    """The consensus is sharpened: softmax(mean_k softmax(z_k) / T) with T < 1, entropy reduction (2008.06180).

    Clients whose labels differ give a mean near uniform; sharpening keeps what most of them say. It is learned by
    cross-entropy, that is by KL at temperature 1.

    Args:
        temperature: T of the sharpening.
        others: see `LogitExchange`.
    """

    temperature: float = 0.1

    @property
    def reads_classes(self) -> bool:
        return True

    def consensus(self, logits: Sequence[Tensor]) -> Tensor:
        return torch.stack([each.softmax(-1) for each in logits]).mean(0) / self.temperature

    def consensus_terms(self, task: Task, student: str, teacher: str) -> list[Term]:
        return taught_by(teacher, student, task=task, temperature=1.0)
