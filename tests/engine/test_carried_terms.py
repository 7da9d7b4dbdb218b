"""Terms of one name carry what they have learned into the next stage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from limbeck.core.actors import frozen, trained
from limbeck.core.teachers import PastPredictions
from limbeck.core.terms import Term
from limbeck.engine import Optimizer, Reinitialise, Run, Stage, Update, steps
from limbeck.engine.carried_terms import carry_terms
from limbeck.objectives import Contrastive, HardTargets, Hint, SoftTargets
from tests.architecture.conftest import Blobs, net, same, state
from tests.engine.training_runs import quiet

SGD = Optimizer("sgd", lr=0.05)


def hint(layer: str = "0", name: str = "") -> Term:
    return Term(Hint(), student=layer, teacher=layer, name=name)


def stage(*terms: Term, **options: object) -> Stage:
    return Stage([Update([Term(HardTargets()), *terms])], steps(4), SGD, **options)  # type: ignore[arg-type]


def run_of(stages: Sequence[Stage], **options: object) -> Run:
    actors = {"student": trained(net(8)), "teacher": frozen(net(16))}
    return Run(actors, stages, source=Blobs(), settings=quiet(trackers=()), **options)  # type: ignore[arg-type]


def learned(run: Run, position: int = 1) -> dict[str, Tensor]:
    """What one term has, before the current stage changed it."""
    criterion = run.updates[0].criterion
    parts = (criterion.adapters[position], criterion.objectives[position], criterion.teachers[position])
    return {f"{n}.{name}": t.clone() for n, part in enumerate(parts) for name, t in part.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def at_the_border(run: Run, position: int = 1, next_position: int = 1) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a term has learned at the end of the first stage, and what it has at the start of the second."""
    list(run._run_stage(0, None))
    before = learned(run, position)
    run._enter_stage(1, None)
    return before, learned(run, next_position)


@pytest.mark.parametrize(
    "term",
    [
        hint(),
        Term(Contrastive(), student="0", teacher="0"),
        Term(SoftTargets(), teacher=PastPredictions()),
    ],
    ids=["adapter", "heads and bank", "table"],
)
def test_adapters_objectives_and_teachers_go_on(term: Term) -> None:
    before, after = at_the_border(run_of([stage(term), stage(term)]))
    assert before
    assert equal(before, after)


def test_the_term_itself_learns_nothing() -> None:
    term = Term(SoftTargets(), teacher=PastPredictions())
    run_of([stage(term)]).fit()
    assert isinstance(term.teacher, PastPredictions)
    assert term.teacher.table is None  # the next run starts from the same description


def test_numbered_terms_are_told_apart_by_their_signals() -> None:
    run = run_of([stage(hint("2")), stage(hint("0"), hint("2"))])
    before, after = at_the_border(run, next_position=2)
    assert [term.name for term in run.updates[0].criterion.terms] == ["hard_targets", "hint.0", "hint.1"]
    assert equal(before, after)


@pytest.mark.parametrize(
    "second",
    [
        stage(hint(name="other")),
        stage(hint(), on_enter=[Reinitialise("student")]),
        Stage([Update([hint()], trains="student"), Update([Term(HardTargets())])], steps(4), SGD),
    ],
    ids=["another name", "new weights of the student", "the same"],
)
def test_terms_go_on_by_name_if_their_student_does(second: Stage) -> None:
    run = run_of([stage(hint()), second])
    position = len(second.updates[0].terms) - 1
    before, after = at_the_border(run, next_position=position)
    assert equal(before, after) == (len(second.updates) == 2)


def test_a_term_that_differs_is_built_anew_with_a_line_in_the_log(tmp_path: Path) -> None:
    stages = [
        stage(hint(name="match")),
        stage(Term(Hint(), student="0", teacher="3", name="match")),
        stage(Term(Hint(), student="2", teacher="3", name="match")),
        stage(Term(Contrastive(), student="2", teacher="2", name="match")),
    ]
    run = run_of(stages, folder=tmp_path).fit()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    reasons = {line["stage"]: line["built_anew"]["match"] for line in lines if "built_anew" in line}
    assert reasons == {
        1: "adapter parts.0.student_path.0.weight has shape (4, 8), and had (16, 8)",
        2: "its student side is student:2, and was student:0",
        3: "its objective is contrastive, and was hint",
    }
    assert all(torch.isfinite(tensor).all() for tensor in run.updates[0].criterion.state_dict().values())


def test_the_teacher_may_change_between_stages() -> None:
    before, after = at_the_border(run_of([stage(hint()), stage(Term(Hint(), student="0", teacher="2"))]))
    assert equal(before, after)


def test_rows_of_items_do_not_go_on_to_other_items() -> None:
    term, others = Term(SoftTargets(), teacher=PastPredictions()), Blobs()
    second = Stage([Update([Term(HardTargets()), term], source=others)], steps(4), SGD)
    run = run_of([stage(term), second])
    before, after = at_the_border(run)
    assert not equal(before, after)
    reasons = carry_terms(run.updates, [run.updates[0].state_dict()], run.stages, run.source)
    assert reasons == {"soft_targets": "teacher has a row for each item, and the items are others"}


def test_a_run_resumed_at_the_border_is_bit_identical(tmp_path: Path) -> None:
    stages = [stage(hint()), stage(hint(), Term(Contrastive(), student="0", teacher="0"))]
    whole = run_of(stages).fit()
    part = run_of(stages, folder=tmp_path)
    list(part._run_stage(0, None))  # writes the checkpoint between the stages
    resumed = run_of(stages, folder=tmp_path).fit(resume=True)
    assert same(state(whole.actors["student"].model), resumed.actors["student"].model)
    assert equal(learned(whole), learned(resumed))


def test_checkpoints_that_name_no_terms_carry_nothing() -> None:
    run = run_of([stage(hint()), stage(hint())])
    list(run._run_stage(0, None))
    old = {"criterion": run.updates[0].criterion.state_dict()}
    run._enter_stage(1, None)
    fresh = learned(run)
    assert carry_terms(run.updates, [old], run.stages, run.source) == {}
    assert equal(fresh, learned(run))
