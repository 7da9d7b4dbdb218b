"""The same apps in Flower's own simulation, on Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("flwr")
pytest.importorskip("ray")

from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation

from limbeck.evaluation import Verdict
from limbeck.integrations.flower.run import run_federation
from limbeck.integrations.flower.simulation import simulated_app
from tests.integrations.flower.federations import recipe


@pytest.mark.slow
def test_a_federation_on_ray_gives_the_rounds_of_the_one_in_this_process(tmp_path: Path) -> None:
    wanted = recipe({"feddf": {"steps": 10}}, _control=False)
    items = wanted.simulated(0)
    app = ServerApp()
    app.main()(lambda grid, _: run_federation(wanted, tmp_path / "ray", grid=lambda *_: grid))
    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"num_cpus": 1}}
    run_simulation(app, simulated_app(wanted, items), num_supernodes=4, backend_config=resources)
    run_federation(wanted, tmp_path / "here")
    there, here = (Verdict.load(tmp_path / name) for name in ("ray", "here"))
    assert there.federation is not None
    assert here.federation is not None
    for one, other in zip(there.federation.rounds, here.federation.rounds, strict=True):
        assert (one.used, one.bytes_up, one.left_out) == (4, other.bytes_up, {})
        assert one.metrics["student"] == pytest.approx(other.metrics["student"], abs=0.05)  # replies come in another order
