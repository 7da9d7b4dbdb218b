"""Clients that vanish, fail or lie: the round completes, and what was wrong is named."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("flwr")

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message

from limbeck.data import Items
from limbeck.integrations.flower.client import FederatedClient, client_app
from limbeck.integrations.flower.records import STYPE, from_record, to_record
from limbeck.integrations.flower.simulation import simulated_grid
from tests.integrations.flower.federations import WatchedGrid, disturbed, recipe, trained

LIAR = 3


def of_liar(change):
    """Changes the arrays of one client's replies."""

    def disturb(reply: Message, _: int) -> Message | None:
        if reply.metadata.src_node_id != LIAR:
            return reply
        record = reply.content.array_records["arrays"]
        changed = change(record)
        if changed is None:
            return None
        reply.content["arrays"] = changed
        return reply

    return disturbed(disturb)


def with_tensor(name, change):
    def changed(record: ArrayRecord) -> ArrayRecord:
        state = from_record(record)
        state[name] = change(state[name])
        return to_record(state)

    return changed


def pickled(record: ArrayRecord) -> ArrayRecord:
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.array([{"run": "code"}], dtype=object), allow_pickle=True)
    return ArrayRecord({**record, "linear.bias": Array("float32", (10,), "numpy.ndarray", buffer.getvalue())})


def scaled(record: ArrayRecord) -> ArrayRecord:
    return to_record({name: tensor * 20 for name, tensor in from_record(record).items()})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _: None, "no reply in time"),
        (with_tensor("linear.bias", lambda bias: bias * math.nan), "array 'linear.bias' holds NaN or infinity"),
        (with_tensor("linear.bias", lambda bias: bias[:7]), r"array 'linear.bias' has shape [7]; expected [10]"),
        (lambda record: ArrayRecord({"linear.bias": record["linear.bias"]}), "array 'layers.0.0.bias' is missing"),
        (lambda record: ArrayRecord({**record, "rows": record["linear.bias"]}), "array 'rows' is not expected"),
        (lambda record: ArrayRecord({**record, "linear.bias": Array("str", (1,), STYPE, b"x")}), "expected numpy.ndarray"),
        (lambda record: ArrayRecord({**record, "linear.bias": Array("float32", (1,), "pickle", b"x")}), "is pickle of float32"),
        (pickled, "cannot be read"),
        (scaled, "times as long as the median one"),
    ],
)  # fmt: skip
def test_a_bad_reply_is_named_and_left_out(change, reason):
    strategy, _ = trained(recipe(rounds=1), grid=of_liar(change))
    (done,) = strategy.rounds
    assert (done.asked, done.used) == (4, 3)
    assert list(done.left_out) == [str(LIAR)]
    assert reason in done.left_out[str(LIAR)]
    kept, _ = trained(recipe(rounds=1), grid=of_liar(lambda _: None))
    for one, other in zip(*(each.models["student"].parameters() for each in (strategy, kept)), strict=True):
        assert torch.equal(one, other)  # as if the client had said nothing


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("run", "other", "belongs to another run"), ("server-round", 7, "belongs to round 7")],
)
def test_replies_of_another_run_or_round_are_left_out(field, value, reason):
    def disturb(reply: Message, _: int) -> Message:
        if reply.metadata.src_node_id == LIAR:
            reply.content["config"] = ConfigRecord({**reply.content.config_records["config"], field: value})
        return reply

    strategy, _ = trained(recipe(rounds=1), grid=disturbed(disturb))
    assert reason in strategy.rounds[0].left_out[str(LIAR)]


def test_a_round_without_any_reply_changes_nothing_and_the_next_goes_on():
    def disturb(reply: Message, exchange: int) -> Message | None:
        return None if exchange == 2 else reply  # the first exchange asks who is there

    strategy, grid = trained(recipe(), grid=disturbed(disturb))
    assert [each.used for each in strategy.rounds] == [0, 4]
    first, second = (message.content.array_records["arrays"] for message in (grid.sent[4], grid.sent[8]))
    assert all(first[name].data == second[name].data for name in first)


def test_a_client_that_fails_is_named_by_its_node_without_its_data():
    wanted = recipe(rounds=1)
    items = wanted.simulated(0)
    grid = simulated_grid(wanted, items, WatchedGrid)

    def fail(context):
        raise RuntimeError("patient Smith, born 1954")

    grid.apps[LIAR] = client_app(fail)
    strategy, _ = trained(wanted, grid=lambda *_: grid)
    assert LIAR not in strategy.members
    assert strategy.rounds[0].asked == 3
    assert not any("Smith" in str(reply.error.reason) for reply in grid.replies if reply.has_error())


def with_flipped_labels(wanted, items):
    own = items.clients[LIAR - 1]
    items.clients[LIAR - 1] = Items(own.storage, own.keys, (own.classes - 1) - own.target, own.classes, None, own.images)
    return simulated_grid(wanted, items, WatchedGrid)


def test_flipped_labels_are_found_on_the_validation_data():
    wanted = recipe({"feddf": {"steps": 5}}, rounds=2, _training={"epochs": 8, "batch_size": 16, "threads": 1, "device": "cpu",
        "optimizer": {"name": "adamw", "lr": 0.01, "schedule": 1.0}})  # fmt: skip

    strategy, _ = trained(wanted, grid=with_flipped_labels)
    assert all(set(each.left_out) <= {str(LIAR)} for each in strategy.rounds)
    assert "fewer than guessing (10.0%)" in strategy.rounds[0].left_out[str(LIAR)]
    assert "far fewer than those of the other clients" in strategy.rounds[1].left_out[str(LIAR)]


def test_flipped_labels_are_found_in_logits_that_contradict_those_of_the_others():
    wanted = recipe({"ds_fl": {"steps": 5}}, rounds=1, _training={"epochs": 8, "batch_size": 16, "threads": 1, "device": "cpu",
        "optimizer": {"name": "adamw", "lr": 0.01, "schedule": 1.0}})  # fmt: skip
    strategy, _ = trained(wanted, grid=with_flipped_labels)
    assert list(strategy.rounds[0].left_out) == [str(LIAR)]
    assert "it names the class that the others name" in strategy.rounds[0].left_out[str(LIAR)]


def test_messages_over_the_limit_are_refused_on_both_sides():
    strategy, _ = trained(recipe(rounds=1, message_limit=10_000), grid=of_liar(scaled_size))
    assert "federated.message_limit allows 10,000" in strategy.rounds[0].left_out[str(LIAR)]
    small, grid = trained(recipe(rounds=1, message_limit=2_000))
    assert small.rounds[0].used == 0
    assert set(small.rounds[0].left_out.values()) == {"it failed: PayloadError in the client"}
    assert all(reply.has_error() for reply in grid.replies[4:])


def scaled_size(record: ArrayRecord) -> ArrayRecord:
    return ArrayRecord({**record, "more": to_record({"more": torch.zeros(5000)})["more"]})


def test_a_client_with_another_recipe_is_turned_away():
    wanted, other = recipe(rounds=1), recipe(rounds=1, _training={"epochs": 9})
    items = wanted.simulated(0)
    grid = simulated_grid(wanted, items, WatchedGrid)
    stranger = FederatedClient(other, items.clients[0], items.public, 0)
    grid.apps[1] = client_app(lambda _: stranger)
    strategy, _ = trained(wanted, grid=lambda *_: grid)
    assert strategy.refused == {1: "its recipe is another; give it the server's"}
    assert strategy.rounds[0].asked == 3
    with pytest.raises(ValueError, match=r"no client can take part; node 1: its recipe is another"):
        trained(wanted, grid=lambda *_: WatchedGrid({1: grid.apps[1]}))


def test_no_row_and_no_name_leaves_a_client():
    for method in ("fedavg", {"fedmd": {"steps": 5}}):
        wanted = recipe(method)
        items = wanted.simulated(0)
        strategy, grid = trained(wanted)
        public = len(items.public)
        shapes = {tuple(tensor.shape) for tensor in strategy.models["student"].state_dict().values()}
        allowed = shapes if method == "fedavg" else {(public, 10)}
        rows = {
            row.numpy().tobytes() for own in items.clients for row in own.fetch(torch.arange(len(own))).float().flatten(1) / 255
        }
        rows |= {row.numpy().tobytes() for own in items.clients for row in own.fetch(torch.arange(len(own))).float().flatten(1)}
        seen = 0
        for message in (*grid.sent, *grid.replies):
            for record in message.content.array_records.values():
                for array in record.values():
                    seen += 1
                    assert tuple(array.shape) in allowed
                    values = array.numpy().astype(np.float32)
                    assert not any(row.tobytes() in rows for row in values.reshape(-1, values.shape[-1]) if row.size == 64)
            settings = {key for record in message.content.config_records.values() for key in record}
            assert settings <= {"server-round", "run", "seed", "method", "group", "recipe", "public"}
            numbers = {key for record in message.content.metric_records.values() for key in record}
            assert numbers <= {"num-examples"}
        assert seen > 20 or method != "fedavg"
