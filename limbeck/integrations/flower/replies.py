"""Which replies of a round are used, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from flwr.app import Message
from torch import Tensor, nn

from limbeck.core.labels import is_labelled
from limbeck.integrations.flower.client import ARRAYS, CONFIG, COUNT, METRICS, ROUND, RUN, new_model, outputs_of
from limbeck.integrations.flower.records import PayloadError, from_record, require_size
from limbeck.integrations.flower.rounds import public_rows
from limbeck.methods import federated
from limbeck.recipe.federation import FederatedItems, Federation

State = dict[str, Tensor]
LOGITS = "logits"
NO_REPLY = "no reply in time"


@dataclass(frozen=True)
class Member:
    """A client that has answered the server's first question: its architecture and number of items."""

    group: str
    count: int


@dataclass(frozen=True)
class ReplyChecks:
    """Reads the replies of a round and leaves out those that are wrong.

    Attributes:
        recipe, items, method, seed: of the training.
        token: what replies of this training name.
        models: the server's, by group, which change from round to round.
        members: the clients by node, to which new ones are added.
    """

    recipe: Federation
    items: FederatedItems
    method: federated.FederatedMethod
    token: str
    models: Mapping[str, nn.Module]
    members: Mapping[int, Member]
    seed: int

    def usable(self, replies: Iterable[Message], asked: Sequence[int], number: int) -> tuple[dict[int, State], dict[int, str]]:
        """The arrays of the replies that are used, by node, and why those of the other nodes are not.

        Args:
            asked: the nodes of this round.
            number: of this round.
        """
        states, left_out = self._read(replies, asked, number)
        left_out |= {node: NO_REPLY for node in asked if node not in states and node not in left_out}
        for check in (self._too_long, self._misleading):
            found = check(states)
            left_out |= found
            states = {node: state for node, state in states.items() if node not in found}
        return states, left_out

    def _read(self, replies: Iterable[Message], asked: Sequence[int], number: int) -> tuple[dict[int, State], dict[int, str]]:
        """The arrays of the replies that are as they should be, by node; and what is wrong with the others."""
        states: dict[int, State] = {}
        left_out: dict[int, str] = {}
        for reply in replies:
            node = reply.metadata.src_node_id
            if node not in asked:
                continue
            try:
                states[node] = self._arrays_of(node, reply, number)
            except (PayloadError, KeyError, ValueError) as error:
                left_out[node] = str(error)
        return states, left_out

    def _arrays_of(self, node: int, reply: Message, number: int) -> State:
        if reply.has_error():
            raise PayloadError(f"it failed: {reply.error.reason or 'no reason is given'}"[:200])
        require_size(reply.content, self.recipe.federated.message_limit)
        config, metrics = reply.content.config_records[CONFIG], reply.content.metric_records[METRICS]
        if config[RUN] != self.token:
            raise PayloadError("its reply belongs to another run")
        if config[ROUND] != number:
            raise PayloadError(f"its reply belongs to round {config[ROUND]}")
        if metrics[COUNT] != self.members[node].count:
            raise PayloadError("it now states another number of items")
        state = from_record(reply.content.array_records[ARRAYS])
        if problem := federated.reply_problem(state, self._expected(node, number)):
            raise PayloadError(problem)
        return state

    def _expected(self, node: int, number: int) -> State:
        """Arrays of the names, shapes and types that a reply should have."""
        if self.method.exchanges == LOGITS:
            assert self.items.public is not None
            rows = len(public_rows(self.method, len(self.items.public), self.seed, number))
            return {LOGITS: torch.zeros(rows, self.items.test.classes or 0)}
        model = self.models[self.members[node].group].state_dict()
        return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in model.items()}

    def _too_long(self, states: Mapping[int, State]) -> dict[int, str]:
        factor = self.recipe.federated.longest_update
        if factor is None:
            return {}
        before = {node: self._before(node, state) for node, state in states.items()}
        return federated.left_out_by_norm({node: (state, before[node]) for node, state in states.items()}, factor)

    def _before(self, node: int, state: State) -> State:
        """What a client started from; of logits zeros, so that their length counts."""
        if self.method.exchanges == LOGITS:
            return {LOGITS: torch.zeros_like(state[LOGITS])}
        return self.models[self.members[node].group].state_dict()

    def _misleading(self, states: Mapping[int, State]) -> dict[int, str]:
        """Models that are wrong too often on the server's validation data; logits, of which it has no labels, that contradict
        those of the others.
        """
        if not self.recipe.federated.drop_worst:
            return {}
        one_class = self.recipe.new_task().one_class
        if self.method.exchanges == LOGITS:
            logits = {node: federated.as_choices(state[LOGITS], one_class=one_class) for node, state in states.items()}
            return federated.left_out_by_consensus(logits)
        if self.items.validation is None:
            return {}
        known = self.items.validation.labelled()
        assert isinstance(known.target, Tensor)
        labels = known.target.flatten()
        correct = {}
        for node, state in states.items():
            outputs = outputs_of(self.recipe, self.client_model(node, state), known)
            right = federated.as_choices(outputs, one_class=one_class).argmax(-1) == labels
            correct[node] = right[is_labelled(labels)].tolist()
        return federated.left_out_by_validation(correct, (known.classes or 1) if one_class else 2)

    def client_model(self, node: int, state: State) -> nn.Module:
        """The model that a client has sent."""
        model = new_model(self.recipe, self.items.test, self.members[node].group, self.seed)
        model.load_state_dict(state)
        return model
