"""A federation within this process: the training data of a recipe, split among its clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flwr.app import Context
from flwr.clientapp import ClientApp

from limbeck.integrations.flower.client import NUMBER, FederatedClient, client_app
from limbeck.integrations.flower.grid import InProcessGrid, set_task_identity
from limbeck.recipe.federation import FederatedItems, Federation


def simulated_apps(recipe: Federation, items: FederatedItems) -> dict[int, ClientApp]:
    """Returns the app of each client by node; the nodes are numbered from 1."""

    def app_of(client: FederatedClient) -> ClientApp:
        return client_app(lambda _: client, simulated=True)

    return {number + 1: app_of(client) for number, client in enumerate(_clients(recipe, items))}


def simulated_app(recipe: Federation, items: FederatedItems) -> ClientApp:
    """Returns one app for all clients, for Flower's own simulation on Ray: each node is the client of its `partition-id`."""
    clients = _clients(recipe, items)

    def find(context: Context) -> FederatedClient:
        return clients[int(context.node_config[NUMBER])]

    return client_app(find, simulated=True)


def _clients(recipe: Federation, items: FederatedItems) -> list[FederatedClient]:
    return [FederatedClient(recipe, own, items.public, number) for number, own in enumerate(items.clients)]


def simulated_grid(
    recipe: Federation, items: FederatedItems, kind: type[InProcessGrid] = InProcessGrid, **options: Any
) -> InProcessGrid:
    """Returns the grid of a federation whose clients run in this process.

    Args:
        kind: the class of the grid, such as one in which clients fail.
        options: of that class.
    """
    set_task_identity()
    apps: Mapping[int, ClientApp] = simulated_apps(recipe, items)
    return kind(apps, **options)
