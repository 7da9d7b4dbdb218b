"""The data of a recipe, as its models read it: loaded, split, augmented, and texts as tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch

from limbeck.data import (
    AudioOptions,
    FieldStorage,
    Items,
    TableEncoder,
    map_field,
    tokenize,
)
from limbeck.data.storage import TextStorage
from limbeck.models.shrink import CorpusVocabulary
from limbeck.recipe.augmentation import augment_items
from limbeck.recipe.errors import RecipeError, in_field
from limbeck.recipe.paths import expand_variables
from limbeck.recipe.preprocessing import WHOLE, Preprocessing
from limbeck.recipe.same_columns import load_same_columns
from limbeck.recipe.schema.data import DatasetSpec, DataSpec
from limbeck.recipe.schema.models import ModelSpec, StudentSpec
from limbeck.recipe.tokenizers import student_tokenizer, teacher_tokenizer
from limbeck.tasks import Task
from limbeck.tasks.data_format import DataFormat, TextSource
from limbeck.utils import distributed


class RecipeItems(NamedTuple):
    """The items of a recipe.

    Attributes:
        teacher_train: all training items with all their labels; None if the recipe has no training data.
        train: the training items that the student sees; None likewise.
        validation: None if the recipe has none.
    """

    teacher_train: Items | None
    train: Items | None
    validation: Items | None
    test: Items


class DatasetReader:
    """Reads the data sets of one recipe. Tokenizers are loaded once, when they are first needed.

    Attributes:
        student_tokenizer: set for a finished run whose student has a vocabulary of its own; otherwise that vocabulary is
            made from the training texts.
        preprocessing: of tables and sounds; read from the folders of a finished run, otherwise learned from the training data.
        saved_tokenizers: of a finished run whose data has fields, by the name of the model that reads texts.

    Args:
        further: other models by name, which may read fields of their own.
    """

    def __init__(
        self,
        task: Task,
        data: DataSpec,
        teacher: ModelSpec,
        student: StudentSpec,
        further: Mapping[str, ModelSpec] | None = None,
    ) -> None:
        self.task, self.data, self.teacher, self.student = task, data, teacher, student
        self.models: dict[str, ModelSpec] = {"student": student, "teacher": teacher, **(further or {})}
        self.student_tokenizer: Any = None
        self.saved_tokenizers: dict[str, Any] = {}
        self.preprocessing = Preprocessing()

    def use_tokenizers(self, student: Any, teacher: Any = None) -> None:
        """Reads texts with the tokenizers of a finished run, so that its training texts are not needed.

        Args:
            teacher: None: the student's tokens are all that is read.
        """
        self.__dict__ |= {"tokenizer": teacher or student, "vocabulary": None, "_own_student_tokenizer": None}
        self.student_tokenizer = student if teacher is not None else None

    # --- tokenizers --------------------------------------------------------------------------------------------------

    @cached_property
    def tokenizer(self) -> Any:
        """The teacher's, and the student's too if it has none of its own."""
        return teacher_tokenizer(self.data, self.teacher, self.student)

    @cached_property
    def vocabulary(self) -> CorpusVocabulary | None:
        """The tokens of the training texts, if the student keeps only these of the teacher's vocabulary."""
        spec = self.student.vocabulary
        if spec is None:
            return None
        texts = (text for dataset in (self.data.like, *spec.texts) for text in self._vocabulary_texts(dataset))
        return CorpusVocabulary.of(self.tokenizer, texts, size=spec.size, min_count=spec.min_count)

    @property
    def tokenizers(self) -> Any:
        """One tokenizer for both models, or the student's and the teacher's by name."""
        own = self.student_tokenizer or (self._own_student_tokenizer if self.vocabulary is None else self.vocabulary.tokenizer)
        return self.tokenizer if own is None else {"student": own, "teacher": self.tokenizer}

    @cached_property
    def _own_student_tokenizer(self) -> Any:
        return student_tokenizer(self.data, self.teacher, self.student)

    def _vocabulary_texts(self, spec: DatasetSpec) -> Iterator[str]:
        if (own := self.task.data_format) is not None and spec == self.data.train:
            yield from own.texts(expand_variables(spec.path, "data"), spec.split)
            return
        storage = self.raw_items(spec).storage
        if not isinstance(storage, TextStorage):
            raise RecipeError(f"student.vocabulary: {spec.path} holds no texts, whose words could be kept")
        for text in storage.texts:
            yield from (text,) if isinstance(text, str) else text

    # --- items -------------------------------------------------------------------------------------------------------

    def items(self, spec: DatasetSpec) -> Items:
        """Returns the items of one data set, texts as tokens, in the format of the task if it has one of its own."""
        own = self.task.data_format
        if own is not None and (spec.label is not False or own.reads_unlabelled):
            if spec.where is not None:
                raise RecipeError(
                    f"{spec.path}: where: keeps rows of tables, and {self.task.name} reads a format of its own; leave it out"
                )
            return load_same_columns(spec, self.data.like, partial(self._load_own, own))
        return self.texts(spec)

    def _load_own(self, own: DataFormat, spec: DatasetSpec) -> Items:
        how = (self.tokenizers, self.data.max_length, self.data.window_stride, spec.input, spec.label)
        return own.load(TextSource(expand_variables(spec.path, "data"), spec.split, spec.limit, *how))

    def texts(self, spec: DatasetSpec) -> Items:
        """Returns the items of one data set, texts as tokens, for any task."""
        return self._readable(self.raw_items(spec), spec.path)

    def raw_items(self, spec: DatasetSpec) -> Items:
        """Returns the items of one data set as they are stored."""
        spec = self.preprocessing.complete(spec, self.data.like)
        reads = {actor: field for actor, field in self.reads.items() if field in (spec.fields or ())}
        labels = self.task.read_labels if self.task.reads_labels else None
        return load_same_columns(spec, self.data.like, lambda named: named.load(labels, reads))

    @property
    def reads(self) -> dict[str, str]:
        """The fields that models read, if the data has fields."""
        return {actor: model.reads for actor, model in self.models.items() if model.reads is not None}

    def _readable(self, items: Items, data: str = "data") -> Items:
        """Returns items as models read them: texts as tokens, rows of a table as vectors."""
        if self.preprocessing.lacks(items):
            self._split()
        items = self.preprocessing.encode(items, data)
        if isinstance(items.storage, FieldStorage):
            for name, part in items.storage.fields.items():
                if isinstance(part.storage, TextStorage):
                    tokenizers = self._tokenizers_of(name)
                    items = map_field(items, name, partial(tokenize, tokenizer=tokenizers, max_length=self.data.max_length))
        if not isinstance(items.storage, TextStorage):
            return items
        return tokenize(items, self.tokenizers, self.data.max_length)

    @property
    def table_encoder(self) -> TableEncoder | None:
        """The encoder of a table without fields, once it is known."""
        return self.preprocessing.tables.get(WHOLE)

    @property
    def audio(self) -> AudioOptions | None:
        """The options of sounds without fields, once they are known."""
        return self.preprocessing.audio.get(WHOLE)

    @audio.setter
    def audio(self, options: AudioOptions) -> None:
        self.preprocessing.audio[WHOLE] = options

    def _tokenizers_of(self, field: str) -> Any:
        """Returns the tokenizer of the model that reads a field; by name, if student and teacher read it with their own."""
        readers = [name for name, read in self.reads.items() if read == field]
        saved = {name: self.saved_tokenizers[name] for name in readers if name in self.saved_tokenizers}
        if saved:
            return saved if len(saved) > 1 else next(iter(saved.values()))
        if {"student", "teacher"} <= set(readers):
            return self.tokenizers
        reader = self.models[readers[0]] if readers else self.student
        return teacher_tokenizer(self.data, reader, reader)

    def _split(self) -> tuple[Items, Items | None]:
        """Returns training and validation items as they are stored. The statistics of a table come from the former."""
        train, validation = self.raw_items(self.data.like), None
        if not isinstance(self.data.validation, DatasetSpec) and self.data.validation > 0:
            with in_field("data.validation"):
                validation, train = train.split(self.data.validation)
        self.preprocessing.learn(train)
        if isinstance(self.data.validation, DatasetSpec):
            validation = self.raw_items(self.data.validation)
        return train, validation

    # --- all data of a recipe ----------------------------------------------------------------------------------------

    def load(self) -> RecipeItems:
        """Returns all data of the recipe; classes are numbered as in the training data."""
        if self.data.train is None:
            validation = self.items(self.data.validation) if isinstance(self.data.validation, DatasetSpec) else None
            return RecipeItems(None, None, validation, self.items(self.data.test))
        if self.task.data_format is not None:
            return self._load_own_format(self.task.data_format)
        with distributed.first_rank_first():  # the others find the index of images, or the copy of a hub's data set
            raw, raw_validation = self._split()
            raw_test = self.raw_items(self.data.test)
        shown = self._augmented(self._student_items(raw))
        teacher_train = self._readable(raw)
        train = teacher_train if shown is raw else self._readable(shown)
        validation = raw_validation and self._readable(raw_validation, "data.validation").align_classes(
            raw.class_names, "data.validation", strict=raw.has_classes
        )
        test = self._readable(raw_test, "data.test").align_classes(raw.class_names, "data.test", strict=raw.has_classes)
        return RecipeItems(teacher_train, train, validation, test)

    def _load_own_format(self, own: DataFormat) -> RecipeItems:
        if self.data.augment is not None:
            raise RecipeError(f"data.augment: {own.augmentation_problem}; leave it out")
        train, validation = self.items(self.data.like), None
        if isinstance(self.data.validation, DatasetSpec):
            validation = self.items(self.data.validation)
        elif self.data.validation > 0:
            with in_field("data.validation"):
                validation, train = own.split(train, self.data.validation)
        names, named = train.class_names, train.has_classes
        validation = validation and validation.align_classes(names, "data.validation", strict=named)
        test = self.items(self.data.test).align_classes(names, "data.test", strict=named)
        return RecipeItems(train, self._student_items(train), validation, test)

    def _student_items(self, train: Items) -> Items:
        """Returns the training items with the labels that the student may see."""
        shown = train if self.data.labels is None else train.keep_labels(self.data.labels, self.data.labels_seed)
        return shown if self.data.unlabelled else self.task.training_items(shown)

    def _augmented(self, items: Items) -> Items:
        if self.data.augment is None:
            return items
        return augment_items(items, self.data.augment, self.teacher, self.vocabulary, self.data.max_length)


class DataSizes(NamedTuple):
    """The sizes of models that follow from data; None where it has none.

    Attributes:
        classes: outputs of the model; 1 for numbers to predict.
        channels: of images and spectrograms.
        inputs: numbers in an item: the length of vectors, and of images that are flattened.
        item: shape of one item; None for texts.
    """

    classes: int | None
    channels: int | None
    inputs: int | None
    item: tuple[int, ...] | None = None


def data_sizes(items: Items) -> DataSizes:
    """Returns the sizes of models that follow from these items."""
    first = items.fetch(torch.tensor([0]))
    shape = tuple(getattr(first, "shape", ()))
    channels = shape[1] if len(shape) == 4 else None
    target = items.target
    is_number = isinstance(target, torch.Tensor) and target.ndim == 1 and target.is_floating_point()
    return DataSizes(1 if is_number else items.classes, channels, math.prod(shape[1:]) if shape else None, shape[1:] or None)
