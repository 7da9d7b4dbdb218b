"""The student of a run on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from limbeck.evaluation import Predictions, interval
from limbeck.evaluation.calibration import expected_calibration_error, softmax
from limbeck.evaluation.verdict_builder import value_of
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe import DatasetSpec
from limbeck.runs.folder import STUDENT, class_names_of, open_run
from limbeck.runs.teacher import rebuild_teacher


def evaluate_run(folder: Path, data: str, **columns: Any) -> dict[str, Any]:
    """Returns the student's metric on other data, with its 95 % interval."""
    recipe, student = open_run(folder)
    like = recipe.data.test if recipe.data.train.fields is None else recipe.data.train
    if recipe.student.reads is not None:  # new items need the student's field only
        columns["input"] = columns.get("input") or recipe.student.reads
    part = DatasetSpec(path=data, size=like.size, channels=like.channels, on_error=like.on_error, **columns)
    task = recipe.new_task()
    alone = not (task.needs_teacher or task.may_need_teacher)
    if alone and any((folder / STUDENT).rglob("tokenizer.json")):
        recipe.reader.use_student_tokenizer(load_tokenizer(str(folder / STUDENT), local_files_only=True))
    items = recipe.items(part).align_classes(class_names_of(folder), data)
    task.prepare(None, items, [items], control=False)
    if task.needs_teacher:
        task.prepare(rebuild_teacher(recipe, items, folder, Console(quiet=True)), items, [items], control=False)
    task.check(student, items, "student", data)
    known = task.evaluation_items(items)
    answers = Predictions(**task.to_predictions([task.outputs(student, known)], known))
    scores = answers.item_statistics(task.metric)
    value, ci95 = interval(scores, value=value_of(scores, task.metric))
    figures = {"run": str(folder), "data": data, "items": len(known), "metric": task.metric.name, task.metric.name: value}
    if answers.logits is None or answers.labels is None:
        return {**figures, "ci95": list(ci95)}
    return {**figures, "ci95": list(ci95), "ece": expected_calibration_error(softmax(answers.logits[0]), answers.labels)}
