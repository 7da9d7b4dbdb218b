"""References name the signals of a run: `actor[@variant][:tap][#view]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from limbeck.core.actors import Actor, Actors
from limbeck.core.model_io import LOGITS
from limbeck.core.taps.tap import Tap
from limbeck.utils.registry import UnknownNameError


@dataclass(frozen=True)
class Reference:
    """The name of a signal of a run, `actor[@variant][:tap][#view]`: `student@exit2`, `peers.*`, `net:layer3#weak`.

    If a tap and an actor have the same name, the text names the actor; `:name` is the tap.
    """

    actor: str
    variant: str | None = None
    tap: str = LOGITS
    view: str = "default"

    _pattern = re.compile(r"(?P<actor>[\w.*\-]*)(?:@(?P<variant>[\w.\-]+))?(?::(?P<tap>[^#]+))?(?:#(?P<view>[\w.\-]+))?")

    @classmethod
    def parse(cls, text: str, *, default: str = "student", actors: Mapping[str, Actor] | None = None) -> Reference:
        """Parses a reference. Text without `@`, `:` or an actor's name is a tap of the `default` actor: `"layer2"`."""
        match = cls._pattern.fullmatch(text)
        if match is None:
            if "(" in text:  # input(layer3)
                head, _, view = text.partition("#")
                return cls(default, None, head, view or "default")
            raise ValueError(f"reference {text!r}: expected actor[@variant][:tap][#view], such as student:layer3")
        actor, variant, tap, view = (match[name] for name in ("actor", "variant", "tap", "view"))
        if tap is None and variant is None and not _is_actor(actor, default, actors):
            actor, tap = default, actor or LOGITS
        return cls(actor or default, variant, tap or LOGITS, view or "default")

    def __str__(self) -> str:
        variant = f"@{self.variant}" if self.variant else ""
        tap = f":{self.tap}" if self.tap != LOGITS else ""
        view = f"#{self.view}" if self.view != "default" else ""
        return f"{self.actor}{variant}{tap}{view}"

    def check(self, actors: Actors) -> None:
        """Raises a ValueError that offers the nearest names if actor, variant or tap is unknown."""
        for name in actors.matching(self.actor):
            actor = actors[name]
            if self.variant is not None and self.variant not in actor.variants:
                raise UnknownNameError(f"variant of {name!r}", self.variant, list(actor.variants))
            if self.tap != LOGITS:
                Tap.parse(self.tap).find(actor.model)


def _is_actor(text: str, default: str, actors: Mapping[str, Actor] | None) -> bool:
    if text in ("", default) or "*" in text:
        return True
    return text in actors if actors is not None else text in ("student", "teacher")
