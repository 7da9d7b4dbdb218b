"""A recipe of a federation: clients that keep their data, and a server that makes one model of theirs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from limbeck.core.labels import UNLABELLED
from limbeck.data import Items
from limbeck.data.loading.files import open_table
from limbeck.data.loading.hugging_face import BUILT_IN
from limbeck.data.targets import remove_labels
from limbeck.evaluation.targets import check_targets
from limbeck.recipe.base import BaseRecipe
from limbeck.recipe.dataset_reader import data_sizes
from limbeck.recipe.errors import RecipeError, in_field
from limbeck.recipe.paths import expand_variables
from limbeck.recipe.schema.data import DatasetSpec
from limbeck.recipe.schema.federated import FederatedSpec
from limbeck.recipe.schema.models import ModelSpec

STUDENT = "student"
UNUSED = {  # fields that have no effect in a federation, and what has
    "data.labels": "clients learn from all their labels",
    "data.augment": "texts are not augmented in a federation",
    "training.ema": "the server averages models of clients, not of steps",
    "training.patience": "clients train for the whole length; the server's part stops early, by {feddf: {patience: 5}}",
    "training.checkpoint_every": "the server keeps every round",
    "training.trackers": "the record of the rounds is in verdict.json",
    "training.shard": "each client trains in a process of its own",
}
SHARED = ("federated.public", "data.validation")  # fields of data that all may see, or the server
OWN_FIELDS = ("name", "description", "data", "targets", "seeds", "control")  # may differ between a server and its clients


class FederatedItems(NamedTuple):
    """The data of a federation.

    Attributes:
        clients: training items by client; empty where each client reads its own.
        public: without labels; None: there is none.
        validation: the server's; None: there is none.
    """

    clients: list[Items]
    public: Items | None
    validation: Items | None
    test: Items


class Federation(BaseRecipe):
    """Clients that keep their data, and a server that makes one model of theirs, or one for each architecture."""

    further_models: ClassVar[str] = "groups"

    groups: dict[str, ModelSpec] = Field(
        default_factory=dict, description="instead of student: the architectures of the clients, by a name of your choice"
    )
    federated: FederatedSpec = Field(description="clients, rounds, what travels, and what is refused")
    control: bool = Field(True, description="also run FedAvg on the same clients, rounds and steps, for the gain")
    targets: dict[str, float] = Field(default_factory=dict, description="goals that the verdict weighs, by name")

    @model_validator(mode="after")
    def _check_models(self) -> Self:
        if bool(self.groups) == self.student.named:
            raise ValueError("give student: (one architecture) or groups: (several), one of the two")
        if self.teacher is not None or self.cache is not None or self.student.from_teacher is not None:
            raise ValueError(
                "teacher: the clients' models are the teachers of a federation; leave out teacher:, from_teacher: and cache:"
            )
        if len(self.groups) > self.federated.clients:
            raise ValueError(
                f"groups: {len(self.groups)} architectures for {self.federated.clients} clients; raise federated.clients"
            )
        check_targets(self.targets, list(self.architectures))
        return self

    @model_validator(mode="after")
    def _check_unused(self) -> Self:
        for field, why in UNUSED.items():
            part, name = field.split(".")
            spec = getattr(self, part)
            value, default = getattr(spec, name), type(spec).model_fields[name].get_default(call_default_factory=True)
            if value and value != default:
                raise ValueError(f"{field}: {value!r} has no effect: {why}; leave it out")
        return self

    @model_validator(mode="after")
    def _check_task(self) -> Self:
        if not self.new_task().outputs_classes:
            raise ValueError(f"task: {self.task!r} has no classes; a federation trains classifiers")
        method = self.federated.build_method()
        if method.reads_classes and not self.new_task().one_class:
            raise ValueError(
                f"federated.method: {self.federated.method} averages the softmax of outputs, of classes of which one is right, "
                f"which {self.task} does not have; use fedmd, or feddf with combine: logits"
            )
        method.local_optimizer(self.training.build().optimizer)  # FedProx has some optimizers only
        return self

    @property
    def models(self) -> dict[str, ModelSpec]:
        return dict(self.architectures)

    @property
    def architectures(self) -> dict[str, ModelSpec]:
        """The models of the clients by group."""
        return dict(self.groups) if self.groups else {STUDENT: self.student}

    def fingerprint(self) -> str:
        """A hash of what server and clients must agree on: everything but their data files."""
        content = self.model_dump(mode="json", exclude=set(OWN_FIELDS))
        content["federated"].pop("public")
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()

    def in_one_place(self) -> dict[str, Any]:
        """The fields of a recipe that trains the same models in one place, by which commands read a finished federation."""
        left_out = {"federated", "groups", "targets", "control", "cache", "teacher", *(("student",) if self.groups else ())}
        content = self.model_dump(mode="json", exclude=left_out)
        if not self.groups:
            return {**content, "terms": ["hard_targets"]}
        content["training"] |= {"epochs": None, "steps": None}
        updates = [{"trains": name, "terms": [{"hard_targets": {"student": name}}]} for name in self.groups]
        actors = {name: spec.model_dump(mode="json") for name, spec in self.groups.items()}
        return {
            **content,
            "actors": actors,
            "stages": [{"steps": 1, "updates": updates}],
            "evaluate": {name: name for name in self.groups},
        }

    # --- data --------------------------------------------------------------------------------------------------------

    def simulated(self, seed: int) -> FederatedItems:
        """Returns all data of a simulation; the training data, which is read once, is split among its clients.

        Raises:
            ValueError: there is no training data, or it cannot be split so.
        """
        items, column = self._simulated_items
        (train,) = items.clients
        with in_field("federated.partition"):
            rows = self.federated.build_partition()(train, self.federated.clients, seed, column)
        return items._replace(clients=[train.select(each) for each in rows])

    @cached_property
    def _simulated_items(self) -> tuple[FederatedItems, Callable[[str], Sequence[Any]]]:
        """All data of a simulation, with one client that has all training items, and what reads columns of theirs."""
        if self.data.train is None:
            raise RecipeError("data.train: a simulation splits it among the clients; name a data set")
        everything = self.reader.raw_items(self.data.train)
        train, validation = everything, self._own(self.data.validation)
        if isinstance(self.data.validation, float) and self.data.validation > 0:
            with in_field("data.validation"):
                validation, train = train.split(self.data.validation)
        public = self._own(self.federated.public)
        if isinstance(self.federated.public, float):
            with in_field("federated.public"):
                public, train = train.split(self.federated.public, seed=1)
        shared = self._prepare(public, validation, train)
        train = self._with_classes(self._readable(train, everything, "data.train"))
        column = _column_reader(self.data.train, everything, train)
        public, validation = (self._readable(each, train, data) for each, data in zip(shared, SHARED, strict=True))
        test = self._with_classes(self._readable(self.reader.raw_items(self.data.test), train, "data.test"))
        return FederatedItems([train], _unlabelled(public), validation, test), column

    def server_items(self) -> FederatedItems:
        """Returns what the server of a federation on real processes has.

        Raises:
            ValueError: validation or public data is a share of training data, which the server does not have.
        """
        self._require_files()
        public, validation = self._own(self.federated.public), self._own(self.data.validation)
        test = self.reader.raw_items(self.data.test)
        public, validation = self._prepare(public, validation, test)
        known = self._with_classes(_agreed(self._readable(test, test, "data.test"), self.federated.classes, "data.test"))
        shared = zip((public, validation), SHARED, strict=True)
        public, validation = (self._readable(each, known, data) for each, data in shared)
        return FederatedItems([], _unlabelled(public), validation, known)

    def client_items(self, path: Path) -> tuple[Items, Items | None]:
        """Returns what a client has: its own items, and the public ones.

        Args:
            path: of its own items.
        """
        self._require_files()
        spec = self.data.like.model_copy(update={"path": str(path)})
        public, own = self._own(self.federated.public), self.reader.raw_items(spec)
        (public, _) = self._prepare(public, None, own)
        train = self._with_classes(_agreed(self._readable(own, own, str(path)), self.federated.classes, str(path)))
        return train, _unlabelled(self._readable(public, train, "federated.public"))

    def _require_files(self) -> None:
        for field, value in (("data.validation", self.data.validation), ("federated.public", self.federated.public)):
            if isinstance(value, float) and value > 0:
                raise RecipeError(
                    f"{field}: a share of the training data, which is with the clients; name a data set of its own"
                )

    def _own(self, spec: Any) -> Items | None:
        return self.reader.raw_items(spec) if isinstance(spec, DatasetSpec) else None

    def _prepare(self, public: Items | None, validation: Items | None, train: Items) -> tuple[Items | None, Items | None]:
        """Learns how rows of tables become vectors: from what is public or the server's, never from the clients' rows."""
        known = public if public is not None else validation
        if known is None and self.reader.preprocessing.lacks(train):
            raise RecipeError(
                "federated.public: the columns of a table are scaled by data that all may see; give public data or "
                "data.validation"
            )
        if known is not None:
            self.reader.preprocessing.learn(known)
        return public, validation

    def _readable(self, items: Any, like: Items, data: str) -> Any:
        """Items as models read them, with the classes of others; None of None. Messages call them `data`."""
        if items is None:
            return None
        read = self.reader.preprocessing.encode(items, data).align_classes(like.class_names, data, strict=like.has_classes)
        return read if read.classes or like.classes is None else _with_classes(read, like.classes)

    def _with_classes(self, items: Items) -> Items:
        count = self.federated.classes
        if count is not None and items.classes is not None and items.classes > count:
            raise RecipeError(f"federated.classes: {count}, and the data has {items.classes}; give the number of all clients")
        return items if count is None else _with_classes(items, count)

    # --- models ------------------------------------------------------------------------------------------------------

    def builders(self, known: Items) -> Mapping[str, Callable[[], nn.Module]]:
        """Functions that build the models of the groups.

        Args:
            known: items with the sizes of the data.
        """
        sizes = data_sizes(known)

        def build(spec: ModelSpec) -> Callable[[], nn.Module]:
            return lambda: spec.new(*sizes)

        return {name: build(spec) for name, spec in self.architectures.items()}


def _agreed(items: Items, classes: int | None, data: str) -> Items:
    """Returns the items of one party as they are; raises `RecipeError` if others would number their classes differently."""
    names = items.class_names
    if names is not None and len(names) != classes:
        raise RecipeError(
            f"{data}: its classes are names ({', '.join(names[:6])}), and federated.classes is {classes}: which numbers they "
            "have for the other parties is unknown. Set federated.classes to the number of all classes, and write their names, "
            "in one order everywhere, into a file classes.json beside the data; or give labels as numbers"
        )
    return items


def _with_classes(items: Items, classes: int) -> Items:
    return Items(items.storage, items.keys, items.target, classes, items.class_names, items.images)


def _unlabelled(items: Items | None) -> Items | None:
    """The same items without any label."""
    if items is None or items.target is None:
        return items
    everywhere = items.keys == items.keys
    target = remove_labels(items.target, everywhere)
    assert not isinstance(target, Tensor) or target.is_floating_point() or bool((target == UNLABELLED).all())
    return Items(items.storage, items.keys, target, items.classes, items.class_names, items.images)


def _column_reader(spec: DatasetSpec, everything: Items, items: Items) -> Callable[[str], Sequence[Any]]:
    """Reads a column of a file for some of its items."""

    def read(name: str) -> Sequence[Any]:
        if spec.path in BUILT_IN:
            raise RecipeError(f"data.train is {spec.path!r}, which has no columns; deal it by dirichlet")
        table = open_table(expand_variables(spec.path, "data.train"), spec.split).columns
        if name not in table.column_names:
            raise RecipeError(f"data.train has no column {name!r}; it has {', '.join(table.column_names)}")
        values = dict(zip(everything.keys.tolist(), table.column(name).to_pylist(), strict=False))
        return [values[key] for key in items.keys.tolist()]

    return read
