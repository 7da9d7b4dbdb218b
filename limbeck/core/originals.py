"""Averages and snapshots, and the actors that they copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.core.actors import Actor, Actors


def with_originals(name: str, actors: Mapping[str, Actor] | Actors) -> list[str]:
    """The name of an actor, then that of what it copies, and so on to an actor with a model of its own."""
    line = [name]
    while (of := actors[line[-1]].of) is not None:
        line.append(of)
    return line


def originals_first(of: Mapping[str, str | None]) -> list[str]:
    """The names of actors in an order in which each comes after its original.

    Args:
        of: the original of each actor; None: it has none.

    Raises:
        ValueError: averages or snapshots in a circle; the message names them.
    """
    order: dict[str, None] = {}
    for name in of:
        chain: list[str] = []
        current: str | None = name
        while current is not None and current not in order:
            if current in chain:
                circle = " of ".join(map(repr, [*chain[chain.index(current) :], current]))
                raise ValueError(f"actors in a circle: {circle}; make one of them a model of its own: of: (a trained actor)")
            chain.append(current)
            current = of.get(current)
        order |= dict.fromkeys(reversed(chain))
    return list(order)
