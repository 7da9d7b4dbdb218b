"""`data.augment:` augmented copies of the training texts."""

from __future__ import annotations

from typing import Any

from limbeck import models
from limbeck.data import Items
from limbeck.data.text.augmentation import augment_texts
from limbeck.data.text.word_replacements import (
    EmbeddingReplacements,
    FallbackReplacements,
    MaskedModelReplacements,
    WordReplacements,
)
from limbeck.models.shrink import CorpusVocabulary
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe.errors import RecipeError
from limbeck.recipe.paths import expand_variables
from limbeck.recipe.schema.data import AugmentSpec
from limbeck.recipe.schema.models import ModelSpec


def augment_items(
    items: Items, spec: AugmentSpec, teacher: ModelSpec, vocabulary: CorpusVocabulary | None, max_length: int
) -> Items:
    """Returns the items and augmented copies of them.

    Args:
        vocabulary: of the student, if it is smaller than the teacher's: no other words are inserted.
        max_length: tokens of a text that a masked language model reads.
    """
    cache = None if spec.cache is None else expand_variables(spec.cache, "data.augment.cache")
    return augment_texts(
        items,
        _replacements(spec, teacher, vocabulary, max_length),
        copies=spec.copies,
        probability=spec.probability,
        seed=spec.seed,
        cache=cache,
    )


def _replacements(
    spec: AugmentSpec, teacher: ModelSpec, vocabulary: CorpusVocabulary | None, max_length: int
) -> WordReplacements:
    """Returns the sources of replacements, the masked language model first."""
    local = teacher.args.get("local_files_only", False)
    found: list[WordReplacements] = []
    if spec.masked is not None:
        model, tokenizer = _encoder(expand_variables(spec.masked, "data.augment.masked"), "AutoModelForMaskedLM", local)
        options = {"count": spec.count, "together": spec.together, "max_length": max_length}
        found.append(MaskedModelReplacements(model, tokenizer, **options))
    if spec.neighbours == "embeddings":
        encoder, tokenizer = _teacher_encoder(teacher, local)
        if vocabulary is not None:
            encoder, tokenizer = vocabulary.cut(encoder), vocabulary.tokenizer
        found.append(EmbeddingReplacements.from_encoder(encoder, tokenizer, count=spec.count, minimum=spec.minimum))
    elif spec.neighbours:
        file = expand_variables(spec.neighbours, "data.augment.neighbours")
        found.append(EmbeddingReplacements.from_file(file, count=spec.count, minimum=spec.minimum))
    return found[0] if len(found) == 1 else FallbackReplacements(*found)


def _teacher_encoder(teacher: ModelSpec, local_files_only: bool) -> tuple[Any, Any]:
    name = teacher.args.get("name_or_path")
    if name is None:
        raise RecipeError("data.augment.neighbours: the teacher has no embeddings to be read before it is built; name a file")
    return _encoder(expand_variables(name, "teacher.args.name_or_path"), "AutoModel", local_files_only)


def _encoder(name: str, task: str, local_files_only: bool) -> tuple[Any, Any]:
    """Returns a pretrained model and its tokenizer."""
    model = models.get("transformers", name_or_path=name, task=task, local_files_only=local_files_only)
    return model, load_tokenizer(name, local_files_only=local_files_only)
