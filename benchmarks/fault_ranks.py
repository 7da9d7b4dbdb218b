"""Compares weights that two ranks train from a recipe with those of one, from the command line with default settings."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.bars import record
from tests.cli import rank_recipes

STEPS = 12
NOTE = (
    f"student, control and teacher after {STEPS} steps of AdamW in float32, trained by gloo; over more steps the optimizer "
    "amplifies the rounding of sums in another order. The text model has no dropout, whose draws are each rank's own. The bias "
    "of attention keys is left out: outputs do not depend on it, and its gradient is rounding noise"
)


def measure(*, record_figures: bool) -> None:
    kinds = {
        "image": (rank_recipes.image_recipe, "digits, tiny_cnn with BatchNorm"),
        "text": (rank_recipes.text_recipe, "400 made sentences, BERT of 4 layers and of 2"),
    }
    for kind, (recipe, data) in kinds.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            value = rank_recipes.difference(recipe(folder, STEPS), folder)
        print(f"{kind} recipe, two ranks against one, largest difference of a weight: {value:.2e}")
        if record_figures:
            figure = f"two ranks against one, {kind} recipe, largest difference of a weight"
            command = "python -m benchmarks.faults ranks"
            record("faults", figure, "≤ 1e-6", value, None, value <= 1e-6, command, data, [0], NOTE)
