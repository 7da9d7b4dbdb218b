"""Checks of a federation before its first round: models against the server's data, inputs that are made, sizes of messages."""

from __future__ import annotations

import torch
from flwr.app import RecordDict
from torch import nn

from limbeck.core.batch import DEFAULT_VIEW
from limbeck.core.model_io import call_model
from limbeck.core.source import BatchPosition
from limbeck.core.source import source as build_source
from limbeck.integrations.flower.client import ARRAYS, new_model
from limbeck.integrations.flower.records import payload_bytes, to_record
from limbeck.integrations.flower.replies import LOGITS
from limbeck.integrations.flower.rounds import public_rows
from limbeck.integrations.flower.server_step import ServerStep
from limbeck.recipe.errors import RecipeError
from limbeck.recipe.federation import FederatedItems, Federation


def check_federation(recipe: Federation, items: FederatedItems) -> None:
    """Checks that the models of all groups read what the server has, and that what travels is within the limit of a message.

    Raises:
        ValueError: a model does not read the items, or outputs other classes.
        RecipeError: inputs are made that a model does not read, or by a method that does not fit the models; a limit below the
            size of every message.
    """
    task, models = recipe.new_task(), dict[str, nn.Module]()
    for group in recipe.architectures:
        models[group] = model = new_model(recipe, items.test, group, 0).eval()
        for data, known in (("test data", items.test), ("data.validation", items.validation)):
            if known is not None:
                task.check(model, known, f"model of {group}", data)
        if recipe.federated.source is not None:
            _check_made_inputs(recipe, model, group)
        _check_message(recipe, items, model, group)
    if recipe.federated.data_free is not None:
        students = {group: new_model(recipe, items.test, group, 1) for group in models}
        ServerStep(recipe, items, recipe.federated.build_method(), 0).check(models, students)


def _check_made_inputs(recipe: Federation, model: nn.Module, group: str) -> None:
    spec = recipe.federated.source
    assert spec is not None
    source = build_source(spec)
    if source.actors:  # made by a model, which only a run binds
        return
    inputs = source.batch(BatchPosition(0)).inputs[DEFAULT_VIEW]
    try:
        with torch.no_grad():
            call_model(model, inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shape = list(getattr(inputs, "shape", ()))[1:]
        raise RecipeError(
            f"federated.source: {next(iter(spec))} makes inputs of shape {shape}, which the model of {group} cannot read: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _check_message(recipe: Federation, items: FederatedItems, model: nn.Module, group: str) -> None:
    """The least that a message holds: the weights of a group, or logits of public items."""
    method, limit = recipe.federated.build_method(), recipe.federated.message_limit
    state, what = model.state_dict(), f"the weights of {group}"
    if method.exchanges == LOGITS:
        assert items.public is not None
        rows = len(public_rows(method, len(items.public), 0, 1))
        state, what = {str(LOGITS): torch.zeros(rows, items.test.classes or 1)}, f"the logits of {rows:,} public items"
    size = payload_bytes(RecordDict({ARRAYS: to_record(state)}))
    if size > limit:
        raise RecipeError(
            f"federated.message_limit is {limit:,} bytes, and {what} take {size:,}, so that every message would be refused; "
            "raise it, or take a smaller model"
        )
