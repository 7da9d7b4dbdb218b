"""Which tokenizer each model of a recipe reads texts with."""

from __future__ import annotations

from typing import Any

from limbeck.data.text.tokenizer_alignment import vocabulary_difference
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe.errors import RecipeError
from limbeck.recipe.paths import expand_variables
from limbeck.recipe.schema.data import DataSpec
from limbeck.recipe.schema.models import ModelSpec


def teacher_tokenizer(data: DataSpec, teacher: ModelSpec, student: ModelSpec) -> Any:
    """Returns the tokenizer that `data.tokenizer` names, or else the teacher's own.

    Raises:
        RecipeError: there is neither, or a model has another vocabulary than the tokenizer that the data names.
    """
    if data.tokenizer is None:
        found = model_tokenizer(teacher)
        if found is None:
            raise RecipeError("data.tokenizer: texts need a tokenizer; name one (a folder, or a name on the Hugging Face hub)")
        return found
    local = teacher.args.get("local_files_only", False)
    found = load_tokenizer(expand_variables(data.tokenizer, "data.tokenizer"), local_files_only=local)
    for role, model in (("teacher", teacher), ("student", student)):
        _check_vocabulary(found, data, role, model)
    return found


def student_tokenizer(data: DataSpec, teacher: ModelSpec, student: ModelSpec) -> Any | None:
    """Returns the student's own tokenizer; None if both models read the same, or if the student has none."""
    name, teacher_name = (model.args.get("name_or_path") for model in (student, teacher))
    if data.tokenizer is not None or name is None or name == teacher_name:
        return None
    try:
        return model_tokenizer(student)
    except OSError:
        return None


def model_tokenizer(model: ModelSpec) -> Any | None:
    """Returns the tokenizer of a pretrained model; None for a model without a name or path.

    Raises:
        OSError, ValueError: the model has no tokenizer.
    """
    name = model.args.get("name_or_path")
    if name is None:
        return None
    local = model.args.get("local_files_only", False)
    return load_tokenizer(expand_variables(name, "args.name_or_path"), local_files_only=local)


def _check_vocabulary(tokenizer: Any, data: DataSpec, role: str, model: ModelSpec) -> None:
    """Raises an error if the model was trained with other token ids: its outputs would be meaningless."""
    try:
        own = model_tokenizer(model)
    except (OSError, ValueError):  # the model has none, which is why the data names one
        return
    if own is None:
        return
    given, known = tokenizer.get_vocab(), own.get_vocab()
    ids = set(given.values())
    shared = {token: number for token, number in known.items() if token in given or number in ids}  # more tokens do no harm
    difference = vocabulary_difference(given, shared, ("that one's", f"the {role}'s"))
    if difference is not None:
        raise RecipeError(
            f"data.tokenizer: {data.tokenizer} is not what the {role} reads: {difference}. Leave it out: each model "
            "brings its own along"
        )
