"""Runs on a language model's own samples: they train, and resume bit for bit wherever they were stopped."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.actors import frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.source import BatchPosition
from limbeck.core.terms import Term
from limbeck.data.sources import OwnSamples
from limbeck.engine import Interrupted, Optimizer, Run, Stage, Update, steps
from limbeck.objectives import SoftTargets
from tests.architecture.conftest import same, state
from tests.data.sources.language_models import gpt2, llama
from tests.engine.training_runs import quiet

PROMPTS = [[3, 4, 5], [6], [7, 8, 9, 10, 11], [12, 13], [14, 15, 16, 17], [18]]


def on_policy(folder=None, keep: int | None = 6, **options) -> Run:
    own = OwnSamples("student", PROMPTS, batch_size=3, new_tokens=5, stop=range(20, 25), keep=keep)
    actors = {"student": trained(llama(1)), "teacher": frozen(gpt2(2))}
    stage = Stage([Update([Term(SoftTargets(temperature=1))], source=own)], steps(10), Optimizer("sgd", lr=0.5))
    return Run(actors, [stage], folder=folder, settings=quiet(checkpoint_every=3, **options))


def source_of(run: Run) -> OwnSamples:
    source = run.stages[0].updates[0].source
    assert isinstance(source, OwnSamples)
    return source


@pytest.mark.parametrize("keep", [None, 6])
@pytest.mark.parametrize("step", [2, 4])
def test_a_run_on_own_samples_resumes_bit_for_bit(tmp_path, keep, step) -> None:
    whole = on_policy(keep=keep).fit()
    stopped = on_policy(tmp_path, keep=keep)

    source = source_of(stopped)
    usual = source.batch

    def draw(position: BatchPosition) -> Batch:
        if stopped.clock.step == step:
            stopped.interrupt.requested = True
        return usual(position)

    source.batch = draw  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        stopped.fit()
    resumed = on_policy(tmp_path, keep=keep).fit(resume=True)
    assert same(state(whole.actors["student"].model), resumed.actors["student"].model)
    assert source_of(whole).state_dict().get("drawn") == source_of(resumed).state_dict().get("drawn") == (keep and 10)


def test_pieces_of_own_samples_give_the_weights_of_the_whole_batch() -> None:
    whole, pieces = on_policy().fit(), on_policy(accumulate=3).fit()
    before = state(on_policy().actors["student"].model)
    ours, theirs = (state(run.actors["student"].model) for run in (whole, pieces))
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=0, atol=1e-5)
    assert not same(before, whole.actors["student"].model)


def test_a_teacher_reads_a_longer_prompt_than_the_student() -> None:
    """The student's own continuation is learned token by token from a teacher that sees the solution."""
    student, teacher = llama(1), gpt2(2)
    solutions = [[30, *prompt, 31] for prompt in PROMPTS]
    own = OwnSamples("student", PROMPTS, batch_size=3, new_tokens=5, views={"solution": solutions}, stop=range(20, 25))
    own.bind({"student": student})
    batch = own.batch(BatchPosition(0))
    term = Term(SoftTargets(temperature=1), teacher="teacher#solution")
    losses = Criterion([term], student, teacher, example=batch)(batch)
    expected = []
    for row, text, mask in zip(batch.index.tolist(), batch.inputs["default"]["input_ids"], batch.mask, strict=True):
        count, start = int(mask.sum()), len(PROMPTS[row])
        sample = text[start : start + count]
        ours, theirs = (
            model(torch.cat([torch.tensor(prompt), sample])[None]).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            for model, prompt in ((student, PROMPTS[row]), (teacher, solutions[row]))
        )
        expected.append((theirs.exp() * (theirs - ours)).sum(-1))
    torch.testing.assert_close(losses["soft_targets"], torch.cat(expected).mean())
    actors = {"student": trained(student), "teacher": frozen(teacher)}
    before = state(student)
    Run(actors, [Stage([Update([term], source=own)], steps(2), Optimizer("sgd", lr=0.5))], settings=quiet()).fit()
    assert not same(before, student)
