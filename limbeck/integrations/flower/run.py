"""A recipe of a federation carried out in a folder: the rounds of each arm and seed, then the verdict and the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from flwr.serverapp import Grid
from rich.console import Console
from torch import nn

from limbeck.data import Items
from limbeck.evaluation import MetricInfo, Predictions, RunCost, Verdict, build_verdict, choose_examples
from limbeck.evaluation.arms import CONTROL, STUDENT, ArmName, arm_folder, of_result
from limbeck.evaluation.federation import FederatedRound, FederationRecord
from limbeck.evaluation.test_data import test_data_fingerprint
from limbeck.experiment.experiment import inference_device
from limbeck.experiment.predict import cost_arms
from limbeck.experiment.run_files import write_run
from limbeck.integrations.flower.checks import check_federation
from limbeck.integrations.flower.server import carry_out
from limbeck.integrations.flower.simulation import simulated_grid
from limbeck.integrations.flower.strategy import FederatedStrategy
from limbeck.recipe.federation import FederatedItems, Federation
from limbeck.runs.folder import RunError, lock_run
from limbeck.runs.resume import check_folder, prepare_folder

BASELINE = "fedavg"
SHOWN = 3  # clients in a message
GridFactory = Callable[[Federation, FederatedItems], Grid]
Trained = dict[str, list[FederatedStrategy]]  # by arm, in the order of the seeds


def run_federation(
    recipe: Federation,
    folder: Path,
    *,
    items: Callable[[int], FederatedItems] | None = None,
    grid: GridFactory | None = None,
    resume: bool = False,
    force: bool = False,
    console: Console | None = None,
) -> Verdict:
    """Trains the federation of a recipe for every seed, and its control, evaluates both and writes everything into `folder`.

    Args:
        items: the data for a seed; None: a simulation.
        grid: the clients; None: all in this process.
        resume: continue a run that was stopped.
        force: start over in a folder that holds a run.

    Raises:
        RunError: the folder holds something else.
        ValueError: data and models do not fit.
    """
    began, console = time.perf_counter(), console or Console(quiet=True)
    check_folder(recipe, folder, resume=resume, force=force)
    read: Callable[[int], FederatedItems] = items or recipe.simulated
    of_seeds = [read(seed) for seed in recipe.seeds]  # a seed whose data cannot be split says so before the first is trained
    check_federation(recipe, of_seeds[0])
    with lock_run(folder):
        prepare_folder(recipe, folder, resume=resume, force=force)
        trained: Trained = {}
        for seed, known in zip(recipe.seeds, of_seeds, strict=True):
            for arm, method in arms_of(recipe).items():
                strategy = FederatedStrategy(recipe, known, method, arm=arm, seed=seed)
                place = folder / "checkpoints" / f"seed-{seed}-{arm}" / "checkpoints"
                made = (grid or simulated_grid)(recipe, known)
                carry_out(strategy, made, folder=place, resume=resume, on_round=lambda done: _print_round(console, done))
                _check_used(strategy)
                trained.setdefault(arm, []).append(strategy)
        return judge(recipe, trained, known.test, folder, wall_s=time.perf_counter() - began)


def _check_used(strategy: FederatedStrategy) -> None:
    """Raises a RunError if no round has changed the models, so that there is nothing to evaluate."""
    least = strategy.recipe.federated.least_replies
    if any(each.used >= least for each in strategy.rounds):
        return
    last = strategy.rounds[-1]
    reasons = "; ".join(f"node {node}: {reason}" for node, reason in list(last.left_out.items())[:SHOWN])
    raise RunError(
        f"{strategy.arm}, seed {strategy.seed}: no round of {last.number:,} had {least:,} usable replies (least_replies), so "
        f"that the models have learned nothing. In the last one {reasons}. Mend that, and start over with --force"
    )


def arms_of(recipe: Federation) -> dict[str, str]:
    """The methods of a recipe's arms: its own, and FedAvg as the control."""
    own = next(iter(recipe.federated.method))
    return {STUDENT: own} | ({CONTROL: BASELINE} if recipe.control and own != BASELINE else {})


def judge(recipe: Federation, trained: Trained, test: Items, folder: Path, *, wall_s: float = 0.0) -> Verdict:
    """Evaluates the server's models of all arms and seeds on the test set, and writes models, verdict and report."""
    task = recipe.new_task()
    known = task.evaluation_items(test)
    groups, first = list(recipe.architectures), next(iter(recipe.architectures))
    models = {
        str(ArmName(group, arm)): [each.models[group] for each in done] for group in groups for arm, done in trained.items()
    }
    device = inference_device(recipe.training.build().settings)
    predictions = {}
    for name, of_seeds in models.items():
        outputs = (task.outputs(model.eval().to(device), known) for model in of_seeds)
        predictions[name] = Predictions.of(task, outputs, known)
    rows = _best_rows(trained[STUDENT], task.higher_is_better)
    best = {name: of_seeds[rows].cpu() for name, of_seeds in models.items()}
    for model in (model for of_seeds in models.values() for model in of_seeds):
        model.cpu()
    measured = {name: model for name, model in best.items() if name.endswith(STUDENT)}
    verdict = build_verdict(
        predictions,
        name=recipe.name,
        task=task.name,
        metric=MetricInfo.of(task.metric),
        seeds=recipe.seeds,
        classes=known.class_names or (),
        model_costs=cost_arms(measured, dict.fromkeys(measured, known), known),
        targets=recipe.targets,
        cost=RunCost(student_steps=0, teacher_items=0, wall_s=round(wall_s, 2)),
        examples=choose_examples(of_result(predictions, first), known, tuple(recipe.seeds), rows),
    )
    noted = {"federation": _record(recipe, trained), "test_data": test_data_fingerprint(known, verdict.items or 0)}
    verdict = verdict.model_copy(update=noted)
    write_run(folder, {arm_folder(name, first): model for name, model in best.items()}, known, predictions, verdict)
    return verdict


def _best_rows(trained: list[FederatedStrategy], higher_is_better: bool) -> int:
    """The seed, counted from 0, whose model did best on validation data after its last round."""
    scores = [next(iter(each.rounds[-1].metrics.values()), 0.0) if each.rounds else 0.0 for each in trained]
    return (max if higher_is_better else min)(range(len(scores)), key=lambda row: scores[row])


def _record(recipe: Federation, trained: Trained) -> FederationRecord:
    public = trained[STUDENT][0].items.public
    method = recipe.federated.build_method()
    rounds: Iterable[FederatedRound] = (each for done in trained.values() for strategy in done for each in strategy.rounds)
    return FederationRecord(
        method=next(iter(recipe.federated.method)),
        distils=method.needs_inputs,
        exchanges=method.exchanges,
        clients=len(trained[STUDENT][0].members) or recipe.federated.clients,
        public_items=0 if public is None else len(public),
        public_bytes=0 if public is None else public_size(public),
        rounds=list(rounds),
    )


def public_size(items: Items) -> int:
    """The bytes of public inputs as tensors."""
    import torch

    first = items.fetch(torch.tensor([0]))
    return len(items) * (first[0].nbytes if isinstance(first, torch.Tensor) else 0)


def _print_round(console: Console, strategy: FederatedStrategy) -> None:
    done = strategy.rounds[-1]
    shown: Mapping[str, float] = done.metrics
    metrics = ", ".join(f"{group} {value:.4g}" for group, value in shown.items()) or "no validation data"
    kilobytes = (done.bytes_down + done.bytes_up) / 1e3
    sent = f"{done.used} of {done.asked} clients, {kilobytes:,.0f} kB"
    line = f"{done.arm}, seed {done.seed}, round {done.number}: {metrics}; {sent}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
    for node, reason in done.left_out.items():
        console.print(f"  node {node} is left out: {reason}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def models_of(trained: Trained, group: str, arm: str = STUDENT) -> list[nn.Module]:
    """The server's models of a group, one for each seed."""
    return [each.models[group] for each in trained[arm]]
