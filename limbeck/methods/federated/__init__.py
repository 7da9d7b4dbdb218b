"""Federated methods: who learns where, what travels, and what the server makes of it; see `limbeck.integrations.flower`."""

from limbeck.methods.federated.averaging import FedAvg, FedProx
from limbeck.methods.federated.base import FederatedMethod, method, registry
from limbeck.methods.federated.checks import (
    as_choices,
    left_out_by_consensus,
    left_out_by_norm,
    left_out_by_validation,
    reply_problem,
)
from limbeck.methods.federated.feddf import FedDF
from limbeck.methods.federated.logits import DSFL, FedMD
from limbeck.methods.federated.server_step import distil_clients, distil_consensus
from limbeck.methods.federated.without_data import WithoutData, check_without_data, distil_without_data

__all__ = [
    "DSFL",
    "FedAvg",
    "FedDF",
    "FedMD",
    "FedProx",
    "FederatedMethod",
    "WithoutData",
    "as_choices",
    "check_without_data",
    "distil_clients",
    "distil_consensus",
    "distil_without_data",
    "left_out_by_consensus",
    "left_out_by_norm",
    "left_out_by_validation",
    "method",
    "registry",
    "reply_problem",
]
