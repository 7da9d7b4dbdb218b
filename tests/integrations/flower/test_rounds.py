"""The rounds of a federation in this process: what is averaged, what travels and what is counted."""

from __future__ import annotations

import pytest

pytest.importorskip("flwr")

import numpy as np
import torch
from flwr.app import ArrayRecord

from limbeck.integrations.flower.client import FederatedClient, client_app, new_model, train_locally
from limbeck.integrations.flower.grid import InProcessGrid, set_task_identity
from limbeck.integrations.flower.records import from_record
from limbeck.methods.federated import FedAvg
from limbeck.utils.seeds import mix_seeds
from tests.integrations.flower.federations import MODEL, recipe, trained

BYTES = 4 * (64 * 16 + 16 + 16 * 10 + 10)  # of the model's weights
WIDE = {"model": "mlp", "args": {"inputs": 64, "hidden": [32]}}
HEADER = 128  # of an array in NumPy's format


def accuracy(strategy, group="student") -> float:
    return strategy.rounds[-1].metrics[group]


def test_a_round_of_fedavg_is_the_mean_of_the_clients_weights_by_their_items():
    wanted = recipe(rounds=1, partition={"dirichlet": {"alpha": 1.0}})
    strategy, _ = trained(wanted, seed=3)
    items = wanted.simulated(3)
    start = new_model(wanted, items.test, "student", 3).state_dict()
    expected = dict.fromkeys(start, 0.0)
    total = sum(map(len, items.clients))
    assert len({len(own) for own in items.clients}) > 1
    for number, own in enumerate(items.clients):
        model = new_model(wanted, own, "student", 3)
        model.load_state_dict(start)
        train_locally(wanted, FedAvg(), model, own, mix_seeds(3, number, 1))
        for name, tensor in model.state_dict().items():
            expected[name] = expected[name] + tensor * (len(own) / total)
    for name, tensor in strategy.models["student"].state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)


def test_a_client_counts_by_the_items_that_it_learns_from():
    wanted = recipe()
    own = wanted.simulated(0).clients[0]
    assert FederatedClient(wanted, own, None, 0).count == len(own)
    assert FederatedClient(wanted, own.without_labels(torch.arange(5)), None, 0).count == len(own) - 5


def test_payloads_are_counted_in_both_directions():
    strategy, grid = trained(recipe())
    for done in strategy.rounds:
        assert (done.asked, done.used, done.left_out) == (4, 4, {})
        for counted in (done.bytes_down, done.bytes_up):
            assert 4 * (BYTES + 4 * HEADER) <= counted <= 4 * (BYTES + 4 * HEADER + 200)
    arrays = [record for message in grid.sent[4:8] for record in message.content.array_records.values()]
    assert strategy.rounds[0].bytes_down >= sum(len(array.data) for record in arrays for array in record.values())


def test_feddf_distils_and_its_clients_train_as_those_of_fedavg_do():
    data = {"train": {"path": "digits", "split": "train", "limit": 600}, "test": {"path": "digits", "split": "test"}}
    plain, plain_grid = trained(recipe(_data=data))
    distilled, grid = trained(
        recipe({"feddf": {"steps": 20, "lr": 0.01}}, _data=data)
    )  # without validation the last state stays
    assert distilled.rounds[0].metrics == {}
    first = [reply for reply in grid.replies if reply.metadata.message_type == "train"][:4]
    same = [reply for reply in plain_grid.replies if reply.metadata.message_type == "train"][:4]
    for one, other in zip(first, same, strict=True):
        weights = (from_record(reply.content.array_records["arrays"]) for reply in (one, other))
        assert all(torch.equal(a, b) for a, b in zip(*(each.values() for each in weights), strict=True))
    assert distilled.rounds[0].bytes_up == plain.rounds[0].bytes_up
    moved = zip(*(each.models["student"].parameters() for each in (plain, distilled)), strict=True)
    assert not all(torch.equal(a, b) for a, b in moved)


def test_groups_of_several_architectures_learn_from_each_other():
    groups = {"small": MODEL, "wide": WIDE}
    strategy, grid = trained(recipe({"feddf": {"steps": 20}}, _groups=groups))
    assert [member.group for member in strategy.members.values()] == ["small", "wide", "small", "wide"]
    shapes = {
        reply.metadata.src_node_id: len(reply.content.array_records["arrays"]["layers.0.0.bias"].data)
        for reply in grid.replies[4:8]
    }
    assert shapes[1] < shapes[2]
    assert set(strategy.rounds[-1].metrics) == set(groups)
    assert set(strategy.arrays) == {
        f"{group}|{name}" for group, model in strategy.models.items() for name in model.state_dict()
    }


@pytest.mark.parametrize(("upload", "factor"), [("float16", 2), ("int8", 4)])
def test_low_bit_clients_send_less_and_are_averaged(upload, factor):
    full, _ = trained(recipe(rounds=1))
    few, _ = trained(recipe(rounds=1, upload=upload))
    assert few.rounds[0].bytes_up < full.rounds[0].bytes_up / factor + 4 * 8 * (HEADER + 100)
    assert few.rounds[0].bytes_down == full.rounds[0].bytes_down
    for one, other in zip(*(each.models["student"].parameters() for each in (full, few)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.01 * float(one.detach().abs().max()))


@pytest.mark.parametrize("method", [{"fedmd": {"steps": 10}}, {"ds_fl": {"steps": 10}}])
def test_logits_travel_and_their_size_is_that_of_the_public_data(method):
    strategy, grid = trained(recipe(method, rounds=3))
    public = len(strategy.items.public)
    names = {name for message in (*grid.sent[4:], *grid.replies[4:]) for name in message.content.array_records["arrays"]}
    assert names == {"logits"}
    assert strategy.rounds[0].bytes_down < 4 * 300  # there is no consensus yet
    assert abs(strategy.rounds[1].bytes_up - 4 * (public * 10 * 4)) < 4 * 500
    assert accuracy(strategy) > strategy.rounds[0].metrics["student"] - 0.2
    kept = from_record(grid.contexts[1].state.array_records["model"])
    assert set(kept) == set(strategy.models["student"].state_dict())


def test_some_public_items_a_round_are_drawn_alike_by_server_and_clients():
    strategy, _ = trained(recipe({"fedmd": {"items": 30, "steps": 5}}))
    assert strategy.consensus.shape == (30, 10)
    assert strategy.rounds[1].bytes_down < 4 * (30 * 10 * 4 + 500)


def test_part_of_the_clients_take_part_and_the_seed_says_which():
    strategy, grid = trained(recipe(fraction=0.5, rounds=3))
    nodes = [reply.metadata.src_node_id for reply in grid.replies if reply.metadata.message_type == "train"]
    assert [len(nodes), *(each.asked for each in strategy.rounds)] == [6, 2, 2, 2]
    again, other = trained(recipe(fraction=0.5, rounds=3))
    assert nodes == [reply.metadata.src_node_id for reply in other.replies if reply.metadata.message_type == "train"]
    assert torch.equal(strategy.models["student"].linear.weight, again.models["student"].linear.weight)


def test_noise_is_added_by_the_clients():
    privacy = {"clipping_norm": 1.0, "sensitivity": 0.001, "epsilon": 1.0, "delta": 1e-5}
    plain, _ = trained(recipe(rounds=1))
    noisy, grid = trained(recipe(rounds=1, privacy=privacy))
    assert noisy.rounds[0].used == 4, noisy.rounds[0].left_out
    assert not torch.equal(plain.models["student"].linear.bias, noisy.models["student"].linear.bias)
    start = from_record(grid.sent[4].content.array_records["arrays"])
    sent = from_record(grid.replies[4].content.array_records["arrays"])
    length = sum(float((sent[name] - start[name]).square().sum()) for name in start) ** 0.5
    assert 0 < length < 1.3  # the clipped update and little noise


def test_the_noise_of_a_simulation_is_drawn_from_the_seed_and_that_of_a_real_client_is_not():
    privacy = {"clipping_norm": 1.0, "sensitivity": 0.001, "epsilon": 1.0, "delta": 1e-5}
    wanted = recipe(rounds=1, privacy=privacy)

    def real(made, items):
        set_task_identity()
        clients = [FederatedClient(made, own, items.public, number) for number, own in enumerate(items.clients)]
        return InProcessGrid({one.number + 1: client_app(lambda _, one=one: one) for one in clients})

    def bias(grid=None):
        np.random.seed(0)  # as processes that were forked from one
        before = np.random.get_state()[1].copy()
        strategy, _ = trained(wanted, grid=grid)
        assert (np.random.get_state()[1] == before).all()
        return strategy.models["student"].linear.bias

    assert torch.equal(bias(), bias())
    assert not torch.equal(bias(real), bias(real))


def test_a_source_of_inputs_stands_for_public_data():
    wanted = recipe({"feddf": {"steps": 5}}, public=None, source={"gaussian": {"shape": [1, 8, 8], "batch_size": 16}}, rounds=1)
    strategy, _ = trained(wanted)
    assert strategy.items.public is None
    assert strategy.rounds[0].used == 4


MADE = {"public": None, "data_free": {"dfad": {"width": 4, "latent": 8, "generator_lr": 0.01}}}


def test_without_public_data_each_group_has_a_generator_that_goes_on_and_only_weights_travel():
    groups = {"small": MODEL, "wide": WIDE}
    wanted = recipe({"feddf": {"steps": 20, "patience": None}}, _groups=groups, **MADE)
    makers = []
    strategy, grid = trained(wanted, on_round=lambda done: makers.append(dict(done.server.makers)))
    assert strategy.items.public is None
    assert [list(each) for each in makers] == [list(groups)] * 2
    first, second = (each["small"]["generator"] for each in makers)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    _, plain = trained(recipe(_groups=groups, public=None))
    names = [[sorted(each.content.array_records.get("arrays", {})) for each in one.replies] for one in (grid, plain)]
    assert names[0] == names[1]


@pytest.mark.parametrize("changes", [{}, MADE, {"_groups": {"small": MODEL, "wide": WIDE}}])
def test_a_round_with_one_reply_has_nothing_to_teach_the_model_that_it_is(changes):
    strategy, _ = trained(recipe({"feddf": {"steps": 5}}, fraction=0.25, **changes))
    assert [each.used for each in strategy.rounds] == [1, 1]


@pytest.mark.parametrize(
    ("method", "changes"), [({"feddf": {"steps": 10}}, {}), ({"fedmd": {"steps": 5}}, {}), ({"feddf": {"steps": 10}}, MADE)]
)
def test_a_server_that_was_killed_goes_on_and_reaches_the_same_weights(method, changes, tmp_path):
    class KilledError(Exception):
        pass

    def kill(strategy):
        if len(strategy.rounds) == 1:
            raise KilledError

    whole, _ = trained(recipe(method, rounds=3, **changes))
    with pytest.raises(KilledError):
        trained(recipe(method, rounds=3, **changes), folder=tmp_path, on_round=kill)
    resumed, grid = trained(recipe(method, rounds=3, **changes), folder=tmp_path, resume=True)
    assert resumed.rounds == whole.rounds
    assert sum(message.metadata.message_type == "train" for message in grid.sent) == 4 * 2
    for one, other in zip(*(each.models["student"].parameters() for each in (whole, resumed)), strict=True):
        assert torch.equal(one, other)
    again, grid = trained(recipe(method, rounds=3, **changes), folder=tmp_path, resume=True)
    assert not grid.sent
    assert len(again.rounds) == 3


def test_records_hold_the_numbers_that_went_in():
    state = {"w": torch.randn(3, 4), "b": torch.randn(3), "n": torch.tensor(5)}
    from limbeck.integrations.flower.records import to_record

    exact = from_record(to_record(state))
    assert all(torch.equal(exact[name], state[name]) for name in state)
    near = from_record(to_record(state, "int8"))
    assert torch.equal(near["b"], state["b"])
    assert float((near["w"] - state["w"]).abs().max()) <= float(state["w"].abs().max()) / 254 + 1e-6
    assert isinstance(to_record(state), ArrayRecord)
