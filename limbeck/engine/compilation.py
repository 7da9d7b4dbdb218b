"""Actors compiled by `torch.compile`, where nothing inside of them is tapped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from limbeck.core.actors import Actors
from limbeck.core.criterion import Criterion
from limbeck.core.model_io import LOGITS


class CompiledModels:
    """Compiles the actors of a criterion at their first use; does nothing unless `enabled`."""

    def __init__(self, actors: Actors, enabled: bool) -> None:
        self.actors, self.enabled = actors, enabled
        self._compiled: dict[str, Any] = {}

    def of(self, criterion: Criterion) -> Mapping[str, Any]:
        """Returns the compiled models by the name of the actor; the others run as they are."""
        if not self.enabled:
            return {}
        for name, probe in criterion.probes.by_actor.items():
            if name not in self._compiled and not probe.has_hooks and set(probe.taps) == {LOGITS}:
                self._compiled[name] = torch.compile(self.actors[name].model)
        return self._compiled
