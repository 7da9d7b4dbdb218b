"""Folders of models of Transformers as users have them: adapters of PEFT, and weights that are no safetensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.utils.json_files import read_json
from limbeck.utils.optional_packages import MissingPackageError

ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.ckpt.index", "tf_model.h5")


def is_adapter(name: str | None) -> bool:
    """Whether a local folder holds an adapter of PEFT without the model that it belongs to."""
    folder = Path(name or "")
    return (folder / ADAPTER).is_file() and not (folder / "config.json").is_file()


def refuse_pickles(name: str | None) -> None:
    """Raises `ValueError` for a local folder whose weights are no safetensors."""
    folder = Path(name or "")
    if not (folder / "config.json").is_file() or any(folder.glob("*.safetensors")):
        return
    found = next((file for file in PICKLED if (folder / file).is_file()), None)
    if found is not None:
        raise ValueError(
            f"{folder}: its weights are in {found}, which may run code when it is loaded; only safetensors are read. If you "
            "trust the file, convert it once: AutoModel….from_pretrained(folder).save_pretrained(folder) of Transformers "
            "writes model.safetensors"
        )


def load_adapter(folder: str, load: Callable[[str], nn.Module]) -> nn.Module:
    """Returns the base model of an adapter with the adapter merged into its weights.

    Args:
        load: loads the base model by name or path.

    Raises:
        ValueError: a configuration without its base, or weights that are no safetensors.
        MissingPackageError: peft is not installed.
    """
    config: dict[str, Any] = read_json(Path(folder) / ADAPTER)
    base = config.get("base_model_name_or_path")
    kind = config.get("peft_type", "PEFT")
    merge = "or merge it into its base once: PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(…)"
    if not base or not (Path(folder) / ADAPTER_WEIGHTS).is_file():
        lacks = "names no base model" if not base else f"has no {ADAPTER_WEIGHTS}"
        raise ValueError(f"{folder} holds a {kind} adapter and {lacks}; {merge.removeprefix('or ')}")
    try:
        import peft  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingPackageError(
            f"{folder} holds a {kind} adapter of {base}, without that model; install peft (pip install peft), {merge}"
        ) from error
    merged: nn.Module = peft.PeftModel.from_pretrained(load(base), folder).merge_and_unload()
    return merged
