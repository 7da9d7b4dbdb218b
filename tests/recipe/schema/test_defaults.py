"""Every default in a recipe is the default of what the field describes."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from limbeck.core.actors import Actor
from limbeck.core.schedules import schedule
from limbeck.core.terms import Term
from limbeck.data import Items, load_items, tokenize
from limbeck.data.text.augmentation import augment_texts
from limbeck.data.text.word_replacements import EmbeddingReplacements, MaskedModelReplacements
from limbeck.engine import Optimizer, Settings, Stage, Update
from limbeck.engine.training import Training, default_optimizer
from limbeck.export import export_models
from limbeck.export.quantization.qat import quantization_aware
from limbeck.models.shrink import CorpusVocabulary
from limbeck.recipe.schema.base import Spec
from limbeck.recipe.schema.cache import CacheSpec
from limbeck.recipe.schema.data import AugmentSpec, DatasetSpec, DataSpec, WordReplacementSpec
from limbeck.recipe.schema.export import ExportSpec, QuantizationAwareSpec
from limbeck.recipe.schema.models import ModelSpec, VocabularySpec
from limbeck.recipe.schema.stages import StageSpec, UpdateSpec
from limbeck.recipe.schema.terms import TermSpec
from limbeck.recipe.schema.training import OptimizerSpec, TrainingSpec
from limbeck.teacher_cache.cache_config import CacheConfig

DESCRIBED: dict[type[Spec], tuple[Any, ...]] = {
    AugmentSpec: (augment_texts,),
    CacheSpec: (CacheConfig,),
    DataSpec: (tokenize,),
    DatasetSpec: (load_items,),
    ExportSpec: (export_models,),
    ModelSpec: (Actor,),
    OptimizerSpec: (Optimizer,),
    QuantizationAwareSpec: (quantization_aware,),
    StageSpec: (Stage,),
    UpdateSpec: (Update,),
    TermSpec: (Term,),
    TrainingSpec: (Training, Settings),
    VocabularySpec: (CorpusVocabulary.of,),
    WordReplacementSpec: (EmbeddingReplacements, MaskedModelReplacements),
}
OTHER_NAMES = {"labels_seed": (Items.keep_labels, "seed")}
NOT_THE_CLASS_DEFAULT = {  # a recipe's optimizer is that of `Training`, not `Optimizer()`
    (OptimizerSpec, "name"),
    (OptimizerSpec, "lr"),
    (OptimizerSpec, "schedule"),
}


def defaults(described: Any) -> dict[str, Any]:
    """The defaults of a dataclass's fields or of a function's parameters."""
    if dataclasses.is_dataclass(described):
        fields = dataclasses.fields(described)
        known = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
        made = {field.name: field.default_factory for field in fields}
        return known | {name: make() for name, make in made.items() if make is not dataclasses.MISSING}
    parameters = inspect.signature(described).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}


def default_of_field(spec: type[Spec], name: str) -> Any:
    return spec.model_fields[name].get_default(call_default_factory=True, validated_data={})


COMPARED = [
    (spec, name, value)
    for spec, all_described in DESCRIBED.items()
    for described in all_described
    for name, value in defaults(described).items()
    if name in spec.model_fields and not spec.model_fields[name].is_required() and (spec, name) not in NOT_THE_CLASS_DEFAULT
    if not isinstance(value, Optimizer)
]


@pytest.mark.parametrize(("spec", "name", "value"), COMPARED, ids=lambda each: getattr(each, "__name__", str(each)))
def test_a_field_has_the_default_of_what_it_describes(spec: type[Spec], name: str, value: Any) -> None:
    found = default_of_field(spec, name)
    assert (list(found) if isinstance(value, tuple) else found) == (list(value) if isinstance(value, tuple) else value)


def test_the_comparison_misses_no_section() -> None:
    compared = {spec for spec, _, _ in COMPARED}
    assert compared == set(DESCRIBED)
    assert len(COMPARED) >= 60
    for name, (described, parameter) in OTHER_NAMES.items():
        assert default_of_field(DataSpec, name) == defaults(described)[parameter]


def test_an_empty_training_is_the_default_training() -> None:
    built, default = TrainingSpec().build(), Training()
    assert built.length == default.length
    assert (built.settings, built.batch_size, built.patience) == (default.settings, default.batch_size, default.patience)


def test_the_optimizer_is_the_default_one_but_for_its_weight_decay() -> None:
    built, default = OptimizerSpec().build(), default_optimizer()
    assert (built.name, built.lr, built.schedule) == (default.name, default.lr, default.schedule)
    assert schedule(OptimizerSpec().schedule) == default.schedule
    assert built.options == {}
