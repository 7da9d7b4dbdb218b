"""`federated:` clients, rounds, what travels, and what is refused."""

from __future__ import annotations

import functools
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from limbeck.core.source import source
from limbeck.data.partition import partition
from limbeck.methods import federated
from limbeck.recipe.schema.base import NamedPart, Spec, check_buildable
from limbeck.recipe.schema.data import DatasetSpec

MAX_ROUNDS, MAX_CLIENTS = 100_000, 100_000


def _fedavg() -> dict[str, dict[str, Any]]:
    return {"fedavg": {}}


class PrivacySpec(Spec):
    """Local differential privacy by Flower's mod: updates are cut to a norm, and Gaussian noise is added by the client."""

    clipping_norm: float = Field(gt=0, description="longest update, in the norm over all weights")
    sensitivity: float = Field(gt=0, description="how far one item can move an update")
    epsilon: float = Field(gt=0, description="the privacy budget of a round; smaller is more private and noisier")
    delta: float = Field(gt=0, lt=1, description="the probability with which the budget may be exceeded")


class FederatedSpec(Spec):
    """How clients and server learn together."""

    method: NamedPart = Field(default_factory=_fedavg, description="fedavg, fedprox, feddf, fedmd or ds_fl")
    rounds: int = Field(20, gt=0, le=MAX_ROUNDS, description="in which clients train and the server fuses or distils")
    clients: int = Field(10, gt=1, le=MAX_CLIENTS, description="of a simulation")
    partition: NamedPart = Field(
        default_factory=lambda: {"dirichlet": {"alpha": 1.0}},
        description="of a simulation: how the training data is split among clients: {dirichlet: {alpha: 0.1}}, even, "
        "{by_column: {name: hospital}}",
    )
    fraction: float = Field(1.0, gt=0, le=1, description="of the clients that take part in a round")
    public: float | DatasetSpec | None = Field(
        None, description="inputs without labels that all may see: a share of the training data, or a data set of its own"
    )
    source: NamedPart | None = Field(None, description="in place of public data: a source that makes inputs, such as gaussian")
    data_free: NamedPart | None = Field(
        None,
        description="in place of public data: a method without data, such as {dfad: {width: 16}}, whose inputs are made from "
        "what the clients' models know",
    )
    classes: int | None = Field(None, gt=1, description="of all clients together; none: in a simulation those of the data")
    upload: Literal["float32", "float16", "int8"] = Field("float32", description="how clients send weights or logits")
    privacy: PrivacySpec | None = Field(None, description="clients add noise to their updates; none: they do not")
    timeout: float = Field(3600.0, gt=0, description="seconds after which a round goes on without late clients")
    least_replies: int = Field(1, gt=0, description="a round with fewer usable replies changes nothing")
    longest_update: float | None = Field(
        4.0, gt=1, description="updates longer than so many times the median are left out; none: all are taken"
    )
    drop_worst: bool = Field(
        True,
        description="leave out models worse than guessing on the validation data, and logits that contradict the others",
    )
    message_limit: int = Field(256 * 2**20, gt=0, description="bytes; larger messages are refused, on either side")

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        check_buildable(self.build_method)
        check_buildable(functools.partial(partition, self.partition))
        if self.source is not None:
            check_buildable(functools.partial(source, self.source))
        if self.data_free is not None:
            check_buildable(functools.partial(federated.check_without_data, self.data_free))
        if isinstance(self.public, float) and not 0 < self.public < 1:
            raise ValueError(f"public: {self.public:g} is no share; expected a number between 0 and 1, or a data set")
        return self

    @model_validator(mode="after")
    def _check_inputs(self) -> Self:
        method, name = self.build_method(), next(iter(self.method))
        asked = max(1, round(self.fraction * self.clients))
        if self.least_replies > asked:
            raise ValueError(
                f"least_replies: {self.least_replies}, and {asked} of {self.clients} clients are asked in a round, so that no "
                f"round would change anything; set it to {asked} at most"
            )
        given = [field for field in ("public", "source", "data_free") if getattr(self, field) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(f'{field}:' for field in given)} are given together; give one of them")
        if method.needs_inputs and not given:
            raise ValueError(f"public: {name} needs inputs without labels; give a share, a data set, a source: or data_free:")
        if self.data_free is not None and not method.needs_inputs and method.exchanges == "weights":
            raise ValueError(f"data_free: {name} distils nothing on the server; give it with feddf, or leave it out")
        if method.exchanges == "logits" and self.public is None:
            raise ValueError(f"public: {name} exchanges logits on data that all have; give a share or a data set")
        if method.exchanges == "logits" and self.privacy is not None:
            raise ValueError(f"privacy: {name} sends no weights to which noise could be added; leave it out")
        return self

    def build_method(self) -> federated.FederatedMethod:
        return federated.method(self.method)

    def build_partition(self) -> Any:
        return partition(self.partition)
