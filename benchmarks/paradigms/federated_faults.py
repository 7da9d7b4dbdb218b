"""Grids that disturb the messages of a federation, for the benchmark of its faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flwr.app import Message
from torch import Tensor

from benchmarks.paradigms.federated_runs import Grids
from limbeck.data import Items
from limbeck.integrations.flower.grid import InProcessGrid
from limbeck.integrations.flower.simulation import simulated_grid
from limbeck.recipe.federation import FederatedItems, Federation


class Vanishing(InProcessGrid):
    """Three of ten replies to training do not arrive."""

    def deliver(self, message: Any) -> Any:
        reply = super().deliver(message)
        generator = np.random.default_rng((int(message.metadata.dst_node_id), self._identity))
        return None if message.metadata.message_type == "train" and generator.random() < 0.3 else reply


def liar(change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> type[InProcessGrid]:
    """A grid in which one of the ten clients changes its arrays."""
    from limbeck.integrations.flower.records import from_record, to_record

    class Lying(InProcessGrid):
        def deliver(self, message: Any) -> Any:
            reply = super().deliver(message)
            if reply is not None and message.metadata.dst_node_id == 3 and message.metadata.message_type == "train":
                reply.content["arrays"] = to_record(change(from_record(reply.content.array_records["arrays"])))
            return reply

    return Lying


class Late(InProcessGrid):
    """One of ten clients answers each question to train a round too late: what arrives belongs to the round before."""

    held: Message | None = None

    def deliver(self, message: Any) -> Any:
        reply = super().deliver(message)
        if message.metadata.dst_node_id != 3 or message.metadata.message_type != "train":
            return reply
        self.held, before = reply, self.held
        return before and Message(before.content, reply_to=message)


def flipped(wanted: Federation, items: FederatedItems) -> InProcessGrid:
    own = items.clients[2]
    items.clients[2] = Items(own.storage, own.keys, 9 - own.target, own.classes, own.class_names, own.images)
    return simulated_grid(wanted, items)


def of_kind(kind: type[InProcessGrid]) -> Grids:
    return lambda wanted, items: simulated_grid(wanted, items, kind)


FAULTS: dict[str, Grids] = {
    "clean": simulated_grid,
    "30 % vanish": of_kind(Vanishing),
    "one sends NaN": of_kind(liar(lambda state: {name: tensor * float("nan") for name, tensor in state.items()})),
    "one scales by 20": of_kind(liar(lambda state: {name: tensor * 20 for name, tensor in state.items()})),
    "one sends wrong shapes": of_kind(liar(lambda state: {name: tensor[None] for name, tensor in state.items()})),
    "one answers a round too late": of_kind(Late),
    "one flips its labels": flipped,
}
