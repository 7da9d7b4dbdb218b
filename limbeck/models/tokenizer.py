"""Loads the tokenizer of a model, with the settings of Sentence Transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limbeck.models.loaders import import_package
from limbeck.utils.foreign_errors import library_errors
from limbeck.utils.hub import from_hub
from limbeck.utils.json_files import read_json

SETTINGS = "sentence_bert_config.json"  # settings of the first module of Sentence Transformers


def load_tokenizer(name_or_path: str, *, local_files_only: bool = False) -> Any:
    """Loads the fast tokenizer of a model of Transformers or Sentence Transformers, by name or folder.

    In a folder of Sentence Transformers the tokenizer may be beside the first module, whose settings may limit the length and
    ask for lower case.

    Raises:
        FileNotFoundError: nothing of this name here or on the hub, or the hub cannot be reached.
        LibraryError: a folder without tokenizer, or with one that Transformers does not read.
    """
    doing = f"{name_or_path}: no tokenizer can be loaded from it"
    with library_errors(doing), from_hub("tokenizer", name_or_path):
        return _load_tokenizer(name_or_path, local_files_only=local_files_only)


def _load_tokenizer(name_or_path: str, *, local_files_only: bool) -> Any:
    folder = Path(name_or_path)
    modules, settings = _read_json(folder / "modules.json"), {}
    if modules:
        folder = folder / modules[0]["path"]
        settings = _read_json(folder / SETTINGS)
    auto = import_package("transformers").AutoTokenizer
    source = str(folder) if modules else name_or_path
    tokenizer = auto.from_pretrained(source, local_files_only=local_files_only, trust_remote_code=False)
    if len(tokenizer.get_vocab()) <= len(tokenizer.all_special_tokens):  # what Transformers makes of a folder without its files
        raise ValueError(f"{name_or_path}: it has no tokenizer: neither tokenizer.json nor a vocabulary")
    if settings.get("max_seq_length"):
        tokenizer.model_max_length = min(tokenizer.model_max_length, settings["max_seq_length"])
    if settings.get("do_lower_case"):
        _prepend_lowercase(tokenizer)
    return tokenizer


def _prepend_lowercase(tokenizer: Any) -> None:
    """Prepends lower-casing to the normalizer."""
    from tokenizers.normalizers import Lowercase, Sequence

    normalizer = tokenizer.backend_tokenizer.normalizer
    tokenizer.backend_tokenizer.normalizer = Sequence([Lowercase(), *([] if normalizer is None else [normalizer])])


def _read_json(path: Path) -> Any:
    return read_json(path) if path.is_file() else {}
