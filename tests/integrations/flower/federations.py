"""A small federation on handwritten digits, and grids that watch or disturb its messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import Message

from limbeck.integrations.flower.grid import InProcessGrid
from limbeck.integrations.flower.server import carry_out
from limbeck.integrations.flower.simulation import simulated_grid
from limbeck.integrations.flower.strategy import FederatedStrategy
from limbeck.recipe.federation import Federation

MODEL = {"model": "mlp", "args": {"inputs": 64, "hidden": [16]}}


def content(method: Any = "fedavg", **changes: Any) -> dict[str, Any]:
    """A recipe of four clients and two rounds; `changes` of `federated:`, or of the recipe with a leading underscore."""
    own = {name[1:]: changes.pop(name) for name in list(changes) if name.startswith("_")}
    federated = {"method": method, "public": 0.2, "clients": 4, "rounds": 2, "partition": "even", **changes}
    training = {
        "epochs": 1,
        "batch_size": 32,
        "threads": 1,
        "device": "cpu",
        "optimizer": {"name": "sgd", "lr": 0.1, "schedule": 1.0},
    }
    data = {
        "train": {"path": "digits", "split": "train", "limit": 600},
        "test": {"path": "digits", "split": "test"},
        "validation": 0.1,
    }
    models = {} if "groups" in own else {"student": MODEL}
    return {"name": "digits-federation", "data": data, "federated": federated, "training": training, **models, **own}


def recipe(method: Any = "fedavg", **changes: Any) -> Federation:
    return Federation.from_dict(content(method, **changes))


class WatchedGrid(InProcessGrid):
    """Keeps every message and reply; `disturb(reply, number of the exchange) -> reply or None` changes those to training."""

    def __init__(
        self, *arguments: Any, disturb: Callable[[Message, int], Message | None] | None = None, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.sent: list[Message] = []
        self.replies: list[Message] = []
        self.disturb, self.exchanges = disturb, 0

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        self.exchanges += 1
        return super().send_and_receive(messages, timeout=timeout)

    def deliver(self, message: Message) -> Message | None:
        self.sent.append(message)
        reply = super().deliver(message)
        if reply is not None and self.disturb is not None and message.metadata.message_type == "train":
            reply = self.disturb(reply, self.exchanges)
        if reply is not None:
            self.replies.append(reply)
        return reply


def trained(
    wanted: Federation, *, seed: int = 0, grid: Any = None, arm: str = "student", **options: Any
) -> tuple[FederatedStrategy, Any]:
    """The strategy after all rounds, and its grid."""
    items = wanted.simulated(seed)
    strategy = FederatedStrategy(wanted, items, next(iter(wanted.federated.method)), arm=arm, seed=seed)
    made = grid(wanted, items) if grid is not None else simulated_grid(wanted, items, WatchedGrid)
    return carry_out(strategy, made, **options), made


def disturbed(disturb: Callable[[Message, int], Message | None]) -> Callable[..., WatchedGrid]:
    return lambda wanted, items: simulated_grid(wanted, items, WatchedGrid, disturb=disturb)
