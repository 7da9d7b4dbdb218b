"""What a run was started with besides its recipe, so that a resumed one is refused if files have changed since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.data import Items
from limbeck.data.content_keys import fingerprint
from limbeck.recipe import Recipe
from limbeck.runs.folder import RunError
from limbeck.utils import distributed
from limbeck.utils.atomic_files import write_text_atomic
from limbeck.utils.json_files import NotJsonError, read_json

FILE = "inputs.json"


def check_inputs(recipe: Recipe, folder: Path, data: Mapping[str, Items | None], models: Mapping[str, nn.Module]) -> None:
    """Compares data, tokenizers and given weights with those that the run was started with; notes them in a new run.

    Args:
        data: by name; None: there is none.
        models: frozen models before their training, by actor. Those that the run trains follow from the recipe.

    Raises:
        RunError: something has changed; the message names it.
    """
    now = {name: f"{items.fingerprint()} {_reading(items)}" for name, items in data.items() if items is not None}
    given = {name: model for name, model in models.items() if recipe.pretrained[name].training is None}
    now |= {f"weights of {name}": fingerprint(model.state_dict()) for name, model in given.items()}
    file = folder / FILE
    before = _noted(file) if file.exists() else {}
    changed = [name for name in now if name in before and before[name] != now[name]]
    if changed:
        raise RunError(
            f"{folder} was started with other files: {', '.join(changed)} changed since. Put them back, start over with "
            "--force, or choose another --out"
        )
    if distributed.rank() == 0:
        write_text_atomic(file, json.dumps(before | now, indent=1) + "\n")


def _noted(file: Path) -> dict[str, Any]:
    try:
        found = read_json(file)
    except NotJsonError:
        found = None
    if not isinstance(found, dict):
        raise RunError(
            f"{file} is damaged, so the files of the run cannot be compared with those that it was started with; delete it if "
            "they are the same"
        )
    return found


def _reading(items: Items) -> str:
    """The identity of the tokenizers of texts."""
    identity = getattr(items.storage, "identity", None)
    return "" if identity is None else str(identity())
