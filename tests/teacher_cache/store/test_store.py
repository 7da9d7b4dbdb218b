from __future__ import annotations

import copy
import multiprocessing
from pathlib import Path

import pytest
import torch

from limbeck.core.signals import TopK
from limbeck.teacher_cache import CorruptFileError, ScaledInt8, Store, StoreError, TokenSignals, TopKCodec
from tests.teacher_cache import examples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("store")
    examples.build(place, examples.keys(90)[:60], 3, examples.CODECS, examples.signals)
    examples.build(place, examples.keys(90), 3, examples.CODECS, examples.signals)  # a second segment
    return place


def test_samples_and_views_are_read_in_any_order(folder: Path) -> None:
    store, keys = Store.open(folder), examples.keys(90)
    places, views = torch.randint(0, 90, (40,)), torch.randint(0, 3, (40,))
    got = store.read(keys[places], views).signals
    for row, (place, view) in enumerate(zip(places.tolist(), views.tolist(), strict=True)):
        want = examples.signals(keys[place : place + 1], view)
        assert torch.equal(got["logits"][row : row + 1], want["logits"].half().float())  # type: ignore
        assert torch.equal(got["layer3"][row : row + 1], ScaledInt8().decode(ScaledInt8().encode(want["layer3"])))  # type: ignore
        top, exact = got["top"], TopKCodec(4, 10).decode(TopKCodec(4, 10).encode(want["top"]))
        assert isinstance(top, TopK)
        assert torch.equal(top.values[row : row + 1], exact.values)
        assert torch.equal(top.indices[row : row + 1], exact.indices)
    text = got["text"]
    assert isinstance(text, TokenSignals)
    assert isinstance(text.signal, TopK)
    assert torch.equal(text.lengths, keys[places].remainder(4))
    assert len(text.signal.values) == int(text.lengths.sum())


def test_missing_rows_are_reported_and_left_out(folder: Path) -> None:
    store, keys = Store.open(folder), examples.keys(90)
    wanted = torch.cat([keys[:2], torch.tensor([0, -(2**63), 2**63 - 1]), keys[2:4]])
    views = torch.tensor([0, 3, 0, 0, 0, -1, 2])
    result = store.read(wanted, views, ["logits"])
    assert result.found.tolist() == [True, False, False, False, False, False, True]
    want = torch.cat([examples.drawn(keys[:1], 0, 0, 10), examples.drawn(keys[3:4], 2, 0, 10)])
    assert torch.equal(result.signals["logits"], want.half().float())  # type: ignore[arg-type]


def test_an_empty_batch(folder: Path) -> None:
    for keys in (torch.zeros(0, dtype=torch.int64), torch.tensor([1, 2])):
        result = Store.open(folder).read(keys, 0)
        assert set(result.signals) == set(examples.CODECS)
        assert result.signals["layer3"].shape == (0, 2, 3, 3)  # type: ignore[union-attr]
        assert not bool(result.found.any())


def test_taps_are_chosen_by_name(folder: Path) -> None:
    store = Store.open(folder)
    assert set(store.read(examples.keys(90)[:3], 0, ["top"]).signals) == {"top"}
    with pytest.raises(StoreError, match=r"no signal of tap 'layer4'; the store holds layer3, logits, text, top"):
        store.read(examples.keys(90)[:3], 0, ["layer4"])


def test_read_ahead_returns_the_result_of_read(folder: Path) -> None:
    store, keys = Store.open(folder), examples.keys(90)
    futures = [store.read_ahead(part, 1, ["logits"]) for part in keys.split(20)]
    for part, future in zip(keys.split(20), futures, strict=True):
        assert torch.equal(future.result().signals["logits"], store.read(part, 1, ["logits"]).signals["logits"])  # type: ignore
    with pytest.raises(StoreError, match="layer4"):
        store.read_ahead(keys, 0, ["layer4"]).result()


def test_a_small_memory_budget_changes_no_signal(folder: Path) -> None:
    keys = examples.keys(90)
    roomy, tight = Store.open(folder), Store.open(folder, resident=0)
    for view in range(3):
        one, other = (store.read(keys, view, ["logits"]).signals["logits"] for store in (roomy, tight))
        assert torch.equal(one, other)  # type: ignore[arg-type]


def _sum(store: Store) -> float:
    return float(store.read(examples.keys(90), 1, ["logits"]).signals["logits"].sum())  # type: ignore[union-attr]


def test_several_processes_read_at_once(folder: Path) -> None:
    store = Store.open(folder)
    expected = _sum(store)
    store.read_ahead(examples.keys(90), 0).result()
    with multiprocessing.get_context("fork").Pool(2) as pool:  # data loaders fork; others start anew and open it again
        assert pool.map(_sum, [store, store]) == [expected, expected]


def test_a_copied_store_is_opened_again(folder: Path) -> None:
    assert _sum(copy.copy(Store.open(folder))) == _sum(Store.open(folder))  # as a process that starts anew does it


def test_only_files_that_are_read_are_verified(tmp_path: Path) -> None:
    keys = examples.keys(50)
    examples.build(tmp_path, keys, views=2)
    path = tmp_path / "segments/000/0001-00000.safetensors"
    path.unlink()
    store = Store.open(tmp_path)
    store.read(keys, 0)
    with pytest.raises(CorruptFileError, match=r"0001-00000.safetensors: the file is missing"):
        store.read(keys, 1)
    with pytest.raises(CorruptFileError, match=r"0001-00000.safetensors: the file is missing"):
        store.read_ahead(keys, 1).result()


def test_corrupt_keys_are_found_before_the_first_lookup(tmp_path: Path) -> None:
    keys = examples.keys(50)
    examples.build(tmp_path, keys)
    path = tmp_path / "segments/000/keys.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CorruptFileError, match=r"keys.safetensors.*checksum differs"):
        Store.open(tmp_path).has(keys, 0)
