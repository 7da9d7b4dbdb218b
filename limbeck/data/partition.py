"""How the items of one data set are split among clients, for simulations of a federation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from limbeck.data.items import Items
from limbeck.data.targets import stratification_labels
from limbeck.utils.argument_types import require_whole
from limbeck.utils.finite import require_finite
from limbeck.utils.registry import Registry
from limbeck.utils.seeds import mix_seeds

registry = Registry("partition")
ColumnReader = Callable[[str], Sequence[Any]]
ATTEMPTS = 1000  # draws of label shares until every client has enough items


class Partition(Protocol):
    """Splits items: `(items, clients, seed) -> rows of each client`; `column(name)` gives a value of each item."""

    def __call__(self, items: Items, clients: int, seed: int, column: ColumnReader = ...) -> list[Tensor]: ...


def no_columns(name: str) -> Sequence[Any]:
    """The columns of items that come from no file."""
    raise ValueError(f"these items have no column {name!r}; name a file as data.train")


@registry.register(
    "dirichlet",
    cite="""
        @article{hsu2019measuring,
            title = {Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification},
            author = {Hsu, Tzu-Ming Harry and Qi, Hang and Brown, Matthew},
            journal = {arXiv preprint arXiv:1909.06335},
            year = {2019},
            eprint = {1909.06335},
            archiveprefix = {arXiv},
        }
    """,
)
def dirichlet(alpha: float = 1.0, least: int = 10) -> Partition:
    """Label skew: the items of each class are dealt to the clients by shares p ~ Dirichlet(α, …, α) (1909.06335).

    α = 0.1 leaves a client a few classes, α = 100 nearly the same mixture everywhere.

    Args:
        least: items of the smallest client; shares are drawn again until each has so many.

    Raises:
        ValueError: α is not positive, or a client may have no item; the items have no classes, or too few for the clients.
    """
    require_finite("dirichlet", {"alpha": alpha})
    if alpha <= 0:
        raise ValueError(f"dirichlet: alpha is {alpha}; expected a number above 0, such as 0.1 (skewed) or 100 (even)")
    require_whole("dirichlet: least", least, 1)  # a client without any item cannot train

    def split(items: Items, clients: int, seed: int, column: ColumnReader = no_columns) -> list[Tensor]:
        if not items.has_classes:
            raise ValueError("dirichlet deals items by their classes, and these have none; use partition: even")
        _check_clients(items, clients, least)
        labels = stratification_labels(items.target).numpy()
        generator = np.random.default_rng(mix_seeds(seed, "dirichlet"))
        for _ in range(ATTEMPTS):
            dealt: list[list[int]] = [[] for _ in range(clients)]
            for label in np.unique(labels):
                rows = generator.permutation(np.flatnonzero(labels == label))
                ends = (np.cumsum(generator.dirichlet([alpha] * clients))[:-1] * len(rows)).astype(int)
                for client, part in zip(dealt, np.split(rows, ends), strict=True):
                    client += part.tolist()
            if min(map(len, dealt)) >= least:
                return [torch.tensor(sorted(rows)) for rows in dealt]
        raise ValueError(
            f"dirichlet with alpha {alpha} left a client fewer than {least} items {ATTEMPTS} times; raise alpha, "
            "lower least, or take fewer clients"
        )

    return split


@registry.register("even")
def even() -> Partition:
    """Every client has the same mixture of classes and as many items."""

    def split(items: Items, clients: int, seed: int, column: ColumnReader = no_columns) -> list[Tensor]:
        _check_clients(items, clients, 1)
        order = np.random.default_rng(mix_seeds(seed, "even")).permutation(len(items))
        labels = np.zeros(len(items)) if items.target is None else stratification_labels(items.target).numpy()
        order = order[np.argsort(labels[order], kind="stable")]
        return [torch.tensor(sorted(order[client::clients].tolist())) for client in range(clients)]

    return split


@registry.register("by_column")
def by_column(name: str) -> Partition:
    """A client for each value of a column, such as the hospital that a row is from, in the order of the values.

    Raises:
        ValueError: there is no such column, an item has no value there, or there are more or fewer values than clients.
    """

    def split(items: Items, clients: int, seed: int, column: ColumnReader = no_columns) -> list[Tensor]:
        given = column(name)
        if missing := sum(map(_is_missing, given)):
            raise ValueError(
                f"column {name!r} is empty in {missing:,} of {len(given):,} items, so that no client has them; name the client "
                "of each, or take out these rows"
            )
        values = np.array([str(value) for value in given])
        found = np.unique(values)
        if len(found) != clients:
            raise ValueError(
                f"column {name!r} has {len(found)} values and clients is {clients}; set federated.clients to {len(found)}"
            )
        return [torch.from_numpy(np.flatnonzero(values == value)) for value in found]

    return split


def partition(value: str | Mapping[str, Any] | Partition) -> Partition:
    """Converts a name, or the recipe form `{name: {arguments}}`, to a partition.

    Raises:
        ValueError: an unknown name (the nearest are offered), or arguments that it does not have.
    """
    if callable(value):
        return value
    named = {value: {}} if isinstance(value, str) else dict(value)
    ((name, arguments),) = named.items()
    return cast(Partition, registry.get(name, **(arguments or {})))


def _is_missing(value: Any) -> bool:
    """Whether a cell is empty: null, NaN, or a text of spaces."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _check_clients(items: Items, clients: int, least: int) -> None:
    require_whole("clients", clients, 1)
    if clients * least > len(items):
        raise ValueError(
            f"{len(items):,} items for {clients:,} clients, each of which needs {least}; expected {clients * least:,} items or "
            "more, or fewer clients"
        )
