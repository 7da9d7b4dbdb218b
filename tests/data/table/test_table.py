"""Tables: which columns are read, how they become vectors, and what is refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from limbeck.data import Items, TableEncoder, TableOptions, TableStorage, load_items
from tests.data.loading.files import parquet

COLUMNS: dict[str, list[Any]] = {
    "age": [20, 40, None, 60],
    "sex": [True, False, True, True],
    "site": ["b", "a", "b", None],
    "code": [1.0, 3.0, 3.0, 1.0],
    "label": [0, 1, 1, 0],
}


def load(folder: Path, options: TableOptions | None = None, **changes: Any) -> Items:
    return load_items(parquet(folder / "rows.parquet", **COLUMNS | changes), table=options)


def vectors(items: Items) -> torch.Tensor:
    found: torch.Tensor = items.fetch(torch.arange(len(items)))
    return found


def test_columns_are_found_by_type(tmp_path: Path) -> None:
    items = load(tmp_path)
    assert isinstance(items.storage, TableStorage)
    assert list(items.storage.numeric) == ["age", "sex", "code"]
    assert list(items.storage.categorical) == ["site"]
    assert items.target is not None
    assert items.target.tolist() == [0, 1, 1, 0]


def test_dictionaries_are_categories(tmp_path: Path) -> None:
    encoded = {name: pa.array(COLUMNS[name]).dictionary_encode() for name in ("site", "code")}
    table = pa.table(COLUMNS | encoded)
    for data in (table, table.to_pandas()):
        storage = load_items(data, table=TableOptions()).storage
        assert isinstance(storage, TableStorage)
        assert list(storage.numeric) == ["age", "sex"]
        found = {name: cells.tolist() for name, cells in storage.categorical.items()}
        assert found == {"site": ["b", "a", "b", None], "code": ["1", "3", "3", "1"]}
    assert load(tmp_path, site=encoded["site"]).storage.categorical["site"].tolist() == ["b", "a", "b", None]  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="'site' holds 2 different texts, more than max_categories=1"):
        load(tmp_path, TableOptions(max_categories=1), site=encoded["site"])


def test_identifiers_are_no_numbers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"column 'age' holds whole numbers above 2⁵³, which seem to be identifiers; leave it"):
        load(tmp_path, age=[2**53 + 1, 1, 2, 3])


def test_vectors_are_scaled_imputed_and_flagged(tmp_path: Path) -> None:
    items = load(tmp_path, TableOptions(categorical=("site", "code"), numeric=("age",)))
    encoder = TableEncoder.fit(items)
    assert encoder.names == ["age", "age is missing", "site=a", "site=b", "site is missing", "code=1", "code=3"]
    ages = np.array([20, 40, 40, 60])  # the median stands for the missing one
    expected = torch.tensor(
        [[0, 0, 0, 1, 0, 1, 0], [0, 0, 1, 0, 0, 0, 1], [0, 1, 0, 1, 0, 0, 1], [0, 0, 0, 1, 1, 1, 0]], dtype=torch.float32
    )
    expected[:, 0] = torch.from_numpy((ages - ages.mean()) / ages.std())
    torch.testing.assert_close(vectors(encoder(items)), expected)


def test_statistics_come_from_the_training_rows_only(tmp_path: Path) -> None:
    train = load(tmp_path)
    test = load(tmp_path, age=[1000, None, 0, 5], site=["a", "a", "b", "a"])
    alone = vectors(TableEncoder.fit(train)(test))
    assert alone[0, 0] == pytest.approx((1000 - 40) / np.std([20, 40, 40, 60]))
    assert alone[1, 1] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age": ["young", "old", None, "old"]}, "test data: column 'age' holds numbers in the training data, and texts here"),
        ({"site": [1.5, 2.5, 3.5, 4.5]}, "test data: column 'site' holds texts in the training data, and numbers here"),
    ],
)
def test_a_column_of_another_kind_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    encoder = TableEncoder.fit(load(tmp_path))
    with pytest.raises(ValueError, match=message):
        encoder(load(tmp_path, **changes), "test data")


def test_an_encoder_is_the_same_after_saving(tmp_path: Path) -> None:
    items = load(tmp_path, age=[0.1, 0.7, None, 1e-9])
    encoder = TableEncoder.fit(items)
    encoder.save(tmp_path / "student")
    read = TableEncoder.load(tmp_path / "student")
    assert read == encoder
    assert torch.equal(vectors(read(items)), vectors(encoder(items)))
    (tmp_path / "student" / "table.json").write_text('{"format": 7}')
    with pytest.raises(ValueError, match="in format 1, found format 7"):
        TableEncoder.load(tmp_path / "student")


def test_encoders_of_other_rows_have_another_identity(tmp_path: Path) -> None:
    one, other = TableEncoder.fit(load(tmp_path)), TableEncoder.fit(load(tmp_path, age=[20, 40, None, 61]))
    assert one.identity() == TableEncoder.fit(load(tmp_path)).identity() != other.identity()


def test_unknown_categories_and_first_missing_values_are_counted(tmp_path: Path) -> None:
    encoder = TableEncoder.fit(load(tmp_path))
    with pytest.warns(UserWarning, match=r"test: column 'site': 2 rows hold a category .* lack \('x'\)"):
        assert vectors(encoder(load(tmp_path, site=["x", "y", "a", None]), "test"))[0, -3:].tolist() == [0, 0, 0]
    with pytest.warns(UserWarning, match="test: column 'code': 1 values are missing, as in no training row; the median 2"):
        encoder(load(tmp_path, code=[1.0, None, 3.0, 3.0]), "test")


def test_keys_are_of_the_values(tmp_path: Path) -> None:
    items = load(tmp_path)
    turned = load(tmp_path, **{name: values[::-1] for name, values in COLUMNS.items()})
    assert torch.equal(items.keys, turned.keys.flip(0))
    assert len(items.keys.unique()) == 4
    assert torch.equal(items.select(torch.tensor([2, 0])).keys, items.keys[[2, 0]])
    encoder = TableEncoder.fit(items)
    assert torch.equal(vectors(encoder(items.select(torch.tensor([2, 0])))), vectors(encoder(items))[[2, 0]])


def test_a_constant_column_is_zero(tmp_path: Path) -> None:
    items = load(tmp_path, age=[7, 7, 7, 7])
    assert vectors(TableEncoder.fit(items)(items))[:, 0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({}, {"age": [1.0, float("inf"), 2.0, 3.0]}, "column 'age': row 1 holds inf; leave the cell empty"),
        ({}, {"id": [1, 2, 3, 4]}, r"column 'id' seems to number the rows. Leave it out \(table: {exclude: \[id\]}\)"),
        ({"max_categories": 1}, {}, "column 'site' holds 2 different texts, more than max_categories=1"),
        ({"numeric": ("agee",)}, {}, "table.numeric: .* has no column 'agee'; nearest: age"),
        ({"numeric": ("site",)}, {}, "column 'site' holds string, and numbers are expected"),
        ({"numeric": ("age",), "categorical": ("age",)}, {}, "column 'age' is named twice"),
        ({"numeric": ("label",)}, {}, "column 'label' is named twice"),
        ({"exclude": ("age", "sex", "site", "code")}, {}, "no columns besides the label"),
    ],
)
def test_bad_columns_are_refused(tmp_path: Path, options: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(tmp_path, TableOptions(**options), **changes)


def test_nan_is_refused_with_its_row_or_means_missing(tmp_path: Path) -> None:
    nan = {"age": [1.0, 2.0, float("nan"), None]}
    with pytest.raises(ValueError, match=r"column 'age': row 2 holds nan; .*set table: {nan: missing}"):
        load(tmp_path, **nan)
    storage = load(tmp_path, TableOptions(nan="missing"), **nan).storage
    assert isinstance(storage, TableStorage)
    assert storage.numeric["age"].isnan().tolist() == [False, False, True, True]


def test_a_column_without_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"column 'age' has no value in the training rows; leave it out: exclude: \[age\]"):
        TableEncoder.fit(load(tmp_path, age=[None] * 4))


def test_rows_are_not_read_before_they_are_encoded(tmp_path: Path) -> None:
    items = load(tmp_path)
    with pytest.raises(ValueError, match=r"turn them into vectors first: encoder = TableEncoder.fit\(train\)"):
        items.fetch(torch.tensor([0]))
    with pytest.raises(ValueError, match="expected rows of a table"):
        TableEncoder.fit(Items.from_tensors(torch.zeros(2, 3)))


def test_a_table_is_not_one_column(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leave out `input` or `table`"):
        load_items(parquet(tmp_path / "a.parquet", **COLUMNS), input="age", table=TableOptions())


def test_csv_and_parquet_give_the_same_items(tmp_path: Path) -> None:
    text = "age,sex,site,code,label\n20,true,b,1,0\n40,false,a,3,1\n,true,b,3,1\n60,true,,1,0\n"
    (tmp_path / "rows.csv").write_text(text.replace(",,1", ",NA,1"))
    csv = load_items(tmp_path / "rows.csv", table=TableOptions(categorical=("code", "site"), numeric=("age", "sex")))
    both = load(tmp_path, TableOptions(categorical=("code", "site"), numeric=("age", "sex")))
    assert csv.storage.categorical["code"].tolist() == both.storage.categorical["code"].tolist()  # type: ignore[attr-defined]


def test_many_rows_are_hashed_some_at_a_time() -> None:
    """The values of a million rows of a hundred columns, as bytes all at once, would take 5 GB."""
    rows, columns = 20_000, 12
    values = torch.arange(rows * columns, dtype=torch.float64).view(columns, rows)
    texts = np.array(["a", "b", None, "c"] * (rows // 4), dtype=object)
    storage = TableStorage({f"x{at}": values[at] for at in range(columns)}, {"site": texts})
    tracemalloc.start()
    keys = storage.keys()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * values.nbytes
    assert torch.equal(keys[-5000:], storage.select(torch.arange(rows - 5000, rows)).keys())
    assert len(keys.unique()) == rows


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["b", None, "b"], ["b", None, "b"]),
        ([3, None, 12], ["3", None, "12"]),
        ([3.0, float("nan"), 0.5], ["3", None, "0.5"]),
        ([True, None, False], ["True", None, "False"]),
        ([None, None, None], [None, None, None]),
        (pa.array(["b", None, "b"]).dictionary_encode(), ["b", None, "b"]),
    ],
)
def test_categories_are_texts_that_their_rows_share(tmp_path: Path, cells: list[Any], expected: list[str | None]) -> None:
    file = parquet(tmp_path / "a.parquet", kind=cells, age=[1, 2, 3], label=[0, 1, 0])
    storage = load_items(file, table=TableOptions(categorical=("kind",), nan="missing")).storage
    assert isinstance(storage, TableStorage)
    found = storage.categorical["kind"]
    assert found.tolist() == expected
    assert expected[0] != expected[2] or found[0] is found[2]


def test_numbers_that_float32_cannot_hold_are_refused_with_their_row(tmp_path: Path) -> None:
    """They became infinite: a column of zeros in the training data, and logits of NaN after the training in the test data."""
    file = tmp_path / "rows.csv"
    file.write_text("age,town,label\n40,a,0\n1e300,b,1\n")
    with pytest.raises(ValueError, match=r"column 'age': row 1 holds 1e\+300, which is infinite in float32"):
        load_items(file)
    file.write_text("age,town,label\n40,a,0.5\n41,b,1e300\n")
    with pytest.raises(ValueError, match=r"column 'label': row 1 holds 1e\+300, which is infinite in float32"):
        load_items(file, regression=True)
    pq.write_table(pa.table({"x": [[1.0, 2.0], [3.0, -1e39]], "label": [0, 1]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"column 'x': row 1 holds -1e\+39, which is infinite"):
        load_items(tmp_path / "x.parquet")
    file.write_text("age,town,label\n1e-9,a,0\n2e-9,b,1\n")
    encoder = TableEncoder.fit(load_items(file))
    assert encoder(load_items(file)).fetch(torch.arange(2)).isfinite().all()
    file.write_text("age,town,label\n1e-9,a,0\n3e38,b,1\n")
    with pytest.raises(ValueError, match=r"test data: column 'age': row 1 of these items holds 3e\+38, .* infinite in float32"):
        encoder(load_items(file), "test data")


def test_a_text_among_numbers_is_named_with_its_row(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("age,town,label\n40,a,0.5\nold,b,1\n41,b,\n")
    with pytest.raises(ValueError, match="column 'age': row 1 holds 'old', which is no number; leave the cell empty if"):
        load_items(file, regression=True, table=TableOptions(numeric=("age",)))
    file.write_text("age,town,label\n40,a,0.5\n39,b,high\n41,b,\n")
    with pytest.raises(ValueError, match="column 'label': row 1 holds 'high', which is no number; correct it"):
        load_items(file, regression=True)


def test_columns_that_are_no_features_are_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("age,town,when,label\n40,a,2020-01-01,0\n39,b,2020-01-02,1\n")
    with pytest.raises(ValueError, match=r"To read them as a table, leave out .*'when' holds date.*table: {exclude: \[when\]}"):
        load_items(file)
    assert len(load_items(file, table=TableOptions(exclude=("when",)))) == 2
