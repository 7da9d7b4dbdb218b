"""What starting imports: libraries that take seconds wait until they are needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import ranks

HEAVY = ("torch._dynamo", "torch.onnx", "accelerate", "transformers", "datasets", "onnxruntime", "matplotlib")


@pytest.mark.parametrize(
    ("imports", "further"),
    [
        ("import limbeck; limbeck.Criterion, limbeck.Run, limbeck.Distillation", ()),
        ("import limbeck.runs.distill", ()),
        ("import limbeck.export.memory_growth, limbeck.export.onnx.format, limbeck.export.pytorch", ("limbeck.evaluation",)),
    ],
)
def test_heavy_libraries_are_not_imported(imports: str, further: tuple[str, ...]) -> None:
    script = f"import sys; {imports}; print([name for name in {(*HEAVY, *further)} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ranks.ENVIRONMENT, check=True)
    assert found.stdout.strip() == "[]"
