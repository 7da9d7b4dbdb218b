"""The examples run as they are, and their students have learnt something."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def _threads_kept() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_plain_loop(capsys: pytest.CaptureFixture[str]) -> None:
    found = example("plain_loop").main()
    assert found["teacher"] > 0.95
    assert found["student"] > 0.7
    assert "soft_targets" in capsys.readouterr().out


def test_the_trainer_of_transformers() -> None:
    pytest.importorskip("transformers")
    found = example("transformers_trainer").main(epochs=3)
    assert found["teacher"] > 0.3
    assert found["student"] > 0.15  # chance is 0.1


def test_a_lightning_module() -> None:
    pytest.importorskip("lightning")
    found = example("lightning_module").main(epochs=4)
    assert found["teacher"] > 0.95
    assert found["student"] > 0.5


def test_a_teacher_of_timm() -> None:
    pytest.importorskip("timm")
    found = example("timm_teacher").main(passes=1)
    assert found["student"] > 0.25  # chance is 0.1


def test_each_example_is_listed() -> None:
    text = (EXAMPLES / "README.md").read_text()
    assert all(f"`{path.name}`" in text for path in EXAMPLES.glob("*.py"))
