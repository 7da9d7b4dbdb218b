"""Federated distillation on Flower: its ServerApp and ClientApp carry the messages, Limbeck trains and distils."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.utils.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from limbeck.integrations.flower.client import FederatedClient, client_app
    from limbeck.integrations.flower.grid import InProcessGrid
    from limbeck.integrations.flower.server import carry_out
    from limbeck.integrations.flower.simulation import simulated_grid
    from limbeck.integrations.flower.strategy import FederatedStrategy

_HOMES = {
    "limbeck.integrations.flower.client": ("FederatedClient", "client_app"),
    "limbeck.integrations.flower.grid": ("InProcessGrid",),
    "limbeck.integrations.flower.server": ("carry_out",),
    "limbeck.integrations.flower.simulation": ("simulated_grid",),
    "limbeck.integrations.flower.strategy": ("FederatedStrategy",),
}

__all__ = ["FederatedClient", "FederatedStrategy", "InProcessGrid", "carry_out", "client_app", "simulated_grid"]

__getattr__ = lazy_attributes(__name__, _HOMES)
