"""Text sampled from an actor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.source import BatchPosition, Observation, source
from limbeck.data.sources.own_samples import OwnSamples
from tests.data.sources.language_models import gpt2, llama


class Fixed(nn.Module):
    """Outputs the same next-token probabilities everywhere."""

    def __init__(self, probabilities: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(probabilities).log())
        self.dropout = nn.Dropout(0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        assert not self.training
        return self.logits.expand(*tokens.shape, -1)


def own(model: nn.Module, **options) -> OwnSamples:
    prompts = torch.arange(20).view(10, 2) % 3
    source = OwnSamples("student", prompts, **{"batch_size": 4, "new_tokens": 6, **options})
    source.bind({"student": model})
    return source


def test_samples_continue_prompts_and_the_mask_marks_them():
    batch = own(Fixed([0.5, 0.25, 0.25])).batch(BatchPosition(0))
    tokens = batch.inputs["default"]
    assert tokens.shape == (4, 8)
    assert torch.equal(tokens[:, :2], (torch.arange(20).view(10, 2) % 3)[batch.index])
    assert batch.mask.tolist() == [[0, 1, 1, 1, 1, 1, 1, 0]] * 4  # position i predicts token i + 1


def test_samples_follow_the_model_at_the_temperature():
    for temperature, expected in ((1.0, [0.7, 0.2, 0.1, 0]), (0.5, [0.49, 0.04, 0.01, 0])):
        source = own(Fixed([0.7, 0.2, 0.1, 0]), batch_size=10, new_tokens=400, temperature=temperature)
        tokens = source.batch(BatchPosition(0)).inputs["default"][:, 2:]
        shares = torch.bincount(tokens.flatten(), minlength=4) / tokens.numel()
        torch.testing.assert_close(shares, torch.tensor(expected) / sum(expected), rtol=0, atol=0.02)


def test_parts_of_samples_make_up_the_global_batch_and_modes_are_kept():
    model = Fixed([0.5, 0.25, 0.25]).train()
    model.dropout.eval()
    source = own(model)
    whole = source.batch(BatchPosition(0)).inputs["default"]
    pieces = [source.batch(BatchPosition(0, part=part, parts=2)).inputs["default"] for part in range(2)]
    assert torch.equal(torch.cat(pieces), whole)
    assert not torch.equal(source.batch(BatchPosition(1)).inputs["default"], whole)
    assert model.training
    assert not model.dropout.training


def test_unknown_and_unbound_actors_are_refused():
    with pytest.raises(ValueError, match="'student' is not among the actors: teacher"):
        OwnSamples("student", torch.zeros(2, 2)).bind({"teacher": nn.Identity()})
    with pytest.raises(ValueError, match="within a run only"):
        OwnSamples("student", torch.zeros(2, 2)).batch(BatchPosition(0))
    with pytest.raises(ValueError, match="temperature is 0"):
        OwnSamples("student", torch.zeros(2, 2), temperature=0)


PROMPTS = [[3, 4, 5], [6], [7, 8, 9, 10, 11], [12, 13], [14, 15, 16, 17]]


def language(model, prompts=PROMPTS, **options) -> OwnSamples:
    source = OwnSamples("student", prompts, **{"batch_size": 5, "new_tokens": 6, **options})
    source.bind({"student": model})
    return source


def test_prompts_of_any_length_are_continued_and_padded_on_the_right():
    batch = language(llama(), stop=range(3, 12)).batch(BatchPosition(0))
    inputs = batch.inputs["default"]
    ends = set()
    for row, tokens, real, mask in zip(batch.index, inputs["input_ids"], inputs["attention_mask"], batch.mask, strict=True):
        start, length = len(PROMPTS[row]), int(real.sum())
        assert tokens[:start].tolist() == PROMPTS[row]
        assert real.tolist() == [1] * length + [0] * (len(real) - length)
        assert mask.nonzero()[:, 0].tolist() == list(range(start - 1, length - 1))
        ends.add(int(tokens[length - 1]) in range(3, 12))
    assert ends == {True, False}  # some end with a stop token, some after six tokens
    assert inputs["attention_mask"].sum(1).max() == inputs["input_ids"].shape[1]  # no more padding than needed


def test_the_end_of_a_text_is_that_of_the_model():
    model = llama()
    unstopped = language(model, stop=(), new_tokens=20).batch(BatchPosition(0))
    assert unstopped.mask.sum(1).tolist() == [20.0] * 5
    model.generation_config.eos_token_id = list(range(25))
    assert language(model, new_tokens=20).batch(BatchPosition(0)).mask.sum() < 50


def test_plain_models_continue_prompts_of_any_length():
    batch = language(Fixed([0.0, 0.4, 0.3, 0.3]), [[1], [2, 3, 1], [3, 2]], stop=1).batch(BatchPosition(0))
    tokens = batch.inputs["default"]
    for row, text, mask in zip(batch.index, tokens, batch.mask, strict=True):
        start, length = (len([[1], [2, 3, 1], [3, 2]][row]), int(mask.sum()))
        sampled = text[start : start + length].tolist()
        assert 1 not in sampled[:-1]
        assert 0 not in sampled
        assert (text[start + length :] == 0).all()


def test_parts_of_samples_of_a_language_model_make_up_the_batch():
    source = language(gpt2(), PROMPTS + PROMPTS[:1], batch_size=6, stop=range(3, 12))
    whole = source.batch(BatchPosition(4))
    pieces = [source.batch(BatchPosition(4, part=part, parts=3)) for part in range(3)]
    assert torch.equal(torch.cat([piece.index for piece in pieces]), whole.index)
    texts = [row[real.bool()].tolist() for b in pieces for row, real in zip(*b.inputs["default"].values(), strict=True)]
    assert texts == [row[real.bool()].tolist() for row, real in zip(*whole.inputs["default"].values(), strict=True)]


def kept_run(source: OwnSamples, count: int, parts: int = 1, start: int = 0) -> list[list[list[int]]]:
    drawn = []
    for step in range(start, start + count):
        pieces = [source.batch(BatchPosition(step, part=part, parts=parts)) for part in range(parts)]
        drawn.append([row.tolist() for piece in pieces for row in piece.inputs["default"]])
        for _ in range(2):  # two updates on the same batch
            source.observe(Observation(None, None, {}, {}, (), 0.0))
    return drawn


def test_kept_samples_are_drawn_again_before_new_ones_are_made():
    source = own(Fixed([0.5, 0.25, 0.25]), keep=8, draws=3, new_tokens=12)
    drawn = kept_run(source, 12)
    fresh, again, third, following = (sorted(map(tuple, drawn[start] + drawn[start + 1])) for start in (0, 2, 4, 6))
    assert fresh == again == third
    assert len(set(fresh)) > 4
    assert drawn[0:2] != drawn[2:4]  # in another order
    assert fresh != following
    assert kept_run(own(Fixed([0.5, 0.25, 0.25]), keep=8, draws=3, new_tokens=12), 12, parts=2) == drawn


def test_kept_samples_are_part_of_the_state():
    whole, first, second = (own(Fixed([0.5, 0.25, 0.25]), keep=8) for _ in range(3))
    drawn = kept_run(whole, 9)
    for stop in (1, 3):
        first = first.fresh()
        first.bind({"student": Fixed([0.5, 0.25, 0.25])})
        kept_run(first, stop)
        second.load_state_dict(first.state_dict())
        assert kept_run(second, 9 - stop, start=stop) == drawn[stop:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_p": 0}, "top_p is 0; expected a probability above 0"),
        ({"top_k": 0}, "top_k is 0; expected 1 or more"),
        ({"new_tokens": 0}, "new_tokens is 0"),
        ({"draws": 0}, "draws is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"keep": 3, "batch_size": 4}, "keep is 3; expected at least the items of one batch, 4"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OwnSamples("student", PROMPTS, **options)


def test_prompts_that_the_model_cannot_continue_are_refused():
    with pytest.raises(
        ValueError, match="longest prompt has 5 tokens and new_tokens is 60, but actor 'student' has 64 positions"
    ):
        language(gpt2(), new_tokens=60)
    with pytest.raises(ValueError, match="the prompts hold token 17, but actor 'student' has 12 tokens"):
        language(gpt2(vocab_size=12))
    with pytest.raises(ValueError, match="an encoder and a decoder"):
        language(llama(is_encoder_decoder=True))


def test_a_recipe_names_it_and_reads_its_prompts():
    class Reader:
        def texts(self, data):
            assert data == {"path": "prompts.parquet", "label": False}
            return ["a bb ccc", "dd"]

        def tokenize(self, texts):
            return [[len(word) for word in text.split()] for text in texts]

    named = source({"own_samples": {"actor": "student", "prompts": "prompts.parquet", "keep": 2, "batch_size": 5}})
    assert (named.data, named.has_epochs, named.actors) == ({"path": "prompts.parquet", "label": False}, True, ("student",))
    named.load(Reader())
    assert (named.samples, named.batch_size, named.steps_per_epoch) == (2, 2, 1)


def test_a_view_shows_the_same_samples_behind_other_prompts():
    solutions = [[40, *row, 41] for row in reversed(PROMPTS)]
    for model in (llama(), Fixed([1 / 50] * 50)):
        batch = language(model, views={"solution": solutions}, stop=range(3, 12)).batch(BatchPosition(0))
        texts = [batch.inputs[view] for view in ("default", "solution")]
        ours, theirs = (each["input_ids"] if isinstance(each, dict) else each for each in texts)
        for item, row in enumerate(batch.index.tolist()):
            count = int(batch.mask[item].sum())
            start, other = len(PROMPTS[row]), len(solutions[row])
            assert theirs[item, :other].tolist() == solutions[row]
            assert torch.equal(theirs[item, other : other + count], ours[item, start : start + count])
            positions = batch.counted["solution"][item].nonzero()[:, 0].tolist()
            assert positions == list(range(other - 1, other + count - 1))


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"solution": PROMPTS[:3]}, "view 'solution' has 3 prompts for 5 prompts; give one for each"),
        ({"solution": [[]]}, r"views\.solution, row 0 is \[\], without any token"),
        ({"solution": {"input": "answer"}}, "view 'solution' names no path, and the prompts come from no file"),
        ({"default": PROMPTS}, "views hold 'default', which is the view of the prompts"),
    ],
)
def test_views_that_do_not_fit_the_prompts_are_refused(views, message):
    with pytest.raises(ValueError, match=message):
        OwnSamples("student", PROMPTS, views=views)


def test_a_view_may_be_another_column_of_the_file():
    file = {"path": "p.parquet", "input": "question", "limit": 3}
    views = {"solution": {"input": "answer"}, "other": {"path": "other.parquet"}, "third": "third.parquet"}
    source = OwnSamples("student", file, views=views)
    assert [prompts.data for prompts in source.views.values()] == [
        {"label": False, "path": "p.parquet", "input": "answer", "limit": 3},
        {"label": False, "path": "other.parquet"},
        {"label": False, "path": "third.parquet"},
    ]
