"""`Modality`: how one kind of input gets from the columns of a table to a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from limbeck.data.image.pipeline import Pipeline
from limbeck.data.items import Items
from limbeck.data.loading.raw_table import RawTable
from limbeck.utils.registry import Registry, nearest_names

registry = Registry("modality")


class Modality(ABC):
    """Base class. A subclass is registered by name, and its arguments are those of a field in a recipe:

        fields: {wave: audio, image: {image: {size: 32}}, caption: {text: {column: title}}}

    Args:
        column: the column that holds it; None: the column of the field's name, or, for a field that has the name of its
            modality, the only column of this kind.

    Attributes:
        name: by which recipes name it, and the modality of the transforms that fit it.
        what: what messages call cells of this kind.
    """

    name: ClassVar[str]
    what: ClassVar[str]

    def __init__(self, column: str | None = None) -> None:
        self.column = column

    @abstractmethod
    def holds(self, table: RawTable, column: str) -> bool:
        """Whether a column holds this kind, by the type of its cells."""

    @abstractmethod
    def decode(self, table: RawTable, columns: Sequence[str]) -> Items:
        """Every row as an item without labels.

        Raises:
            ValueError: a cell that cannot be read, or that holds NaN, with its row.
        """

    def find_columns(self, table: RawTable, field: str, others: Sequence[str]) -> tuple[str, ...]:
        """The columns of this field.

        Args:
            others: columns of labels and of other fields, which are not searched.

        Raises:
            ValueError: no such column, one of another kind, or several that it could be.
        """
        names: list[str] = table.columns.column_names
        if self.column is not None or field in names or field != self.name:
            column = self.column or field
            if column not in names:
                nearest = ", ".join(nearest_names(column, names))
                raise ValueError(f"fields: {table.origin} has no column {column!r}; nearest: {nearest}")
            if not self.holds(table, column):
                raise ValueError(
                    f"fields: {table.origin}: the field {field!r} is read as {self.name}, and its column {column!r} holds "
                    f"{_kind(table, column)}; give the field another modality, or name its column"
                )
            return (column,)
        found = [name for name in names if name not in others and self.holds(table, name)]
        if not found:
            raise ValueError(
                f"fields: {table.origin} has no column of {self.what} for the field {field!r}; its columns are: "
                f"{', '.join(names)}"
            )
        if len(found) > 1:
            raise ValueError(
                f"fields: {table.origin}: which column is the field {field!r}? Name it, as in {{{field}: {{{self.name}: "
                f"{{column: {found[0]}}}}}}}; these hold {self.what}: {', '.join(found)}"
            )
        return (found[0],)

    def transform(self, spec: Sequence[str | Mapping[str, Any]]) -> Pipeline:
        """A view of this field, from transforms by name.

        Raises:
            ValueError: an unknown transform, or one of another modality.
        """
        pipeline = Pipeline.from_spec(list(spec))
        for each in pipeline.transforms:
            if each.modality != self.name:
                raise ValueError(f"transform {each.name!r} changes {each.modality}, and the field holds {self.name}")
        return pipeline

    def collate(self, items: Items, rows: Tensor) -> Any:
        """These items as one batch, as a model reads it."""
        return items.fetch(rows)

    def mask(self, inputs: Any) -> Tensor | None:
        """The positions of a batch that hold content, `[B, T]`; None if all inputs are of one size."""
        return None


def modality(spec: str | Mapping[str, Any]) -> Modality:
    """A modality from its name, or from a mapping of one name to its arguments.

    Raises:
        ValueError: an unknown name, with the nearest ones; arguments that do not fit.
    """
    if isinstance(spec, str):
        found: Modality = registry.get(spec)
        return found
    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise ValueError(
            f"fields: {spec!r} is no modality; expected a name or {{name: {{options}}}}, as in {{image: {{size: 32}}}}"
        )
    ((name, options),) = spec.items()
    found = registry.get(name, **_tuples(options or {}))
    return found


def named_modalities(fields: Mapping[str, Any] | Sequence[str]) -> dict[str, Modality]:
    """The modalities of fields by name. A list is short for fields of the names of their modalities."""
    if not isinstance(fields, Mapping):
        fields = {name: name for name in fields}
    return {name: modality(spec) for name, spec in fields.items()}


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with tuples for lists, as dataclasses hold them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def _kind(table: RawTable, column: str) -> str:
    if table.columns.column(column).null_count == len(table.columns):
        return "nothing: all its cells are empty"
    for name in ("image", "audio", "text", "array"):
        if registry.get(name).holds(table, column):
            return name
    return str(table.columns.schema.field(column).type)
