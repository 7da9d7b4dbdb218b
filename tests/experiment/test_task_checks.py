"""What reads a softmax over classes is refused for tasks whose outputs are none, before anything is loaded or trained."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck import Distillation, Term, frozen, methods, objectives, steps
from limbeck.core.batch import Batch
from limbeck.core.teachers import EarlyExit, Ensemble
from limbeck.objectives import Hint, SoftTargets
from limbeck.objectives.logits import LogitObjective
from limbeck.recipe import Recipe, RecipeError
from limbeck.tasks import MultilabelClassification, Regression, SentenceEmbeddings, Task

TASKS = [Regression(), MultilabelClassification()]


def job(name: str, task: Task, **arguments: Any) -> Distillation:
    """A method for numbers or independent labels, with three teachers."""
    models = {f"teachers.{each}": frozen(nn.Linear(3, 1)) for each in "abc"} | {"teacher": frozen(nn.Linear(3, 1))}
    made = methods.call(name, arguments, task=task, length=steps(1))
    if methods.paradigm(name) == "online":
        models = {"peers.a": nn.Linear(3, 1), "peers.b": nn.Linear(3, 1)}
        return Distillation(actors=models, task=task, **made)
    return Distillation(nn.Linear(3, 1), actors=models | dict(made.pop("actors", {})), task=task, **made)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize(
    ("name", "arguments", "part"),
    [
        ("wsld", {}, "terms.1.item_weight: WeightedSoftLabels"),
        ("easy_by_labels", {}, "terms.0.item_weight: Hardness"),
        ("uncertain_items", {}, "terms.1.item_weight: MostUncertain"),
        ("teachers_by_uncertainty", {}, "terms.1.teacher: Ensemble"),
        ("eb_kd", {}, "terms.1.item_weight: Confidence"),
        ("ca_mkd", {"hint": 0}, "terms.1.item_weight: Confidence"),
        ("agreeing_teachers", {}, "terms.1.teacher: Ensemble"),
        ("averaged_teachers", {"combine": "probabilities"}, "terms.1.teacher: Ensemble"),
        ("merged_classes", {"classes": {each: ["x"] for each in "abc"}}, "terms.0.teacher: Ensemble"),
        ("kdcl", {}, "terms.1.teacher: MinLogit"),
        ("kdcl", {"target": "least_error"}, "terms.1.teacher: Ensemble"),
        ("virtual_teacher", {}, "terms.1.teacher: VirtualTeacher"),
        ("belief_matching", {"shape": [3], "attention": 0}, "terms.0: disagreement"),
        ("dfq", {"shape": [3], "distance": "kl", "one_hot": 0, "balance": 0, "statistics": 0}, "disagreement"),
    ],
)
def test_a_rule_that_reads_probabilities_of_classes_is_refused(
    name: str, arguments: dict[str, Any], part: str, task: Task
) -> None:
    message = f"{part} reads the softmax of {task.output_name}, of classes of which one is right, which {task.name} does not"
    with pytest.raises(ValueError, match=message):
        job(name, task, **arguments)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("averaged_teachers", {}),
        ("averaged_teachers", {"combine": "losses"}),
        ("domain_teachers", {}),
        ("drawn_teacher", {}),
        ("gated_teachers", {}),
        ("annealed", {}),
        ("balanced", {}),
        ("mutual_learning", {}),
        ("kdcl", {"target": "mean"}),
        ("born_again", {}),
        ("mean_teacher", {}),
    ],
)
def test_others_are_taken(name: str, arguments: dict[str, Any], task: Task) -> None:
    job(name, task, **arguments)


@pytest.mark.parametrize("name", ["soft_targets", "label_smoothing", "adaptive_target", "reverse_kl"])
def test_a_softmax_over_one_number_is_refused(name: str) -> None:
    own: dict[str, Any] = {"method": name} if name in methods.registry else {"terms": [name]}
    content = {"name": "run", "task": "regression", "data": {"train": "train.csv", "test": "test.csv"}}
    model = {"model": "mlp", "args": {"inputs": 3, "hidden": [4], "classes": 1}}
    with pytest.raises(RecipeError, match="is a softmax over classes, and the output of regression is one number; use squared"):
        Recipe.from_dict({**content, "teacher": {**model, "weights": "t.safetensors"}, "student": model, **own}, files=False)


@pytest.mark.parametrize("softmax", [True, False])
def test_an_objective_of_ones_own_says_whether_it_reads_a_softmax(softmax: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(LogitObjective):
        name, reads_classes = "own_logits", softmax

        def compare(self, student: Tensor, teacher: Tensor, **given: Any) -> Tensor:
            return (student - teacher).abs().sum(-1)

    monkeypatch.setitem(objectives.registry._parts, "own_logits", Own)
    for task in (Regression(), MultilabelClassification()):
        with pytest.raises(ValueError, match="own_logits is a softmax over classes") if softmax else nullcontext():
            Distillation(nn.Linear(3, 1), nn.Linear(3, 1), terms=[Term(Own())], task=task, control=False)


@pytest.mark.parametrize("name", ["deep_inversion", "zero_shot_kd", "dfq"])
def test_inputs_of_a_class_are_not_made_for_numbers(name: str) -> None:
    given = {"shape": [3], "classes": 2} if name == "deep_inversion" else {"shape": [3]}
    made = methods.call(name, given, task=Regression(), length=steps(1))
    message = r"terms\.\d+: \w+ is a softmax over classes, and the output of regression is one number"
    with pytest.raises(ValueError, match=message):
        Distillation(nn.Linear(3, 1), nn.Linear(3, 1), task=Regression(), control=False, **made)


def test_results_are_checked_too() -> None:
    evaluate = {"early": EarlyExit(["student:0", "student"])}
    with pytest.raises(ValueError, match=r"evaluate\.early: EarlyExit reads the softmax of prediction"):
        Distillation(nn.Sequential(nn.Linear(3, 1)), terms=Regression().hard_terms(), task=Regression(), evaluate=evaluate)
    made = methods.be_your_own_teacher(task=Regression())
    assert list(made["evaluate"]) == ["student", "exits"]


def test_terms_on_features_and_tasks_of_one_class_may_weigh_by_a_softmax() -> None:
    features = Term(Hint(), student="0", teacher="0", item_weight="entropy")
    terms = [*SentenceEmbeddings().soft_terms(1.0), features]
    Distillation(nn.Sequential(nn.Linear(3, 4)), nn.Sequential(nn.Linear(3, 4)), terms=terms, task=SentenceEmbeddings())
    Distillation(nn.Linear(3, 4), nn.Linear(3, 4), terms=[Term(SoftTargets(), item_weight="wsld")])


def test_numbers_are_learned_from_the_teacher_of_their_domain() -> None:
    (soft,) = methods.domain_teachers(task=Regression())["terms"]
    assert isinstance(soft.teacher, Ensemble)
    batch = Batch({"default": torch.zeros(2, 3)}, extras={"domain": torch.tensor([1, 0])})
    a, b = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])
    assert torch.equal(soft.teacher.make_target([a, b], batch, a), torch.tensor([[3.0], [2.0]]))
