"""What the server's models learn from the clients' models after each round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.source import source
from limbeck.data import TokenStorage
from limbeck.integrations.flower.client import quiet
from limbeck.methods import federated
from limbeck.methods.federated import FedDF, FederatedMethod, WithoutData
from limbeck.recipe.errors import RecipeError
from limbeck.recipe.federation import FederatedItems, Federation
from limbeck.utils.seeds import mix_seeds


class ServerStep:
    """Distils the models of a round's clients into the averages, on public inputs or on inputs that are made.

    Args:
        recipe: of server and clients.
        items: those of the server.
        method: that of the recipe or of a control; one that only averages makes this nothing.
        seed: of this training.

    Attributes:
        makers: weights of the generators by group, if there is no public data; they go on from round to round.

    Raises:
        RecipeError: a method without data, and items that are texts.
    """

    def __init__(self, recipe: Federation, items: FederatedItems, method: FederatedMethod, seed: int) -> None:
        self.recipe, self.items, self.method, self.seed = recipe, items, method, seed
        self.makers: dict[str, dict[str, Mapping[str, Tensor]]] = {}
        self.settings = quiet(recipe.training.build().settings)
        self.without: WithoutData | None = None
        if recipe.federated.data_free is not None and isinstance(method, FedDF):
            inputs = items.test.fetch(torch.arange(1))
            if not isinstance(inputs, Tensor) or isinstance(items.test.storage, TokenStorage):
                raise RecipeError("federated.data_free: methods without data make images and numbers, no texts; give public:")
            self.without = WithoutData(recipe.federated.data_free, inputs.shape[1:], items.test.classes or 0)

    def distil(self, clients: Mapping[str, nn.Module], models: Mapping[str, nn.Module], number: int) -> None:
        """Trains the averages in place.

        Args:
            clients: models by client number.
            models: averages by group.
            number: of the round.
        """
        given: dict[str, Any] = {
            "task": self.recipe.new_task(),
            "seed": mix_seeds(self.seed, "server", number),
            "settings": self.settings,
            "validation": self.items.validation,
        }
        if self.without is not None:
            assert isinstance(self.method, FedDF)
            federated.distil_without_data(self.method, self.without, clients, models, self.makers, **given)
        else:
            spec = self.recipe.federated.source
            federated.distil_clients(self.method, clients, models, self.items.public if spec is None else source(spec), **given)

    def check(self, clients: Mapping[str, nn.Module], students: Mapping[str, nn.Module]) -> None:
        """Takes one step on made inputs.

        Args:
            clients, students: models by group, with other weights each.

        Raises:
            RecipeError: the method without data does not fit them.
        """
        assert isinstance(self.method, FedDF)
        assert self.without is not None
        method = replace(self.method, steps=1)
        given: dict[str, Any] = {"task": self.recipe.new_task(), "seed": self.seed, "settings": self.settings}
        try:
            federated.distil_without_data(method, self.without, clients, students, {}, **given)
        except (ValueError, RuntimeError) as error:
            raise RecipeError(f"federated.data_free: {str(error).splitlines()[0]}") from error
