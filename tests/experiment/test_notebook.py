"""A training in a notebook: its progress stays in the output, and the verdict is shown as a table."""

from __future__ import annotations

import pytest

CELLS = (
    """
import torch
import limbeck
from limbeck import models
from limbeck.data import Items
torch.manual_seed(0)
train, test = (Items.from_tensors(torch.rand(40, 1, 8, 8), torch.arange(40) % 2, classes=2) for _ in range(2))
teacher = models.get("tiny_cnn", width=8, size=8, classes=2).eval()
outcome = limbeck.distill(teacher, models.get("tiny_cnn", width=4, size=8, classes=2), train, test,
    training=limbeck.Training(length=limbeck.epochs(1)))
""",
    "outcome",
    "outcome.verdict",
)


def test_a_notebook_shows_progress_and_a_table() -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    training, *shown = (cell.outputs for cell in notebook.cells)
    lines = [output["data"]["text/plain"] for output in training if output["output_type"] == "display_data"]
    assert any(line.startswith("student") and "/" in line for line in lines)
    assert all(line.strip() for line in lines)
    assert not any('install "ipywidgets"' in str(output) for output in training)  # what a bar of rich says
    for (result,) in shown:
        assert "<table>" in result["data"]["text/html"]
        assert len(result["data"]["text/plain"]) < 1000
