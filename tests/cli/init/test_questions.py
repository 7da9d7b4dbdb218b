"""Values from flags, prompts and defaults."""

from __future__ import annotations

import pytest

from limbeck.cli.init.questions import InitError, Questions


def test_a_flag_comes_before_prompt_and_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.prompt", lambda text, default: f" {text}:{default} ")
    monkeypatch.setattr("typer.confirm", lambda text, default: not default)
    for interactive in (True, False):
        assert Questions(interactive).ask("--name", "Name", "given", default="other") == "given"
        assert Questions(interactive).confirm("Sure", False, default=True) is False
    assert Questions(True).ask("--name", "Name", None, default="other") == "Name:other"
    assert Questions(True).confirm("Sure", None, default=True) is False
    assert Questions(False).ask("--name", "Name", None, default="other") == "other"
    assert Questions(False).confirm("Sure", None, default=True) is True


def test_a_value_that_is_nowhere_is_named_with_its_flag() -> None:
    with pytest.raises(InitError, match="--train is missing: training data"):
        Questions(False).ask("--train", "Training data", None)
