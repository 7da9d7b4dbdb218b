"""Samples that are made by inversion: rounds, memory, what changes and what does not, resume."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck import models
from limbeck.core.actors import frozen, trained
from limbeck.core.source import BatchPosition, Observation, source
from limbeck.core.terms import Term
from limbeck.data.sources import Pool, Synthesis
from limbeck.engine import Interrupted, Optimizer, Run, Stage, Update, steps
from limbeck.evaluation.training_curves import read_curves
from limbeck.objectives import HardTargets, SoftTargets
from tests.architecture.conftest import net, same, state
from tests.engine.training_runs import quiet

NOTHING = Observation(None, None, {}, {}, (), 0.0)
CLASSES, NUMBERS = 4, 6
SHOW = [{"hard_targets": {"student": "teacher"}}]


def pixels(count: int = 12) -> nn.Module:
    torch.manual_seed(0)
    return models.get("pixels", count=count, shape=[NUMBERS], low=-3, high=3)


def generator(count: int = 12) -> nn.Module:
    torch.manual_seed(0)
    return models.get("vector_generator", size=NUMBERS, latent=3, hidden=8, rows=count)


def bank(maker: nn.Module | None = None, terms: Any = SHOW, **options: Any) -> tuple[Synthesis, dict[str, nn.Module]]:
    """A source of samples that are to show their class to a small network."""
    named: dict[str, nn.Module] = {
        "teacher": net(seed=3).eval().requires_grad_(False),
        "student": net(4),
        "maker": maker or pixels(),
    }
    made = Synthesis("maker", terms, **{"targets": CLASSES, "steps": 30, "lr": 0.3, "batch_size": 8, **options})
    made.bind(named)
    return made, named


def samples(made: Synthesis) -> tuple[Tensor, Tensor]:
    kept = made.memory.rows(torch.arange(len(made.memory)))
    inputs = kept.inputs["default"]
    assert isinstance(inputs, Tensor)
    assert isinstance(kept.target, Tensor)
    return inputs, kept.target


def after(made: Synthesis, updates: int) -> Synthesis:
    for step in range(updates):
        made.batch(BatchPosition(step))
        made.observe(NOTHING)
    return made


@pytest.mark.parametrize("maker", [pixels, generator])
def test_samples_show_the_teacher_their_class_and_no_model_changes(maker: Any) -> None:
    made, named = bank(maker(), steps=60, generator_lr=0.05)
    before = {name: state(model) for name, model in named.items()}
    start = made.batch(BatchPosition(0))
    after(made, 1)
    inputs, labels = samples(made)
    assert sorted(labels.tolist()) == sorted(list(range(CLASSES)) * 3)
    untrained = F.cross_entropy(named["teacher"](start.inputs["default"]), start.target)
    assert float(F.cross_entropy(named["teacher"](inputs), labels)) < 0.7 * float(untrained)
    assert all(same(before[name], model) for name, model in named.items())
    assert all(p.grad is None for model in named.values() for p in model.parameters())


def test_what_had_the_least_loss_is_kept_as_it_was_then() -> None:
    made, named = bank(lr=40.0, steps=12)  # so fast that the loss rises again
    after(made, 1)
    inputs, labels = samples(made)
    found = F.cross_entropy(named["teacher"](inputs), labels)
    torch.testing.assert_close(float(found), made.losses["loss"], rtol=1e-4, atol=1e-6)
    (again,) = (bank(lr=40.0, steps=count)[0] for count in (4,))
    after(again, 1)
    assert made.losses["loss"] <= again.losses["loss"]


def test_rounds_come_before_the_second_update_and_then_every_so_many() -> None:
    made, _ = bank(ahead=2, every=3, rounds=4, steps=1)
    found = []
    for step in range(12):
        made.batch(BatchPosition(step))
        made.observe(NOTHING)
        found.append(made.rounds_made)
    assert found == [2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4]
    assert len(made.memory) == 48


def test_the_first_batch_is_of_untrained_samples_and_trying_it_out_makes_nothing() -> None:
    made, _ = bank()
    first = [made.batch(BatchPosition(0)).inputs["default"] for _ in range(2)]
    assert torch.equal(*first)
    assert (made.rounds_made, len(made.memory)) == (0, 0)
    made.observe(NOTHING)
    inputs, labels = samples(made)
    batch = made.batch(BatchPosition(1))
    assert batch.size == 8
    assert batch.target is not None
    rows = [int((inputs == row).all(1).nonzero()[0]) for row in batch.inputs["default"]]
    assert torch.equal(batch.target, labels[rows])
    parts = [made.batch(BatchPosition(1, part=part, parts=2)).inputs["default"] for part in range(2)]
    assert torch.equal(torch.cat(parts), batch.inputs["default"])


def test_each_round_starts_anew_but_a_meta_generator_is_carried_on() -> None:
    share = 0.25
    for meta in (None, share):
        made, _ = bank(generator(), meta=meta, steps=5, every=1)
        after(made, 1)
        maker = made._bound.maker
        first = state(maker)
        captured: dict[str, Tensor] = {}
        run = made._bound.run

        def watched(*args: Any, run: Any = run, captured: Any = captured, maker: Any = maker, **options: Any) -> Any:
            captured |= {f"start {name}": value for name, value in state(maker).items()}
            found = run(*args, **options)
            captured |= {f"end {name}": value for name, value in state(maker).items()}
            return found

        made._bound.run = watched  # type: ignore[method-assign]
        made.batch(BatchPosition(1))
        made.observe(NOTHING)
        weight, latents = "layers.0.weight", "latents.table.weight"
        assert not torch.equal(captured[f"start {latents}"], first[latents])
        assert torch.equal(captured[f"start {weight}"], first[weight]) is (meta is not None)
        if meta is not None:
            expected = first[weight] + share * (captured[f"end {weight}"] - first[weight])
            torch.testing.assert_close(maker.state_dict()[weight], expected)


def test_the_student_is_part_of_the_terms_as_it_is_then() -> None:
    apart = [{"disagreement": {"distance": "l1", "weight": -1}}]
    made, named = bank(terms=apart, targets=None, steps=60)
    start = made.batch(BatchPosition(0)).inputs["default"]
    made.observe(NOTHING)
    inputs = made.memory.rows(torch.arange(12)).inputs["default"]

    @torch.no_grad()
    def difference(x: Any) -> float:
        return float((named["teacher"](x) - named["student"].eval()(x)).abs().mean())

    assert difference(inputs) > 1.2 * difference(start)


def test_targets_of_a_dirichlet_distribution_lie_around_each_class() -> None:
    made, _ = bank(
        pixels(40),
        targets={"dirichlet": {"scales": [0.1]}},
        terms=[{"class_impression": {"student": "teacher", "temperature": 2}}],
    )
    after(made, 1)
    _, targets = samples(made)
    torch.testing.assert_close(targets.sum(1), torch.ones(40))
    own = targets[torch.arange(40), torch.arange(40) % CLASSES]
    assert float(own.mean()) > 1.3 / CLASSES
    assert targets.max() < 1.0 + 1e-6


def job(made: Synthesis, folder: Any = None, count: int = 9, stop: int | None = None) -> Run:
    actors = {"teacher": frozen(net(seed=3)), "student": trained(net(4)), "maker": frozen(pixels())}
    stage = Stage([Update([Term(SoftTargets())], source=made)], steps(count), Optimizer("adam", lr=1e-2))
    return Run(actors, [stage], seed=1, settings=quiet(checkpoint_every=5), folder=folder)


def test_a_resumed_run_makes_the_same_samples(tmp_path: Any) -> None:
    def fresh() -> Synthesis:
        return Synthesis("maker", [*SHOW], targets=CLASSES, steps=4, every=2, batch_size=8)

    whole = job(fresh()).fit()
    stopped = job(fresh(), tmp_path)
    stopped.interrupt.requested = False
    observe = stopped.sources[0].observe

    def stop_after_five(observation: Observation) -> None:
        observe(observation)
        stopped.interrupt.requested = stopped.clock.step >= 4

    stopped.sources[0].observe = stop_after_five  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        stopped.fit()
    resumed = job(fresh(), tmp_path).fit(resume=True)
    assert same(state(whole.actors["student"].model), resumed.actors["student"].model)
    ours, theirs = (run.sources[0] for run in (resumed, whole))
    assert isinstance(ours, Synthesis)
    assert isinstance(theirs, Synthesis)
    assert ours.rounds_made == theirs.rounds_made == 5
    assert torch.equal(samples(ours)[0], samples(theirs)[0])


def test_the_losses_of_rounds_that_are_not_logged_yet_are_in_the_checkpoint() -> None:
    def fresh() -> Synthesis:
        return Synthesis("maker", [*SHOW], targets=CLASSES, steps=4, every=2, batch_size=8)

    made, again = fresh(), fresh()
    made._unread = [{"loss": 1.0}, {"loss": 3.0}]
    again.load_state_dict({**made.state_dict(), "criterion": {}, "maker": {}})
    assert {name: float(value) for name, value in again.read_losses().items()} == {"maker.loss": 2.0}
    assert not again.read_losses()


def test_the_terms_of_its_rounds_are_in_the_log(tmp_path: Any) -> None:
    made = Synthesis("maker", [*SHOW], targets=CLASSES, steps=4, ahead=2, every=2, batch_size=8)
    run = Run(
        {"teacher": frozen(net(seed=3)), "student": trained(net(4)), "maker": frozen(pixels())},
        [Stage([Update([Term(SoftTargets())], source=Pool(made))], steps(4), Optimizer("adam", lr=1e-2))],
        settings=quiet(log_every=1),
        folder=tmp_path,
    )
    (pool,) = run.sources
    assert isinstance(pool, Pool)
    source = pool.origin
    assert isinstance(source, Synthesis)
    rounds: list[float] = []
    make = source._make

    def noted(autocast: torch.dtype | None) -> None:
        make(autocast)
        rounds.append(source.losses["hard_targets"])

    source._make = noted  # type: ignore[method-assign]
    run.fit()
    training, _ = read_curves(tmp_path / "log.jsonl")
    (curve,) = training["maker.hard_targets"].values()
    assert len(rounds) == 3
    assert curve == pytest.approx({1: sum(rounds[:2]) / 2, 3: rounds[2]})  # with the update that a round follows
    assert set(training) == {"soft_targets", "loss", "maker.hard_targets", "maker.loss"}


def test_a_fresh_source_has_made_nothing() -> None:
    made, _ = bank()
    after(made, 1)
    again = made.fresh()
    assert isinstance(again, Synthesis)
    assert (again.rounds_made, len(again.memory), again.losses) == (0, 0, {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"terms": []}, r"terms is \[\]"),
        ({"terms": ["one_hott"]}, "unknown objective 'one_hott'; nearest: one_hot"),
        ({"terms": [{"one_hot": {"studnt": "teacher"}}]}, "studnt"),
        ({"terms": SHOW, "steps": 0}, "steps is 0"),
        ({"terms": SHOW, "batch_size": 10**9}, "batch_size is 1,000,000,000; expected at most 1,000,000"),
        ({"terms": SHOW, "lr": 0}, "lr is 0"),
        ({"terms": SHOW, "meta": 2}, "meta is 2"),
        ({"terms": SHOW, "targets": 1}, "classes is 1"),
        ({"terms": SHOW, "targets": {"dirichlet": {"scales": []}}}, r"scales is \[\]"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        source({"synthesis": {"actor": "maker", **arguments}})


def test_an_actor_without_rows_and_a_teacher_without_the_layer_are_refused() -> None:
    with pytest.raises(ValueError, match="'maker' is Sequential, which has no rows"):
        bank(net())
    with pytest.raises(ValueError, match=r"layer is 'head'; expected the path of a linear layer .* Its linear layers: 0 .* 3 "):
        bank(targets={"dirichlet": {"layer": "head"}})
    with pytest.raises(ValueError, match="unknown tap 'nowhere'"):
        bank(terms=[Term(HardTargets(), student="teacher:nowhere")])


class Noting(nn.Module):
    """Notes the data types of its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.found = net(seed=3), set[torch.dtype]()

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.net(inputs)
        self.found.add(outputs.dtype)
        return outputs


@pytest.mark.parametrize(("precision", "expected"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
@pytest.mark.parametrize("maker", [pixels, generator])
def test_rounds_compute_in_the_precision_of_the_run(maker: Any, precision: str, expected: torch.dtype) -> None:
    teacher, images = Noting(), Synthesis("maker", SHOW, targets=CLASSES, steps=2, every=1, batch_size=8)
    actors = {"teacher": frozen(teacher), "student": trained(net(4)), "maker": frozen(maker())}
    run = Run(actors, [Stage([Update([Term(SoftTargets())], source=images)], steps(3))], settings=quiet(precision=precision))
    run.advance(1)
    teacher.found.clear()  # of models that were tried out
    run.advance(1)
    source = run.updates[0].source
    assert isinstance(source, Synthesis)
    assert source.rounds_made == 2
    assert teacher.found == {expected}
    assert samples(source)[0].dtype is torch.float32


def test_batches_show_what_is_kept_in_views() -> None:
    images = models.get("pixels", count=6, shape=[1, 8, 8])
    named = {"teacher": nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))}
    plain, viewed = (
        Synthesis("maker", SHOW, targets=CLASSES, steps=1, batch_size=8, view=view) for view in ((), ["horizontal_flip"])
    )
    for each in (plain, viewed):
        each.bind({**named, "maker": images})
        after(each, 1)
    one, other = (each.batch(BatchPosition(5)).inputs["default"] for each in (plain, viewed))
    assert isinstance(one, Tensor)
    assert isinstance(other, Tensor)
    flipped = (other == one.flip(-1)).flatten(1).all(1)
    assert 0 < int(flipped.sum()) < 8
    assert torch.equal(other[~flipped], one[~flipped])
    parts = [viewed.batch(BatchPosition(5, part=part, parts=2)).inputs["default"] for part in range(2)]
    assert torch.equal(torch.cat(parts), other)


def test_views_that_mix_or_are_unknown_are_refused() -> None:
    for view, message in ((["mixup"], "single images"), (["nonsense"], "unknown transform")):
        with pytest.raises(ValueError, match=message):
            Synthesis("maker", SHOW, view=view)
