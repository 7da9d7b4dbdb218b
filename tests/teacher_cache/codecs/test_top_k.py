from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from limbeck.core.signals import TopK
from limbeck.objectives import SoftTargets
from limbeck.teacher_cache import Codec, RaggedTopK, SignalError, StoreError, TopKCodec
from limbeck.teacher_cache.codecs.row_table import RowTable, concat_tables
from limbeck.teacher_cache.codecs.top_k import to_top_k


def through(codec: Codec, signal: Tensor | TopK) -> TopK:
    decoded = codec.decode(RowTable.from_tensors(codec.encode(signal).tensors()))
    assert isinstance(decoded, TopK)
    return decoded


def logits(rows: int, classes: int, sharpness: float, seed: int) -> Tensor:
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed)) * sharpness


def divergence(given: TopK, stored: TopK) -> Tensor:
    """KL(given ‖ stored) over the support and the tail, in float64."""
    p, q = (torch.cat([part.values, part.tail.unsqueeze(1)], 1).double() for part in (given, stored))
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(1)


sizes = st.sampled_from([(1, 1), (2, 1), (2, 2), (10, 3), (10, 10), (100, 16), (1000, 16), (1000, 64)])
sharpness = st.sampled_from([0.0, 0.01, 1.0, 4.0, 20.0, 100.0])


@settings(deadline=None)
@given(sizes, sharpness, st.sampled_from(["steps", "fp16", "fp32"]), st.integers(0, 2**32))
def test_the_stored_distribution_is_the_given_one(size: tuple[int, int], sharpness: float, values: str, seed: int) -> None:
    classes, k = size
    z = logits(8, classes, sharpness, seed)
    exact, stored = to_top_k(z, k, classes), through(TopKCodec(k, classes, values), z)  # type: ignore[arg-type]
    assert torch.equal(stored.indices, exact.indices)
    assert bool((divergence(exact, stored) <= {"steps": 5e-4 + k * 1.3e-7, "fp16": 1e-4, "fp32": 1e-6}[values]).all())
    torch.testing.assert_close(stored.values.sum(1) + stored.tail, torch.ones(8), rtol=0, atol=1e-5)
    first = torch.zeros(8, classes).scatter(1, stored.indices, stored.values).argmax(1)
    assert torch.equal(first, stored.indices[:, 0])
    assert (
        torch.equal(first, z.argmax(1)) if sharpness else torch.equal(z.gather(1, first.unsqueeze(1)), z.amax(1, keepdim=True))
    )


@pytest.mark.parametrize("values", ["steps", "fp16"])
def test_rounding_keeps_the_order(values: str) -> None:
    z = torch.linspace(0, 0.01, 50).repeat(3, 1)
    stored = through(TopKCodec(50, 50, values), z)  # type: ignore[arg-type]
    assert bool((stored.values.diff(dim=1) < 0).all())


def test_equal_probabilities_keep_the_lower_class_first() -> None:
    given = TopK(torch.full((1, 4), 0.25), torch.tensor([[3, 1, 2, 0]]), torch.zeros(1))
    assert through(TopKCodec(4, 4), given).indices.tolist() == [[0, 1, 2, 3]]


def test_fp32_is_exact_and_an_unordered_support_is_ordered() -> None:
    given = TopK(torch.tensor([[0.1, 0.5, 0.2]]), torch.tensor([[7, 3, 9]]), torch.tensor([0.2]))
    stored = through(TopKCodec(3, 10, "fp32"), given)
    assert (stored.values.tolist(), stored.indices.tolist()) == (given.values[:, [1, 2, 0]].tolist(), [[3, 9, 7]])
    assert torch.equal(stored.tail, given.tail)


@pytest.mark.parametrize("values", ["steps", "fp16", "fp32"])
def test_a_zero_tail_stays_zero_and_a_small_one_stays(values: str) -> None:
    for tail in (0.0, 1e-6, 0.5):
        given = TopK(torch.tensor([[0.75, 0.25]]) * (1 - tail), torch.tensor([[0, 1]]), torch.tensor([tail]))
        stored = through(TopKCodec(2, 5, values), given)  # type: ignore[arg-type]
        assert float(stored.tail) == pytest.approx(tail, rel=0.04)
    zero = TopK(torch.tensor([[1.0, 0.0]]), torch.tensor([[4, 1]]), torch.zeros(1))
    assert through(TopKCodec(2, 5, values), zero).values.tolist() == [[1.0, 0.0]]  # type: ignore[arg-type]


@pytest.mark.parametrize("codec", [TopKCodec(3, 10), RaggedTopK(0.9, 3, 10)])
def test_an_empty_batch(codec: Codec) -> None:
    stored = through(codec, torch.zeros(0, 10))
    assert len(stored.values) == len(stored.indices) == len(stored.tail) == 0


def test_a_vocabulary_above_two_to_the_seventeen_keeps_its_indices() -> None:
    given = TopK(torch.tensor([[0.5, 0.4]]), torch.tensor([[151_935, 131_072]]), torch.tensor([0.1]))
    assert through(TopKCodec(2, 151_936), given).indices.tolist() == [[151_935, 131_072]]


@settings(deadline=None)
@given(st.floats(0.01, 1), st.integers(1, 40), sharpness, st.sampled_from(["steps", "fp16", "fp32"]), st.integers(0, 2**32))
@example(1.0, 40, 0.01, "steps", 0)
def test_ragged_keeps_the_fewest_entries_of_a_mass(mass: float, bound: int, sharpness: float, values: str, seed: int) -> None:
    z = logits(6, 40, sharpness, seed)
    codec = RaggedTopK(mass, bound, 40, values)  # type: ignore[arg-type]
    exact, stored = to_top_k(z, bound, 40), through(codec, z)
    counts = ((exact.values.cumsum(1) - exact.values < mass) & (exact.values > 0)).sum(1).clamp_min(1)
    assert stored.values.shape[1] == int(counts.max())
    for row, count in enumerate(counts.tolist()):
        assert torch.equal(stored.indices[row, :count], exact.indices[row, :count])
        assert bool((stored.values[row, count:] == 0).all())
        assert float(exact.values[row, :count].sum()) >= min(mass, float(exact.values[row].sum())) - 1e-5
        kept = TopK(
            exact.values[row : row + 1, :count],
            exact.indices[row : row + 1, :count],
            torch.zeros(1) if count == 40 else 1 - exact.values[row : row + 1, :count].sum(1),  # all classes leave nothing
        )
        got = TopK(stored.values[row : row + 1, :count], stored.indices[row : row + 1, :count], stored.tail[row : row + 1])
        assert float(divergence(TopK(kept.values, kept.indices, kept.tail.clamp_min(0)), got)) <= 6e-4


def test_padding_entries_change_no_loss() -> None:
    z = torch.tensor([[9.0, 0, 0, 0, 0], [1.0, 0.9, 0.8, 0, 0]])
    codec, student = RaggedTopK(0.8, 5, 5, "fp32"), logits(2, 5, 1.0, 3)
    together = SoftTargets(temperature=1)(student, through(codec, z))
    alone = [SoftTargets(temperature=1)(student[i : i + 1], through(codec, z[i : i + 1])) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert [through(codec, z[i : i + 1]).values.shape[1] for i in range(2)] == [1, 4]


def test_batches_of_other_widths_are_concatenated() -> None:
    codec = RaggedTopK(0.9, 20, 50)
    z = torch.cat([logits(3, 50, 9.0, 0), logits(3, 50, 0.1, 1)])
    joined = concat_tables([codec.encode(z[:3]), codec.encode(z[3:])])
    assert torch.equal(codec.decode(joined).values, through(codec, z).values)


@pytest.mark.parametrize("codec", [TopKCodec(2, 5), RaggedTopK(0.9, 2, 5)])
def test_bad_signals_are_refused_by_row(codec: Codec) -> None:
    good = TopK(torch.tensor([[0.6, 0.3]] * 3), torch.tensor([[0, 1]] * 3), torch.full((3,), 0.1))
    for what, field, value in (
        ("NaN or infinity", "values", float("nan")),
        ("a class index outside 0 to 4", "indices", 5),
        ("a class index outside 0 to 4", "indices", -1),
        ("no probabilities", "values", 4.0),
        ("no probabilities", "values", -0.2),
    ):
        tensors = {name: getattr(good, name).clone() for name in ("values", "indices", "tail")}
        tensors[field][1, 1] = value
        with pytest.raises(SignalError, match=what) as caught:
            codec.encode(TopK(**tensors))
        assert caught.value.row == 1
    z = torch.zeros(3, 5)
    z[2, 0] = float("inf")
    with pytest.raises(SignalError, match="NaN or infinity") as caught:
        codec.encode(z)
    assert caught.value.row == 2


def test_bad_shapes_and_settings_are_refused() -> None:
    with pytest.raises(StoreError, match=r"expected logits \[B, 5\], found torch.float32 \[2, 6\]"):
        TopKCodec(2, 5).encode(torch.zeros(2, 6))
    with pytest.raises(StoreError, match="expected 3 entries per item, found 2"):
        TopKCodec(3, 5).encode(TopK(torch.tensor([[0.6, 0.3]]), torch.tensor([[0, 1]]), torch.tensor([0.1])))
    for build, message in (
        (lambda: TopKCodec(0, 5), "k: expected 1 to 5"),
        (lambda: TopKCodec(6, 5), "k: expected 1 to 5"),
        (lambda: TopKCodec(2, 2**18 + 1), "classes: expected 1 to 262,144"),
        (lambda: TopKCodec(2, 5, "int4"), "values: expected steps, fp16, fp32"),  # type: ignore[arg-type]
        (lambda: RaggedTopK(0.0, 2, 5), "mass: expected more than 0"),
        (lambda: RaggedTopK(0.5, 9, 5), "bound: expected 1 to 5"),
    ):
        with pytest.raises(ValueError, match=message):
            build()
