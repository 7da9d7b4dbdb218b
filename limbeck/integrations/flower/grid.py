"""A grid whose clients run in this process, one after the other: the fastest simulation, and the one that tests use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from torch import Tensor

from limbeck.integrations.flower.records import from_record, to_record

RUN, SERVER, TASK = 1, 1, 1
FAILED = 0  # code of an error in a client


class InProcessGrid(Grid):  # type: ignore[misc]
    """Calls each client's app with the messages to it, and returns the replies in order.

    Messages are Flower's own and hold serialised arrays, so clients and server share no memory. An error of a client becomes
    an error reply, as on real processes; only its type is told, since its text could hold data.

    Args:
        apps: by node.
        configs: what each node's app finds in `context.node_config`.
        run_config: what all find in `context.run_config`.
    """

    def __init__(
        self,
        apps: Mapping[int, ClientApp],
        configs: Mapping[int, Mapping[str, Any]] | None = None,
        run_config: Mapping[str, Any] | None = None,
    ) -> None:
        self.apps, self._identity = dict(apps), 0
        self.contexts = {
            node: Context(RUN, node, dict((configs or {}).get(node, {})), RecordDict(), dict(run_config or {}))
            for node in self.apps
        }

    def get_node_ids(self) -> Iterable[int]:
        return list(self.apps)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return [reply for message in messages if (reply := self.deliver(message)) is not None]

    def deliver(self, message: Message) -> Message | None:
        """The reply to one message; None: there is none in time."""
        self._identity += 1
        message.metadata._message_id = str(self._identity)
        node = message.metadata.dst_node_id
        try:
            return self.apps[node](message, self.contexts[node])
        except Exception as error:
            return Message(Error(FAILED, f"{type(error).__name__} in the client"), reply_to=message)

    # --- what clients keep between rounds ----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What the clients keep between rounds, for the checkpoint of a simulation."""
        return {
            str(node): {name: from_record(record) for name, record in context.state.array_records.items()}
            for node, context in self.contexts.items()
        }

    def load_state_dict(self, state: Mapping[str, Mapping[str, Mapping[str, Tensor]]]) -> None:
        """Restores what `state_dict` returned."""
        for node, records in state.items():
            for name, tensors in records.items():
                self.contexts[int(node)].state[name] = to_record(tensors)

    # --- parts of the interface that strategies do not use -----------------------------------------------------------

    def set_run(self, run: Any) -> None:
        raise NotImplementedError("this grid has one run")

    @property
    def run(self) -> Any:
        raise NotImplementedError("this grid has one run")

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError("this grid answers at once; use send_and_receive")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError("this grid answers at once; use send_and_receive")


def set_task_identity() -> None:
    """Names this process as a server's, without which recent versions of Flower make no messages outside of a run.

    Flower has no public way to do so: `run_simulation` sets the same three attributes.
    """
    try:
        from flwr.supercore.task_identity import TaskIdentity
    except ImportError:  # before 1.41 messages needed no identity
        return
    TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = RUN, TASK, SERVER
