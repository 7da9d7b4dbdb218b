"""Replay buffers and banks of generated images."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.actors import frozen, trained
from limbeck.core.source import BatchPosition, Observation, named_sources, source
from limbeck.core.terms import Term
from limbeck.data.sources import Generated, Pool
from limbeck.engine import Interrupted, Optimizer, Run, Stage, Update, steps
from limbeck.objectives import LogitMSE, SoftTargets
from tests.architecture.conftest import Blobs, net, same, state
from tests.engine.training_runs import quiet

NOTHING = Observation(None, None, {}, {}, (), 0.0)


def after(pool: Pool, count: int) -> Pool:
    """The pool after so many updates."""
    for step in range(count):
        pool.batch(BatchPosition(step))
        pool.observe(NOTHING)
    return pool


def replay(**options) -> Pool:
    pool = Pool(Blobs(), **options)
    pool.bind({})
    return pool


def images(**options) -> tuple[Pool, nn.Module]:
    generator = net(4, features=5, classes=6)
    pool = Pool(Generated("generator", batch_size=8, noise=5), **options)
    pool.bind({"generator": generator})
    return pool, generator


def test_a_batch_holds_new_items_and_earlier_ones():
    pool = replay(size=64, batch_size=12, fresh_share=0.25)
    first = pool.batch(BatchPosition(0))
    assert torch.equal(first.index, Blobs().batch(BatchPosition(0)).index[:12])  # the memory is empty
    pool.observe(NOTHING)
    second = pool.batch(BatchPosition(1))
    assert torch.equal(second.index[:3], Blobs().batch(BatchPosition(1)).index[:3])
    assert set(second.index[3:].tolist()) <= set(first.index.tolist())
    assert len(set(second.index[3:].tolist())) == 9
    assert torch.equal(second.inputs["default"], pool.of.x[second.index])
    assert torch.equal(second.target, pool.of.y[second.index])
    assert len(after(pool, 30).memory) == 64
    assert (pool.samples, pool.steps_per_epoch, pool.has_epochs) == (256, 16, True)


def test_a_batch_may_be_larger_than_those_of_its_source():
    pool = replay(batch_size=40)
    index = pool.batch(BatchPosition(0)).index
    assert len(index) == 40
    assert torch.equal(index[:16], Blobs().batch(BatchPosition(0)).index)
    assert len(set(index[16:32].tolist()) - set(index[:16].tolist())) > 8
    assert replay().batch(BatchPosition(0)).size == 16


def test_trying_a_batch_out_changes_nothing():
    pool, tried = replay(), replay()
    for step in range(4):
        for position in (step, step, 7):
            tried.batch(BatchPosition(position))
        ours, theirs = (each.batch(BatchPosition(step)) for each in (pool, tried))
        assert torch.equal(ours.index, theirs.index)
        for each in (pool, pool, tried):
            each.observe(NOTHING)  # twice for one batch: the second adds nothing
    assert pool.memory.seen == tried.memory.seen == 16 + 3 * 8


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_make_up_the_global_batch(parts):
    (whole, _), (cut, _) = images(batch_size=8), images(batch_size=8)
    for step in range(5):
        pieces = [cut.batch(BatchPosition(step, part=part, parts=parts)).inputs["default"] for part in range(parts)]
        assert torch.equal(torch.cat(pieces), whole.batch(BatchPosition(step)).inputs["default"])
        whole.observe(NOTHING)
        cut.observe(NOTHING)
    with pytest.raises(ValueError, match="8 items cannot be cut into 3"):
        cut.batch(BatchPosition(9, parts=3))


def test_the_generator_makes_its_inputs_when_they_are_drawn():
    pool, generator = images(fresh_share=1)
    generator.train()
    before = state(generator)
    z = Generated("generator", batch_size=8, noise=5).batch(BatchPosition(0)).inputs["default"]
    first = pool.batch(BatchPosition(0)).inputs["default"]
    assert pool.generator is None  # the batches are the inputs
    assert pool.actors == ("generator",)
    assert generator.training
    assert same(before, generator)
    torch.testing.assert_close(first, generator.eval()(z).detach())
    assert not first.requires_grad
    with torch.no_grad():
        generator[0].weight.add_(1)
    assert not torch.equal(pool.batch(BatchPosition(0)).inputs["default"], first)


def adversarial(folder=None, pool_size: int = 64, **options) -> Run:
    noise = Generated("generator", batch_size=16, noise=5)
    bank = Pool(noise, size=pool_size, keep="random", batch_size=32)
    actors = {"teacher": frozen(net(16)), "student": trained(net(8)), "generator": trained(net(12, features=5, classes=6))}
    stage = Stage(
        [
            Update([Term(LogitMSE(), weight=-1)], trains="generator", source=noise),
            Update([Term(SoftTargets(temperature=1))], source=bank, repeat=2, fresh=True),
        ],
        steps(8),
        Optimizer("sgd", lr=0.05),
    )
    return Run(actors, [stage, stage], folder=folder, settings=quiet(checkpoint_every=3, **options))


@pytest.mark.parametrize("stage", [0, 1])
def test_a_run_with_a_bank_of_images_resumes_bit_for_bit(tmp_path, stage):
    whole = adversarial().fit()
    bank = whole.stages[0].updates[1].source
    assert bank.memory.seen == 32 + (2 * 16 - 1) * 16
    stopped = adversarial(tmp_path)

    def draw(position, batch=stopped.stages[0].updates[1].source.batch):
        if (stopped.clock.stage, stopped.clock.step) == (stage, 4):
            stopped.interrupt.requested = True
        return batch(position)

    stopped.stages[0].updates[1].source.batch = draw
    with pytest.raises(Interrupted):
        stopped.fit()
    resumed = adversarial(tmp_path).fit(resume=True)
    for name in ("student", "generator"):
        assert same(state(whole.actors[name].model), resumed.actors[name].model)
    again = resumed.stages[0].updates[1].source
    rows = torch.arange(64)
    assert torch.equal(bank.memory.rows(rows).inputs["default"], again.memory.rows(rows).inputs["default"])


def test_a_fresh_pool_is_empty():
    pool = after(replay(size=32), 3)
    again = pool.fresh()
    again.bind({})
    assert len(pool.memory) == 32
    assert len(again.memory) == 0
    assert again.memory.size == 32
    assert again.origin is not pool.origin


def test_pools_of_a_recipe_name_a_source():
    named = named_sources(
        {
            "bank": {"pool": {"of": "noise", "size": 100}},
            "noise": {"generated": {"actor": "generator", "noise": [3, 2]}},
            "own": {"pool": {"of": {"generated": {"actor": "generator"}}}},
            "twice": {"pool": {"of": "bank"}},
        }
    )
    assert named["bank"].of is named["noise"]
    assert named["twice"].of is named["bank"]
    assert named["own"].actors == named["twice"].actors == ("generator",)
    assert not named["twice"].has_epochs
    assert named["twice"].fresh().origin.origin.noise == (3, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "of is None; name the source"),
        ({"of": None}, "of is None; name the source"),
        ({"of": ""}, "of is ''; name the source"),
        ({"of": {"genreated": {}}}, "unknown source 'genreated'; nearest: generated"),
        ({"of": "noise", "size": 0}, "size is 0; expected 1 or more"),
        ({"of": "noise", "batch_size": -1}, "batch_size is -1"),
        ({"of": "noise", "fresh_share": 0}, "fresh_share is 0; expected a share above 0"),
        ({"of": "noise", "keep": "oldest"}, "keep is 'oldest'; expected newest or random"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        source({"pool": arguments})


@pytest.mark.parametrize(
    ("pools", "message"),
    [
        ({"a": "nois"}, "unknown source 'nois'; nearest: noise"),
        ({"a": "a"}, "pool: of is 'a', which keeps items of this pool"),
        ({"a": "b", "b": "a"}, "pool: of is 'b', which keeps items of this pool"),
    ],
)
def test_pools_of_unknown_sources_and_of_each_other_are_refused(pools, message):
    sources = {name: {"pool": {"of": of}} for name, of in pools.items()}
    with pytest.raises(ValueError, match=rf"sources\.a: {message}"):
        named_sources({**sources, "noise": {"generated": {"actor": "g"}}})


def test_pools_that_are_not_ready_say_so():
    with pytest.raises(ValueError, match="of is 'noise', the name of a source of a recipe"):
        Pool("noise").batch(BatchPosition(0))
    with pytest.raises(ValueError, match="within a run only"):
        Pool(Generated("g")).batch(BatchPosition(0))
