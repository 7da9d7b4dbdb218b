"""Views of items: which transforms change which field, in views that have names.

Three forms, of which the mapping with the key `default` alone names views:

    [random_crop, horizontal_flip]                                # the default view, of the one field that these fit
    {image: [random_crop], wave: [noise]}                         # the default view, by field
    {default: [random_crop], weak: {image: [], wave: [noise]}}    # several views, each in one of the forms above
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor

from limbeck.core.batch import DEFAULT_VIEW, Target
from limbeck.data.fields.storage import FieldStorage
from limbeck.data.image.pipeline import Pipeline
from limbeck.data.image.transform import PartnerPool
from limbeck.data.items import Items
from limbeck.data.keyed_random import ViewNumber
from limbeck.utils.registry import nearest_names

Transforms: TypeAlias = Sequence[str | Mapping[str, Any]]
ViewSpec: TypeAlias = Transforms | Mapping[str, Transforms]
ViewSpecs: TypeAlias = Transforms | Mapping[str, ViewSpec]


class FieldViews:
    """One view of items with fields: each field in its own pipeline, the others unchanged.

    A field draws from its own stream, so that transforms of one do not change what another draws.

    Args:
        pipelines: by field.
        reads: the field of each actor, whose inputs change with it.
    """

    mixes = False

    def __init__(self, pipelines: Mapping[str, Pipeline], reads: Mapping[str, str]) -> None:
        self.pipelines, self.reads = dict(pipelines), dict(reads)
        for field, pipeline in self.pipelines.items():
            if pipeline.mixes:
                names = ", ".join(transform.name for transform in pipeline.transforms)
                raise ValueError(f"views of field {field!r}: {names}: one field alone cannot be mixed with another item's")

    def __len__(self) -> int:
        return sum(map(len, self.pipelines.values()))

    def changes(self, name: str | None) -> bool:
        """Whether this view changes what an actor reads, by the name of the actor or field; None: whether it changes any."""
        return bool(self.pipelines) if name is None else self.reads.get(name, name) in self.pipelines

    def __call__(
        self,
        inputs: Any,
        keys: Tensor,
        *,
        seed: int = 0,
        view: ViewNumber = 0,
        stream: str = DEFAULT_VIEW,
        target: Target | None = None,
        pool: PartnerPool | None = None,
    ) -> tuple[Any, Target | None]:
        """Compute one view of each item. Arguments are those of `Pipeline`; inputs are a mapping by field and actor."""
        changed = dict(inputs)
        for field, pipeline in self.pipelines.items():
            changed[field], target = pipeline(
                inputs[field], keys, seed=seed, view=view, stream=f"{stream}/{field}", target=target, pool=pool
            )
        changed |= {actor: changed[field] for actor, field in self.reads.items() if field in self.pipelines}
        return changed, target


def named_views(views: ViewSpecs) -> dict[str, ViewSpec]:
    """The views by name; without names there is one, `default`."""
    if isinstance(views, Mapping) and DEFAULT_VIEW in views:
        return dict(views)
    return {DEFAULT_VIEW: views}  # type: ignore[dict-item]


def default_view(views: ViewSpecs) -> ViewSpec:
    """The view that is called `default`."""
    return named_views(views)[DEFAULT_VIEW]


def transforms_in(views: ViewSpecs) -> Iterator[str]:
    """The names of all transforms of all views."""
    for view in named_views(views).values():
        for transforms in view.values() if isinstance(view, Mapping) else (view,):
            yield from (name for entry in transforms for name in ((entry,) if isinstance(entry, str) else entry))


def check_views(views: ViewSpecs, fields: Mapping[str, str] | None, origin: str = "views") -> None:
    """Refuses views that do not fit, before any data is loaded.

    Args:
        fields: field to the name of its modality; None: the data has no fields.
        origin: what messages call the views.

    Raises:
        ValueError: an unknown transform; an unknown field, or one of another modality; a list that fits several fields.
    """
    for name, view in named_views(views).items():
        where = origin if name == DEFAULT_VIEW else f"{origin}.{name}"
        if isinstance(view, Mapping):
            for field, transforms in view.items():
                if field not in (fields or {}):
                    raise ValueError(f"{where}: {_unknown(field, fields)}")
                _check_modality(Pipeline.from_spec(list(transforms)), fields[field], f"{where}.{field}")  # type: ignore[index]
        else:
            pipeline = Pipeline.from_spec(list(view))
            if fields is not None and len(pipeline):
                _only_field(pipeline, fields, where)


def build_view(items: Items, view: ViewSpec) -> Pipeline | FieldViews:
    """One view of these items.

    Raises:
        ValueError: see `check_views`.
    """
    storage = items.storage
    if not isinstance(storage, FieldStorage):
        if isinstance(view, Mapping):
            raise ValueError(f"views: {_unknown(next(iter(view), ''), None)}")
        return Pipeline.from_spec(list(view))
    fields = {name: _modality_of(storage, name) for name in storage.fields}
    check_views({DEFAULT_VIEW: view}, fields)
    if not isinstance(view, Mapping):
        pipeline = Pipeline.from_spec(list(view))
        return FieldViews({_only_field(pipeline, fields, "views"): pipeline} if len(pipeline) else {}, storage.reads)
    pipelines = {name: _pipeline(storage, name, transforms) for name, transforms in view.items() if len(transforms)}
    return FieldViews(pipelines, storage.reads)


def view_of_field(views: ViewSpecs, field: str | None) -> Transforms:
    """What the default view does to the items of one field alone."""
    view = default_view(views)
    return view.get(field or "", ()) if isinstance(view, Mapping) else view


def _pipeline(storage: FieldStorage, field: str, transforms: Transforms) -> Pipeline:
    kind = storage.modalities.get(field)
    return Pipeline.from_spec(list(transforms)) if kind is None else kind.transform(transforms)


def _modality_of(storage: FieldStorage, field: str) -> str:
    known = storage.modalities.get(field)
    return known.name if known is not None else storage.fields[field].modality or "array"


def _only_field(pipeline: Pipeline, fields: Mapping[str, str], where: str) -> str:
    """The one field that the transforms fit."""
    found = [field for field, modality in fields.items() if modality == pipeline.modality]
    if len(found) != 1:
        names = ", ".join(transform.name for transform in pipeline.transforms)
        fit = f"fit the fields {', '.join(found)}" if found else f"change {pipeline.modality}, and no field holds that"
        listed = ", ".join(f"{field} ({modality})" for field, modality in fields.items())
        raise ValueError(f"{where}: {names} {fit}; name the field, as in {{{next(iter(fields))}: [{names}]}}; fields: {listed}")
    return found[0]


def _check_modality(pipeline: Pipeline, modality: str, where: str) -> None:
    if len(pipeline) and pipeline.modality != modality:
        names = ", ".join(transform.name for transform in pipeline.transforms)
        raise ValueError(f"{where}: {names} change {pipeline.modality}, and the field holds {modality}")


def _unknown(name: str, fields: Mapping[str, Any] | None) -> str:
    known = "the data has no fields" if fields is None else f"the fields are {', '.join(nearest_names(name, list(fields)))}"
    return f"{name!r} is no field; {known}. A mapping of views by name has the key {DEFAULT_VIEW!r}"
