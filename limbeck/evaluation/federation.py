"""The rounds of a federation in a verdict: the metric, what travelled, and who was left out."""

from __future__ import annotations

from pydantic import Field

from limbeck.evaluation.record import Record


class FederatedRound(Record):
    """One round of one arm for one seed.

    Attributes:
        number: of the round, from 1.
        metrics: of each group's model on the server's validation data; empty without any.
        bytes_down, bytes_up: of all payloads to the clients, and of all replies that arrived.
        asked, used: clients that were asked, and those whose reply was used.
        left_out: why replies were not used, by the number of the node.
    """

    arm: str
    seed: int
    number: int
    metrics: dict[str, float] = Field(default_factory=dict)
    bytes_down: int = 0
    bytes_up: int = 0
    asked: int = 0
    used: int = 0
    left_out: dict[str, str] = Field(default_factory=dict)


class FederationRecord(Record):
    """What a federation exchanged.

    Attributes:
        method: by name.
        distils: whether anything is distilled; FedAvg and FedProx only average.
        exchanges: "weights" or "logits".
        clients: how many there were.
        public_items, public_bytes: inputs without labels that the server had, and their size as tensors; if logits travel,
            every client has them too.
        rounds: of all arms and seeds.
    """

    method: str
    distils: bool = True
    exchanges: str
    clients: int
    public_items: int = 0
    public_bytes: int = 0
    rounds: list[FederatedRound] = Field(default_factory=list)

    def total_bytes(self, arm: str, seed: int) -> int:
        """The bytes of all rounds of a training, in both directions."""
        return sum(each.bytes_down + each.bytes_up for each in self.rounds if (each.arm, each.seed) == (arm, seed))
