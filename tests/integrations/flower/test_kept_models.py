"""Clients that exchange logits keep their models in files, which outlive the server."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("flwr")

from limbeck.integrations.flower.client import FederatedClient, client_app
from limbeck.integrations.flower.grid import InProcessGrid, set_task_identity
from limbeck.integrations.flower.kept_models import KeptModels
from tests.integrations.flower.federations import recipe, trained


def test_the_last_two_rounds_are_kept_and_the_one_before_is_loaded(tmp_path: Path) -> None:
    kept = KeptModels(tmp_path / "models")
    assert kept.load("run", 1) is None
    for number in (1, 2, 4):
        kept.keep("run", number, {"w": torch.tensor([float(number)])})
    assert [kept.load("run", asked)["w"].item() for asked in (3, 4, 5, 9)] == [2, 2, 4, 4]
    assert kept.load("run", 2) is None  # of round 1 nothing is left
    assert kept.load("../run", 9) is None
    kept.keep("run", 2, {"w": torch.tensor([7.0])})  # asked again: what came later is gone
    assert kept.load("run", 9)["w"].item() == 7
    assert len(list((tmp_path / "models").iterdir())) == 1


class RealClients(InProcessGrid):
    """Clients whose state in Flower ends with the server's run."""

    def load_state_dict(self, state) -> None:
        pass


class KilledError(Exception):
    pass


@pytest.mark.parametrize("done", [1, 2])
def test_clients_go_on_after_the_server_was_killed(done: int, tmp_path: Path) -> None:
    """Also if the clients had done a second round that the server had not written down."""

    def grid(wanted, items) -> RealClients:
        set_task_identity()
        clients = [
            FederatedClient(wanted, own, items.public, number, kept=KeptModels(tmp_path / f"client-{number}"))
            for number, own in enumerate(items.clients)
        ]
        return RealClients({client.number + 1: client_app(lambda _, client=client: client) for client in clients})

    def kill_after(rounds: int):
        def kill(strategy) -> None:
            if len(strategy.rounds) == rounds:
                raise KilledError

        return kill

    wanted = recipe({"ds_fl": {"steps": 3}}, rounds=3)
    whole, _ = trained(wanted)
    with pytest.raises(KilledError):
        trained(wanted, grid=grid, folder=tmp_path / "run", on_round=kill_after(done))
    with pytest.raises(KilledError):
        trained(wanted, folder=tmp_path / "first", on_round=kill_after(1))
    resumed, _ = trained(wanted, grid=grid, folder=tmp_path / "first", resume=True)
    for one, other in zip(*(each.models["student"].parameters() for each in (whole, resumed)), strict=True):
        assert torch.equal(one, other)
