"""FedAvg and FedProx: the baselines, in which the server only averages."""

from __future__ import annotations

from dataclasses import dataclass, replace

from limbeck.engine import Optimizer
from limbeck.methods.federated.base import FederatedMethod, registry
from limbeck.methods.federated.proximal import PREFIX


@registry.register(
    "fedavg",
    cite="""
        @inproceedings{mcmahan2017communication,
            title = {Communication-Efficient Learning of Deep Networks from Decentralized Data},
            author = {McMahan, Brendan and Moore, Eider and Ramage, Daniel and Hampson, Seth and Ag{\\"u}era y Arcas, Blaise},
            booktitle = {International Conference on Artificial Intelligence and Statistics},
            year = {2017},
            eprint = {1602.05629},
            archiveprefix = {arXiv},
        }
    """,
)
@dataclass(frozen=True)
class FedAvg(FederatedMethod):
    """The mean of the clients' weights, each by its number of items: w = Σ_k (n_k / n) w_k (1602.05629)."""


@registry.register(
    "fedprox",
    cite="""
        @inproceedings{li2020federated,
            title = {Federated Optimization in Heterogeneous Networks},
            author = {Li, Tian and Sahu, Anit Kumar and Zaheer, Manzil and Sanjabi, Maziar and Talwalkar, Ameet and
                Smith, Virginia},
            booktitle = {Proceedings of Machine Learning and Systems},
            year = {2020},
            eprint = {1812.06127},
            archiveprefix = {arXiv},
        }
    """,
)
@dataclass(frozen=True)
class FedProx(FederatedMethod):
    """FedAvg whose clients also stay near the server's weights: loss + μ/2 ‖w − w_server‖² (1812.06127).

    Args:
        mu: the weight of the distance.

    Raises:
        ValueError: μ is negative, or the recipe's optimizer has no proximal form.
    """

    mu: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mu < 0:
            raise ValueError(f"fedprox: mu is {self.mu}; expected 0 or more")

    def local_optimizer(self, optimizer: Optimizer) -> Optimizer:
        return replace(optimizer, name=f"{PREFIX}{optimizer.name.lower()}", options={**optimizer.options, "mu": self.mu})
