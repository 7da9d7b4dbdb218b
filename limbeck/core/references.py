"""References name the signals of a run: `actor[@variant][:tap][#view]`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from limbeck.core.actors import Actor, Actors
from limbeck.core.model_io import LOGITS
from limbeck.core.taps.batch_statistics import STATISTICS, batchnorm_layers
from limbeck.core.taps.tap import Tap, missing_part
from limbeck.utils.registry import UnknownNameError, nearest_names


@dataclass(frozen=True)
class Reference:
    """The name of a signal of a run, `actor[@variant][:tap][#view]`: `student@exit2`, `peers.*`, `net:layer3#weak`.

    If a tap and an actor have the same name, the text names the actor; `:name` is the tap.

    `*` makes a pattern: in an actor for any characters (`peers.*`), in a variant likewise (`student@small*`), in a tap for a
    part between dots (`student:exits.*` are the direct children of `exits`). In `statistics(*)` and `statistics(layer1.*)` it
    stands for any characters in the paths of BatchNorm layers.
    """

    actor: str
    variant: str | None = None
    tap: str = LOGITS
    view: str = "default"

    _pattern = re.compile(r"(?P<actor>[\w.*\-]*)(?:@(?P<variant>[\w.*\-]+))?(?::(?P<tap>[^#]+))?(?:#(?P<view>[\w.\-]+))?")

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

    @cached_property
    def forward_key(self) -> tuple[str, str | None, str]:
        """What a forward pass is known by: actor, variant and view."""
        return self.actor, self.variant, self.view

    @cached_property
    def tap_name(self) -> str:
        """The tap as probes spell it."""
        return str(Tap.parse(self.tap))

    @property
    def is_pattern(self) -> bool:
        return any("*" in part for part in (self.actor, self.variant or "", self.tap))

    def matches(self, actors: Actors) -> list[Reference]:
        """The references that a pattern stands for, in the order of actors, variants and modules; itself if it is none.

        Raises:
            ValueError: nothing matches; the message lists what there is.
        """
        if not self.is_pattern:
            return [self]
        names = actors.matching(self.actor)
        found = [
            Reference(name, variant, tap, self.view)
            for name in names
            for variant in _matching(self.variant, actors[name].variants)
            for tap in _matching_taps(self.tap, actors[name].model)
        ]
        if not found:
            raise ValueError(f"{str(self)!r} matches nothing: {self._available(actors, names)}")
        return found

    def _available(self, actors: Actors, names: Sequence[str]) -> str:
        """What the part of the pattern that matches nothing could match."""
        parts = []
        for name in names:
            variants = list(actors[name].variants)
            if not _matching(self.variant, variants):
                parts.append(f"{name!r} has the variants {', '.join(variants) or '(none)'}")
                continue
            tap, model = Tap.parse(self.tap), actors[name].model
            modules = [module for module, _ in model.named_modules() if module]
            if (missing := missing_part(tap.path, modules)) is not None:
                parts.append(f"{name!r}: {missing}")
                continue
            layers = batchnorm_layers(model) if tap.of == STATISTICS else modules
            if tap.of == STATISTICS and not layers:
                parts.append(f"{name!r} has no BatchNorm layers, of which there are statistics; leave this term out (weight 0)")
                continue
            offer = nearest_names(tap.path, layers)
            parts.append(f"the nearest taps of {name!r} are {', '.join(offer) or '(none)'}")
        return "; ".join(parts)

    def is_own(self, found: Reference, student: Reference) -> bool:
        """Whether `found`, a match of this pattern, is the student's own: equal in all that comes up to the last `*`."""
        parts = [(self.actor, "actor"), (self.variant or "", "variant"), (self.tap, "tap")]
        last = max((number for number, (text, _) in enumerate(parts) if "*" in text), default=-1)
        return last >= 0 and all(getattr(found, name) == getattr(student, name) for _, name in parts[: last + 1])

    def matched_name(self, found: Reference) -> str:
        """What the parts of the pattern that hold `*` stand for in one of its matches: the end of the term's name."""
        parts = ((self.actor, found.actor), (self.variant, found.variant), (self.tap, found.tap))
        return ".".join(str(name) for text, name in parts if "*" in (text or ""))

    def check(self, actors: Actors) -> None:
        """Raises a ValueError that offers the nearest names if actor, variant or tap is unknown."""
        for name in actors.matching(self.actor):
            actor = actors[name]
            if self.variant is not None and self.variant not in actor.variants:
                raise UnknownNameError(f"variant of {name!r}", self.variant, list(actor.variants))
            if self.tap != LOGITS:
                Tap.parse(self.tap).find(actor.model)


def _matching(pattern: str | None, names: Iterable[str]) -> Sequence[str | None]:
    """The names that a pattern matches; a name without `*`, or None, is returned unchecked."""
    if pattern is None or "*" not in pattern:
        return [pattern]
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def _matching_taps(pattern: str, model: nn.Module | None) -> list[str]:
    """The taps of a model that a pattern matches: `*` stands for characters between two dots of a module's path.

    Of statistics it stands for any characters in the paths of BatchNorm layers: `statistics(*)` are all of them.
    """
    if "*" not in pattern:
        return [pattern]
    if model is None:
        return []
    tap = Tap.parse(pattern)
    if tap.of == STATISTICS:
        return [str(Tap(path, tap.of)) for path in batchnorm_layers(model) if fnmatch.fnmatchcase(path, tap.path)]
    regex = re.compile(re.escape(tap.path).replace(r"\*", r"[^.]*"))
    return [str(Tap(path, tap.of)) for path, _ in model.named_modules() if path and regex.fullmatch(path)]


def _is_actor(text: str, default: str, actors: Mapping[str, Actor] | None) -> bool:
    if text in ("", default):
        return True
    if "*" in text:
        return actors is None or any(_matching(text, actors)) or not _matching_taps(text, _module_of(default, actors))
    return text in actors if actors is not None else text in ("student", "teacher")


def _module_of(name: str, actors: Mapping[str, Actor]) -> nn.Module | None:
    return actors[name].module if name in list(actors) else None
