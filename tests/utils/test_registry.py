"""Parts by name."""

from __future__ import annotations

import pickle
from importlib.metadata import EntryPoint

import pytest

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
