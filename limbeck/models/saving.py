"""Saves a student to a folder with its weights and how to build it, and loads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.models.architectures.sentence_encoder import sentence_transformers_model
from limbeck.models.base import get, spec_of
from limbeck.models.loaders import import_package
from limbeck.models.weights import WEIGHTS, load_weights, save_weights
from limbeck.utils.atomic_files import write_atomic
from limbeck.utils.checksums import check_files
from limbeck.utils.foreign_errors import library_errors
from limbeck.utils.json_files import read_json
from limbeck.utils.log_silencing import suppress_transformers_logs

FORMAT = 1
CONFIG = "config.json"
MODULES = "modules.json"  # exists in folders of Sentence Transformers


def save_model(model: nn.Module, spec: dict[str, Any] | None, folder: str | Path) -> None:
    """Writes `model.safetensors` and `config.json` to `folder`, which is created if needed. Models of Transformers and of
    Sentence Transformers are saved in the format of these libraries, which load them without Limbeck.

    Args:
        spec: `{"model": name, "args": {...}}` as for `get`; None: the spec recorded in the model.

    Raises:
        ValueError: a model without a recorded spec, or arguments that JSON cannot represent.
    """
    spec = spec or spec_of(model)
    # The format of the library has no exits, and that of PEFT holds the adapter without its base.
    library = not hasattr(model, "peft_config") and (spec is None or spec["model"] != "with_exits")
    write: Any = getattr(model, "save_pretrained", None) if library else None
    if write is not None:  # the folder format of the library of the model
        with suppress_transformers_logs(import_package("transformers")):
            write(folder)
        if (Path(folder) / CONFIG).is_file() or spec is None:
            return
    if spec is None:
        raise ValueError(
            f"it is unknown how to build this {type(model).__name__}; build it with limbeck.models.get(name, ...) "
            'or give spec={"model": name, "args": {...}}'
        )
    text = _config(spec)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if write is None:
        save_weights(model, folder / WEIGHTS)
    write_atomic(folder / CONFIG, text.encode())


def name_classes(model: nn.Module, names: Sequence[str] | None) -> None:
    """Writes class names into the configuration of a model of Transformers (`id2label`), in the order of its outputs.

    Nothing happens without names, and to models of another kind or with another number of classes.
    """
    config = getattr(model, "config", None)
    known = getattr(config, "id2label", None)
    if names and known and len(known) == len(names):
        config.id2label = dict(enumerate(names))  # type: ignore[union-attr]
        config.label2id = {name: number for number, name in enumerate(names)}  # type: ignore[union-attr]


def _config(spec: dict[str, Any]) -> str:
    config = {"model": spec["model"], "args": spec.get("args", {}), "format": FORMAT}
    try:
        return json.dumps(config, indent=2) + "\n"
    except TypeError as error:
        raise ValueError(f"the arguments of {spec['model']!r} cannot be saved as JSON: {error}") from error


def load_model(folder: str | Path) -> nn.Module:
    """Loads the model that `save_model` wrote to `folder`, on the CPU in evaluation mode.

    Raises:
        FileNotFoundError: a file is missing.
        DamagedFileError: a file is not as the run has written it.
        ValueError: a `config.json` of another format, an unknown model, or weights that do not match it.
    """
    folder = Path(folder).expanduser()
    path = folder / CONFIG
    check_files(folder)
    if (folder / MODULES).is_file():
        return sentence_transformers_model(str(folder), local_files_only=True)
    if not path.is_file():
        raise FileNotFoundError(f"no student at {folder}: {CONFIG} is missing")
    config = read_json(path)
    if isinstance(config, dict) and "architectures" in config and "format" not in config:
        return _load_transformers(folder, config["architectures"])
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else None
        raise ValueError(f"{path}: expected format {FORMAT}, got {found!r}")
    if not isinstance(config.get("model"), str) or not isinstance(config.get("args"), dict):
        raise ValueError(f'{path}: "model" must be a name and "args" an object')
    model = get(config["model"], **config["args"])
    load_weights(model, folder / WEIGHTS)
    return model.eval()


def _load_transformers(folder: Path, architectures: Any) -> nn.Module:
    """Loads a folder of Transformers; weights in safetensors only, and no remote code."""
    transformers = import_package("transformers")
    name = str(architectures[0]) if architectures else ""
    model_class = getattr(transformers, name, None)
    if model_class is None or not hasattr(model_class, "from_pretrained"):
        raise ValueError(
            f"{folder / CONFIG}: architectures names {name!r}, which transformers {transformers.__version__} lacks"
        )
    doing = f"{folder}: Transformers cannot load it as {name}"
    with suppress_transformers_logs(transformers), library_errors(doing):
        model: nn.Module = model_class.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    return model.eval()
