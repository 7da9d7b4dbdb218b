"""Finds and loads the user's training and test data, and reads the format of its images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image

from limbeck.cli.init.questions import InitError
from limbeck.data import Items, encode_tables, to_float
from limbeck.data.archive_member import as_file
from limbeck.data.fields import named_modalities
from limbeck.data.fields.modalities import ImageModality
from limbeck.data.loading.cells import MediaSources
from limbeck.data.loading.columns import column_kind, input_candidates, input_column
from limbeck.data.loading.files import open_table
from limbeck.data.loading.raw_table import RawTable
from limbeck.data.table.columns import may_be_table
from limbeck.data.table.storage import TableStorage
from limbeck.data.text.tagged_words import may_be_tagged_words
from limbeck.recipe import DatasetSpec, data_sizes
from limbeck.recipe.dataset_reader import DataSizes

TEST_NAMES = ("test", "val", "valid", "validation", "eval")
SIDES = (32, 48, 64, 96, 128, 160, 192, 224)  # to which images are resized if they differ or are large
MAX_HEADERS = 500  # images of which the header is read
GREY = ("1", "L", "LA")
STUDENT, TEACHER = "student", "teacher"
DIGITS = "digits"  # the data that come with Limbeck
BY_HAND = ("text", "table")  # modalities of which recipes are written by hand


@dataclass(frozen=True)
class UserData:
    """Training and test data: their specs in the recipe, and the loaded items.

    Attributes:
        train: None without training data; the sizes of inputs are then those of the test items.
        reads: the fields that `teacher` and `student` read; empty for data of one input.
    """

    train: DatasetSpec | None
    test: DatasetSpec
    train_items: Items
    test_items: Items
    reads: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> int | None:
        return self.train_items.classes

    def sizes(self, actor: str = STUDENT) -> DataSizes:
        """Returns the sizes of a model that follow from what it reads."""
        return data_sizes(self.train_items.for_actor(actor))

    @property
    def labelled(self) -> int:
        return len(self.train_items.labelled()) if self.train_items.target is not None else 0

    def first_inputs(self, count: int = 8, actor: str = STUDENT) -> Any:
        """Returns the inputs of the first items, as a model receives them."""
        items = self.train_items.for_actor(actor)
        inputs = items.fetch(torch.arange(min(count, len(items))))
        return to_float(inputs) if items.images else inputs

    def describe(self) -> str:
        shape = ", ".join(f"{name} {self._shape(actor)}" for actor, name in self.reads.items()) or self._shape(STUDENT)
        if self.train is None:
            return f"no training data, {len(self.test_items):,} test items ({self.classes} classes, {shape})"
        unlabelled = len(self.train_items) - self.labelled
        without = f", {unlabelled:,} without a label" if unlabelled else ""
        train = f"{len(self.train_items):,} training items ({self.classes} classes, {shape}{without})"
        return f"{train}, {len(self.test_items):,} test items"

    def _shape(self, actor: str) -> str:
        first = self.first_inputs(1, actor)
        return "×".join(str(side) for side in first.shape[1:]) if isinstance(first, torch.Tensor) else "text"


def find_splits(train: str, test: str | None, **options: Any) -> tuple[DatasetSpec, DatasetSpec | None]:
    """Returns both specs. Test data that is not given is found by name: a split, or a file or folder beside `train`."""
    if train == DIGITS and test in (None, DIGITS):
        return DatasetSpec(path=DIGITS, split="train", **options), as_test_data(DIGITS, **options)
    place = Path(train)
    if (place / "train").is_dir():
        place = place / "train"
    test = test or next((str(near) for near in _neighbours(place) if near.exists()), None)
    return DatasetSpec(path=str(place), **options), DatasetSpec(path=test, **options) if test else None


def as_test_data(path: str, **options: Any) -> DatasetSpec:
    """Returns the spec of test data where there is no training data."""
    return DatasetSpec.model_validate({"path": path, "split": "test" if path == DIGITS else None, **options})


def _neighbours(train: Path) -> Iterable[Path]:
    if "train" in train.name:
        yield from (train.with_name(train.name.replace("training", "train").replace("train", name)) for name in TEST_NAMES)


def check_fields(path: str, fields: Mapping[str, str]) -> None:
    """Raises `InitError` for fields of which recipes are written by hand, and for data that has no fields."""
    if fields and path == DIGITS:
        raise InitError(
            f"--reads is {','.join(fields)}, and {path} are images alone; name a table that has both, such as pairs.parquet"
        )
    for name in fields.values():
        if name in BY_HAND:
            raise InitError(
                f"--reads: {name}: recipes with fields of texts or tables are written by hand; copy the one of "
                "docs/guide/methods/cross_modal.md, and name your files in it"
            )


def load_data(train: DatasetSpec, test: DatasetSpec, reads: Mapping[str, str] | None = None) -> UserData:
    """Loads both parts and checks that they fit together.

    Args:
        reads: of data with fields, those that `teacher` and `student` read.

    Raises:
        InitError: no labels, or classes in the test data that are not those of the training data.
    """
    train_items, test_items = train.load(reads=reads), test.load(reads=reads)
    train_items, test_items, _ = encode_tables(train_items, test_items)
    if train_items.classes is None:
        raise InitError(f"{train.path}: the training data has no labels; name their column with --label")
    if train_items.class_names and test_items.class_names and train_items.class_names != test_items.class_names:
        odd = sorted(set(train_items.class_names) ^ set(test_items.class_names))
        raise InitError(f"the classes of {train.path} and {test.path} differ: {', '.join(odd[:6]) or 'in their order'}")
    return UserData(train, test, train_items, test_items, reads or {})


def load_test_data(test: DatasetSpec) -> UserData:
    """Loads test data, where there is no training data.

    Raises:
        InitError: no labels, or rows of a table.
    """
    items = test.load()
    if isinstance(items.storage, TableStorage):
        raise InitError(
            f"{test.path}: the columns of a table are scaled by training data, as the teacher's were; give it with --train"
        )
    if items.classes is None:
        raise InitError(f"{test.path}: the test data has no labels; name their column with --label")
    return UserData(None, test, items, items)


def _refuse_tagged_words(table: RawTable) -> None:
    """Refuses sentences of words with tags, whose recipe names another task and a model with a tokenizer."""
    if may_be_tagged_words(table):
        raise InitError(
            f"{table.origin}: it holds sentences of words with a tag for each, which is task: token_classification; recipes of "
            "texts are written by hand: copy the one of docs/guide/text.md, Tags of words, and name this file as data.train"
        )


def image_format(part: DatasetSpec) -> tuple[int | None, int | None]:
    """Returns (side in pixels, channels) to which images should be converted; None if they agree and are not large.

    Only the headers of some images are read.

    Raises:
        InitError: the data holds words with tags, of which recipes are written by hand.
    """
    if part.path == DIGITS:
        return None, None
    table = open_table(part.path, part.split)
    _refuse_tagged_words(table)
    if (column := _image_column(table, part)) is None:
        return None, None
    sources = MediaSources(table, column)
    some = range(0, len(sources), max(1, len(sources) // MAX_HEADERS))
    headers = [header for row in some if (header := _header(sources[row])) is not None]
    if not headers:
        return None, None
    sizes, modes = {size for size, _ in headers}, {mode in GREY for _, mode in headers}
    short = median(min(size) for size, _ in headers)
    fits = len(sizes) == 1 and short <= SIDES[-1] and len(set(next(iter(sizes)))) == 1
    side = None if fits else max((side for side in SIDES if side <= short), default=int(short))
    return side, 3 if len(modes) > 1 else None


def _image_column(table: RawTable, part: DatasetSpec) -> str | None:
    """The column of images: the input, or that of the first field of images; None if there is none."""
    if part.fields is not None:
        kinds = named_modalities(part.fields).items()
        found = [kind.find_columns(table, name, ()) for name, kind in kinds if isinstance(kind, ImageModality)]
        return found[0][0] if found else None
    if isinstance(part.input, list) or part.table is not None:  # pairs of texts, columns of a table
        return None
    if part.input is None and may_be_table(table, input_candidates(table)):
        return None
    column = input_column(table, part.input)
    return column if column_kind(table, column) == "image" else None


def _header(source: Any) -> tuple[tuple[int, int], str] | None:
    """Returns size and mode of an encoded image; None if it does not decode, which raises an error on loading."""
    try:
        with Image.open(as_file(source)) as image:
            return image.size, image.mode
    except Exception:  # Pillow raises whatever its codecs raise
        return None
