"""The server of a federation as a strategy of Flower: FedAvg within each group, then the distillation of the method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from torch import Tensor, nn

from limbeck.core.source import source as build_source
from limbeck.evaluation.federation import FederatedRound
from limbeck.integrations.flower.client import (
    ARRAYS,
    CONFIG,
    COUNT,
    GROUP,
    METHOD,
    METRICS,
    PUBLIC,
    RECIPE,
    ROUND,
    RUN,
    SEED,
    new_model,
    outputs_of,
    quiet,
)
from limbeck.integrations.flower.records import PayloadError, from_record, payload_bytes, require_size, to_record
from limbeck.integrations.flower.rounds import public_rows, taking_part
from limbeck.methods import federated
from limbeck.recipe.federation import FederatedItems, Federation
from limbeck.utils.seeds import mix_seeds

State = dict[str, Tensor]
LOGITS = "logits"
NO_REPLY = "no reply in time"


@dataclass(frozen=True)
class Member:
    """A client that has answered the server's first question: its architecture and number of items."""

    group: str
    count: int


class FederatedStrategy(FedAvg):  # type: ignore[misc]
    """Flower's FedAvg within each group of equal architectures, and a server that distils the replies.

    Args:
        recipe: of server and clients.
        items: those of the server.
        method: that of the recipe, or that of a control, by its name.
        arm, seed: of this training.

    Attributes:
        models: the server's, by group.
        offset: rounds that were done before this process.
        consensus: what the clients agreed on in the last round, if logits travel.
        rounds: the record of each round, all of this training.
        refused: why clients were turned away, by node.
    """

    def __init__(self, recipe: Federation, items: FederatedItems, method: str, *, arm: str, seed: int) -> None:
        super().__init__(min_train_nodes=1, min_available_nodes=1)
        self.recipe, self.items, self.arm, self.seed = recipe, items, arm, seed
        own = next(iter(recipe.federated.method))
        self.method = recipe.federated.build_method() if method == own else federated.method(method)
        self.method_name, self.token = method, f"{recipe.fingerprint()}-{arm}-{seed}"
        self.models = {group: new_model(recipe, items.test, group, seed) for group in recipe.architectures}
        self.members: dict[int, Member] = {}
        self.refused: dict[int, str] = {}
        self.offset, self.consensus = 0, cast(Tensor | None, None)
        self.rounds: list[FederatedRound] = []
        self._round = FederatedRound(arm=arm, seed=seed, number=0)
        self._asked: list[int] = []

    @property
    def arrays(self) -> ArrayRecord:
        """The weights of all groups in one record, as Flower passes them from round to round."""
        records = [to_record(model.state_dict(), group=group) for group, model in self.models.items()]
        return ArrayRecord({name: array for record in records for name, array in record.items()})

    # --- to the clients ----------------------------------------------------------------------------------------------

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        number = server_round + self.offset
        self._round = FederatedRound(arm=self.arm, seed=self.seed, number=number)
        nodes = self._members(grid)
        if not nodes:
            raise PayloadError(f"no client can take part{self._reasons()}")
        self._asked = taking_part(nodes, self.recipe.federated.fraction, self.seed, number)
        settings = ConfigRecord({ROUND: number, RUN: self.token, SEED: self.seed, METHOD: self.method_name})
        messages = [self._message(node, settings) for node in self._asked]
        self._round = self._round.model_copy(
            update={"asked": len(messages), "bytes_down": sum(payload_bytes(each.content) for each in messages)}
        )
        return messages

    def _message(self, node: int, settings: ConfigRecord) -> Message:
        if self.method.exchanges == "weights":
            arrays = to_record(self.models[self.members[node].group].state_dict())
        else:
            arrays = to_record({} if self.consensus is None else {LOGITS: self.consensus})
        return Message(RecordDict({ARRAYS: arrays, CONFIG: settings}), node, MessageType.TRAIN)

    def _members(self, grid: Grid) -> list[int]:
        """The nodes that take part. New ones are asked for their architecture, and turned away if their recipe is another."""
        nodes = sorted(grid.get_node_ids())
        new = [node for node in nodes if node not in self.members and node not in self.refused]
        questions = [Message(RecordDict({CONFIG: ConfigRecord({RUN: self.token})}), node, MessageType.QUERY) for node in new]
        for reply in grid.send_and_receive(questions, timeout=self.recipe.federated.timeout) if questions else ():
            node = reply.metadata.src_node_id
            if reply.has_error():
                continue  # it is asked again in the next round
            config, metrics = reply.content.config_records[CONFIG], reply.content.metric_records[METRICS]
            shared = "" if self.items.public is None else self.items.public.fingerprint()
            if config[RECIPE] != self.recipe.fingerprint():
                self.refused[node] = "its recipe is another; give it the server's"
            elif self.method.exchanges == LOGITS and config[PUBLIC] != shared:
                self.refused[node] = "its public data is another; give it the server's"
            elif config[GROUP] not in self.models:
                self.refused[node] = f"its group is none of {', '.join(self.models)}"
            else:
                self.members[node] = Member(str(config[GROUP]), int(cast(int, metrics[COUNT])))
        return [node for node in nodes if node in self.members]

    def _reasons(self) -> str:
        return "".join(f"; node {node}: {reason}" for node, reason in self.refused.items())

    # --- from the clients --------------------------------------------------------------------------------------------

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord | None, MetricRecord | None]:
        replies = list(replies)
        up = sum(payload_bytes(reply.content) for reply in replies if not reply.has_error())
        states, left_out = self._read(replies)
        left_out |= {node: NO_REPLY for node in self._asked if node not in states and node not in left_out}
        for check in (self._too_long, self._worse_than_guessing):
            found = check(states)
            left_out |= found
            states = {node: state for node, state in states.items() if node not in found}
        if len(states) >= self.recipe.federated.least_replies:
            (self._fuse if self.method.exchanges == "weights" else self._agree)(server_round, replies, states)
        named = {str(node): reason for node, reason in sorted(left_out.items())}
        self._round = self._round.model_copy(
            update={"bytes_up": up, "used": len(states), "left_out": named, "metrics": self.evaluate()}
        )
        self.rounds.append(self._round)
        return self.arrays, None

    def _read(self, replies: list[Message]) -> tuple[dict[int, State], dict[int, str]]:
        """The arrays of the replies that are as they should be, by node; and what is wrong with the others."""
        states: dict[int, State] = {}
        left_out: dict[int, str] = {}
        for reply in replies:
            node = reply.metadata.src_node_id
            if node not in self._asked:
                continue
            try:
                states[node] = self._arrays_of(node, reply)
            except (PayloadError, KeyError, ValueError) as error:
                left_out[node] = str(error)
        return states, left_out

    def _arrays_of(self, node: int, reply: Message) -> State:
        if reply.has_error():
            raise PayloadError(f"it failed: {reply.error.reason or 'no reason is given'}"[:200])
        require_size(reply.content, self.recipe.federated.message_limit)
        config, metrics = reply.content.config_records[CONFIG], reply.content.metric_records[METRICS]
        if config[RUN] != self.token:
            raise PayloadError("its reply belongs to another run")
        if config[ROUND] != self._round.number:
            raise PayloadError(f"its reply belongs to round {config[ROUND]}")
        if metrics[COUNT] != self.members[node].count:
            raise PayloadError("it now states another number of items")
        state = from_record(reply.content.array_records[ARRAYS])
        if problem := federated.reply_problem(state, self._expected(node)):
            raise PayloadError(problem)
        return state

    def _expected(self, node: int) -> State:
        """Arrays of the names, shapes and types that a reply should have."""
        if self.method.exchanges == LOGITS:
            return {LOGITS: torch.zeros(len(self._public_rows()), self.items.test.classes or 0)}
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

    def _worse_than_guessing(self, states: Mapping[int, State]) -> dict[int, str]:
        known = self.items.validation
        if known is None or self.method.exchanges == LOGITS or not self.recipe.federated.drop_worst:
            return {}
        known = known.labelled()
        correct = {
            node: (outputs_of(self.recipe, self._client_model(node, state), known).argmax(-1) == known.target).tolist()
            for node, state in states.items()
        }
        return federated.left_out_by_validation(correct, known.classes or 1)

    # --- what the server makes of them -------------------------------------------------------------------------------

    def _fuse(self, server_round: int, replies: list[Message], states: Mapping[int, State]) -> None:
        """Averages the weights of each group, as Flower does, and distils the clients' models into all groups."""
        for group, model in self.models.items():
            mine = [
                reply
                for reply in replies
                if (node := reply.metadata.src_node_id) in states and self.members[node].group == group
            ]
            for reply in mine:
                metrics = MetricRecord({COUNT: self.members[reply.metadata.src_node_id].count})
                reply.content = RecordDict({ARRAYS: to_record(states[reply.metadata.src_node_id]), METRICS: metrics})
            averaged, _ = super().aggregate_train(server_round, mine) if mine else (None, None)
            if averaged is not None:
                mean = averaged.to_torch_state_dict()
                model.load_state_dict({name: mean[name].to(old.dtype) for name, old in model.state_dict().items()})
        settings = quiet(self.recipe.training.build().settings)
        federated.distil_clients(
            self.method,
            {str(node): self._client_model(node, state).eval() for node, state in states.items()},
            self.models,
            self._inputs(),
            task=self.recipe.new_task(),
            seed=mix_seeds(self.seed, "server", self._round.number),
            settings=settings,
            validation=self.items.validation,
        )
        for model in self.models.values():
            model.cpu()

    def _inputs(self) -> Any:
        """Items or a source of inputs without labels."""
        spec = self.recipe.federated.source
        return self.items.public if spec is None else build_source(spec)

    def _client_model(self, node: int, state: State) -> nn.Module:
        model = new_model(self.recipe, self.items.test, self.members[node].group, self.seed)
        model.load_state_dict(state)
        return model

    def _agree(self, server_round: int, replies: list[Message], states: Mapping[int, State]) -> None:
        """Makes the consensus of the clients' logits, from which the server's models learn too."""
        assert self.items.public is not None
        self.consensus = self.method.consensus([state[LOGITS] for state in states.values()])
        shown, settings = self.items.public.select(self._public_rows()), quiet(self.recipe.training.build().settings)
        for group, model in self.models.items():
            seed = mix_seeds(self.seed, "server", group, self._round.number)
            task = self.recipe.new_task()
            federated.distil_consensus(self.method, model, shown, self.consensus, task=task, seed=seed, settings=settings)
            model.cpu()

    def _public_rows(self) -> Tensor:
        assert self.items.public is not None
        return public_rows(self.method, len(self.items.public), self.seed, self._round.number)

    # --- evaluation --------------------------------------------------------------------------------------------------

    def evaluate(self) -> dict[str, float]:
        """The metric of each group's model on the server's validation data; nothing without any."""
        known, task = self.items.validation, self.recipe.new_task()
        if known is None:
            return {}
        outputs = {group: outputs_of(self.recipe, model, known) for group, model in self.models.items()}
        return {group: float(task.compute_metrics(found, known)[task.metric.name]) for group, found in outputs.items()}

    def configure_evaluate(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        return ()  # clients would evaluate on their own items; the server's validation data is the same for all rounds

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        return None

    def summary(self) -> None:
        """Nothing is logged: the records of the rounds hold everything."""

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that determines the following rounds."""
        return {
            "round": len(self.rounds),
            "models": {group: dict(model.state_dict()) for group, model in self.models.items()},
            "consensus": {} if self.consensus is None else {LOGITS: self.consensus},
            "rounds": [each.model_dump(mode="json") for each in self.rounds],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        for group, model in self.models.items():
            model.load_state_dict(state["models"][group])
        self.consensus = state["consensus"].get(LOGITS)
        self.rounds = [FederatedRound.model_validate(each) for each in state["rounds"]]
        self.offset = int(state["round"])
