"""Parts by name."""

from __future__ import annotations

import pickle
from importlib.metadata import EntryPoint

import pytest
import torch

from limbeck.utils.registry import Registry, UnknownNameError


def colours() -> Registry:
    registry = Registry("colour")
    for name in ("red", "green", "blue", "darkred"):
        registry.register(name)(lambda shade=1.0, name=name: (name, shade))
    return registry


def test_builds_by_name_with_hyperparameters():
    assert colours().get("green", shade=0.5) == ("green", 0.5)
    assert list(colours()) == ["blue", "darkred", "green", "red"]


def test_an_unknown_name_offers_the_nearest_three_best_first():
    with pytest.raises(UnknownNameError, match=r"^unknown colour 'redd'; nearest: red, darkred, green$"):
        colours().get("redd")


def test_an_unknown_hyperparameter_is_named():
    with pytest.raises(ValueError, match=r"colour 'red': .*'tint'"):
        colours().get("red", tint=1)


def test_an_argument_that_a_part_does_not_have_is_refused_before_it_is_built():
    parts = Registry("part")

    @parts.register("plain")
    def plain(width=1, depth=2):
        raise AssertionError("it is built")

    @parts.register("open")
    def takes_anything(**options):
        return options

    @parts.register("closed")
    def takes_nothing():
        return 1

    with pytest.raises(ValueError, match="part 'plain': got an unexpected keyword argument 'widht'; nearest: width, depth"):
        parts.get("plain", widht=3)
    with pytest.raises(ValueError, match="'closed': got an unexpected keyword argument 'a'; it takes no arguments"):
        parts.check_arguments("closed", {"a": 1})
    parts.register("module")(type("WithoutInit", (torch.nn.Module,), {}))  # the signature of torch's __init__ takes anything
    with pytest.raises(ValueError, match="'module': got an unexpected keyword argument 'a'; it takes no arguments"):
        parts.check_arguments("module", {"a": 1})
    assert isinstance(parts.get("module"), torch.nn.Module)
    assert parts.get("open", a=1) == {"a": 1}


def test_an_argument_that_is_missing_is_named():
    parts = Registry("part")
    parts.register("a")(lambda shape, *, low=0: (shape, low))
    with pytest.raises(ValueError, match=r"part 'a': 'shape' is missing; give it: \{a: \{shape: …\}\}"):
        parts.get("a", low=1)
    assert parts.get("a", shape=2) == (2, 0)


def test_one_name_belongs_to_one_part():
    registry = colours()
    with pytest.raises(ValueError, match="'red' is registered twice"):
        registry.register("red")(lambda: None)


def test_a_citation_is_an_argument_or_an_attribute_of_the_part():
    class Violet:
        bibtex = "@misc{violet,}"

    registry = colours()
    registry.register("white", cite="@misc{white,}")(lambda: None)
    registry.register("violet")(Violet)
    cited = [registry.citation(name) for name in ("white", "violet", "red", "unknown")]
    assert cited == ["@misc{white,}", "@misc{violet,}", "", ""]


def test_the_error_crosses_processes():
    error = UnknownNameError("colour", "redd", ["red"])
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "unknown colour 'redd'; nearest: red"


def test_parts_of_installed_packages_are_known_by_name_with_their_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    def mine() -> int:
        return 3

    mine.bibtex = "@misc{mine}"  # type: ignore[attr-defined]
    entry = EntryPoint("mine", "package:mine", "limbeck.widgets")
    monkeypatch.setattr(EntryPoint, "load", lambda self: mine)
    monkeypatch.setattr("limbeck.utils.registry.entry_points", lambda group: [entry] if group == entry.group else [])
    widgets = Registry("widget")
    assert "mine" in widgets
    assert "yours" not in widgets
    assert widgets.get("mine") == 3
    assert widgets.citation("mine") == "@misc{mine}"
