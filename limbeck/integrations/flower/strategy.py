"""The server of a federation as a strategy of Flower: FedAvg within each group, then the distillation of the method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from torch import Tensor

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
from limbeck.integrations.flower.records import PayloadError, payload_bytes, to_record
from limbeck.integrations.flower.replies import LOGITS, Member, ReplyChecks, State
from limbeck.integrations.flower.rounds import public_rows, taking_part
from limbeck.integrations.flower.server_step import ServerStep
from limbeck.methods import federated
from limbeck.recipe.federation import FederatedItems, Federation
from limbeck.utils.seeds import mix_seeds


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
        self.checks = ReplyChecks(recipe, items, self.method, self.token, self.models, self.members, seed)
        self.server = ServerStep(recipe, items, self.method, seed)
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
        states, left_out = self.checks.usable(replies, self._asked, self._round.number)
        if len(states) >= self.recipe.federated.least_replies:
            (self._fuse if self.method.exchanges == "weights" else self._agree)(server_round, replies, states)
        named = {str(node): reason for node, reason in sorted(left_out.items())}
        self._round = self._round.model_copy(
            update={"bytes_up": up, "used": len(states), "left_out": named, "metrics": self.evaluate()}
        )
        self.rounds.append(self._round)
        return self.arrays, None

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
        clients = {str(node): self.checks.client_model(node, state).eval() for node, state in states.items()}
        self.server.distil(clients, self.models, self._round.number)
        for model in self.models.values():
            model.cpu()

    def _agree(self, server_round: int, replies: list[Message], states: Mapping[int, State]) -> None:
        """Makes the consensus of the clients' logits, from which the server's models learn too."""
        assert self.items.public is not None
        self.consensus = self.method.consensus([state[LOGITS] for state in states.values()])
        rows = public_rows(self.method, len(self.items.public), self.seed, self._round.number)
        shown, settings = self.items.public.select(rows), quiet(self.recipe.training.build().settings)
        for group, model in self.models.items():
            seed = mix_seeds(self.seed, "server", group, self._round.number)
            task = self.recipe.new_task()
            federated.distil_consensus(self.method, model, shown, self.consensus, task=task, seed=seed, settings=settings)
            model.cpu()

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
            "makers": self.server.makers,
            "rounds": [each.model_dump(mode="json") for each in self.rounds],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        for group, model in self.models.items():
            model.load_state_dict(state["models"][group])
        self.consensus = state["consensus"].get(LOGITS)
        self.server.makers = dict(state.get("makers", {}))
        self.rounds = [FederatedRound.model_validate(each) for each in state["rounds"]]
        self.offset = int(state["round"])
