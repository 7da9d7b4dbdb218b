"""The ServerApp and the ClientApp that Flower starts on real machines.

The server finds recipe and run directory in its run configuration, a client recipe and data in its node configuration, so that
neither path travels. `limbeck federate` fills them in.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path
from typing import cast

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from limbeck.integrations.flower.client import FederatedClient, client_app
from limbeck.integrations.flower.kept_models import KeptModels
from limbeck.integrations.flower.run import run_federation
from limbeck.recipe.federation import Federation

WAIT = 1.0  # seconds between two looks at which clients are there


def serve(grid: Grid, context: Context) -> None:
    """Waits for the clients, and carries out the recipe with them."""
    settings = context.run_config
    recipe = Federation.read(str(settings["recipe"]))
    known = recipe.server_items()  # what is wrong with the data is said before clients are waited for
    wait_for(grid, cast(int, settings["clients"]), recipe.federated.timeout)
    run_federation(
        recipe,
        Path(str(settings["out"])),
        items=lambda seed: known,
        grid=lambda *_: grid,
        resume=bool(settings["resume"]),
        force=bool(settings["force"]),
    )


def wait_for(grid: Grid, count: int, timeout: float) -> None:
    """Returns when so many clients are there.

    Raises:
        TimeoutError: they did not come in time.
    """
    until = time.monotonic() + timeout
    while (found := len(list(grid.get_node_ids()))) < count:
        if time.monotonic() > until:
            raise TimeoutError(
                f"{found} of {count} clients are there after {timeout:g} seconds (federated.timeout); are "
                "their keys registered?"
            )
        time.sleep(WAIT)


def find_client(context: Context) -> FederatedClient:
    """The client of this process, from its node configuration."""
    settings = context.node_config
    group = str(settings["group"]) if settings.get("group") else None
    return _client(str(settings["recipe"]), str(settings["data"]), int(context.node_id) % 2**31, group)


@cache
def _client(recipe: str, data: str, number: int, group: str | None) -> FederatedClient:
    """A client; its items are read once in a process."""
    described = Federation.read(recipe)
    train, public = described.client_items(Path(data))
    home = os.environ.get("FLWR_HOME")  # of this client alone; see `limbeck federate client`
    return FederatedClient(described, train, public, number, group, KeptModels(Path(home) / "models") if home else None)


server_app = ServerApp()
server_app.main()(serve)
clients_app = client_app(find_client)
