"""The tokenizer that belongs to a model, with what the model knows of it beyond what Transformers reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from limbeck.models.loaders import import_package

SETTINGS = "sentence_bert_config.json"  # how Sentence Transformers feeds its first module


def load_tokenizer(name_or_path: str, *, local_files_only: bool = False) -> Any:
    """The fast tokenizer of a model of Transformers or of Sentence Transformers, by name or folder.

    A folder of Sentence Transformers may keep it beside its first module, and say that it reads less text than its tokenizer
    could give, or lower-case letters only.
    """
    folder = Path(name_or_path)
    modules, settings = _read_json(folder / "modules.json"), {}
    if modules:
        folder = folder / modules[0]["path"]
        settings = _read_json(folder / SETTINGS)
    auto = import_package("transformers").AutoTokenizer
    source = str(folder) if modules else name_or_path
    tokenizer = auto.from_pretrained(source, local_files_only=local_files_only, trust_remote_code=False)
    if settings.get("max_seq_length"):
        tokenizer.model_max_length = min(tokenizer.model_max_length, settings["max_seq_length"])
    if settings.get("do_lower_case"):
        _prepend_lowercase(tokenizer)
    return tokenizer


def _prepend_lowercase(tokenizer: Any) -> None:
    """Put lower-casing before whatever else the tokenizer does with letters."""
    from tokenizers.normalizers import Lowercase, Sequence

    normalizer = tokenizer.backend_tokenizer.normalizer
    tokenizer.backend_tokenizer.normalizer = Sequence([Lowercase(), *([] if normalizer is None else [normalizer])])


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
