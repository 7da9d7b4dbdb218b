"""Recipes whose weights one rank and several ranks must agree on: images with BatchNorm, and texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from safetensors.torch import load_file

from tests import ranks, tiny
from tests.runs import test_text_runs as texts

MODELS = ("student", "control", "teacher")
WITHOUT_EFFECT = "key.bias"  # softmax takes no notice of it; its gradient is rounding noise, which Adam scales to whole steps


def image_recipe(folder: Path, steps: int) -> Path:
    """A teacher and a student with BatchNorm on digits, with the default settings but for their length."""
    content = tiny.content()
    for part in (content, content["teacher"]):
        part["training"] = {"steps": steps, "batch_size": 64}
    return _write(folder / "image.yaml", content)


def text_recipe(folder: Path, steps: int, **options: Any) -> Path:
    """A BERT and a student made from it, without dropout, whose draws are each rank's own.

    Args:
        options: of the training of both.
    """
    import transformers

    for name, count, seed in (("train", 400, 0), ("test", 100, 1)):
        sentences, labels = texts.sentences(count, seed)
        pq.write_table(pa.table({"sentence": sentences, "label": labels}), folder / f"{name}.parquet")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *texts.FILLER, *texts.GOOD, *texts.BAD]
    kind = transformers.BertForSequenceClassification
    texts.teacher(folder / "teacher", words, kind, layers=4, hidden=32, tokens=32, dropout=0.0)
    training = {"steps": steps, "batch_size": 64, **options}
    content = {
        "name": "text",
        "data": {"train": str(folder / "train.parquet"), "test": str(folder / "test.parquet"), "max_length": 32},
        "teacher": {"model": "transformers", "args": {"name_or_path": str(folder / "teacher")}, "training": training},
        "student": {"from_teacher": {"init_from_teacher": {"layers": [0, 3]}}},
        "terms": ["hard_targets", {"soft_targets": {"temperature": 2}}, {"hidden_states": {"student": "hidden(-1)"}}],
        "training": training,
    }
    return _write(folder / "text.yaml", content)


def _write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def difference(recipe: Path, folder: Path) -> float:
    """Runs a recipe from the command line by one rank and by two.

    Returns:
        The largest difference of any weight or buffer that outputs depend on, of student, control and teacher.
    """
    for count in (1, 2):
        ranks.run(count, "limbeck.cli", "distill", recipe, "--out", folder / str(count))
    worst = 0.0
    for model in MODELS:
        one, two = (load_file(folder / str(count) / model / "model.safetensors") for count in (1, 2))
        assert one.keys() == two.keys()
        names = [name for name in one if not name.endswith(WITHOUT_EFFECT)]
        worst = max(worst, *(float((two[name] - one[name]).abs().max()) for name in names))
    return worst


def difference_of_predictions(folder: Path) -> float:
    """The largest difference of a saved logit between the runs of `difference`."""
    one, two = (load_file(folder / str(count) / "predictions.safetensors") for count in (1, 2))
    assert one.keys() == two.keys()
    return max(float((two[name].float() - one[name].float()).abs().max()) for name in one)
