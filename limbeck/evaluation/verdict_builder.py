"""Builds the verdict of a run from the predictions of its arms on the test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TypedDict

import numpy as np

from limbeck.evaluation.agreement import Contingency, contingency, teacher_agreement
from limbeck.evaluation.arms import (
    CONTROL,
    STUDENT,
    TEACHER,
    ArmName,
    arms_by_result,
    further_controls,
    of_result,
    parse_arm,
)
from limbeck.evaluation.calibration import calibration_bins, mean_calibration_error
from limbeck.evaluation.environment import environment
from limbeck.evaluation.examples import Example
from limbeck.evaluation.model_cost import ModelCost
from limbeck.evaluation.predictions import Predictions
from limbeck.evaluation.shared_items import SharedItems
from limbeck.evaluation.statistics import Value, interval, paired_gain, per_class, per_seed, retention
from limbeck.evaluation.targets import Target, check_targets, evaluate_targets, split_target
from limbeck.evaluation.term_graph import TermGraph
from limbeck.evaluation.verdict import Arm, Export, MetricInfo, Result, RunCost, Verdict, told_gain
from limbeck.metrics import METRICS, Floats, Measure, Metric, Records


class Ratios(TypedDict):
    """Teacher divided by student; None where either is unknown."""

    compression: float | None
    speedup: float | None
    memory_ratio: float | None


def build_verdict(
    predictions: Mapping[str, Predictions],
    *,
    name: str,
    task: str,
    seeds: Sequence[int],
    metric: MetricInfo | None = None,
    classes: Sequence[str] = (),
    model_costs: Mapping[str, ModelCost] | None = None,
    targets: Mapping[str, float] | None = None,
    cost: RunCost | None = None,
    exports: Sequence[Export] = (),
    examples: Sequence[Example] | Mapping[str, Sequence[Example]] = (),
    term_graph: TermGraph | None = None,
    shared_items: SharedItems | None = None,
    without_data: bool = False,
) -> Verdict:
    """Compares the arms of a run on the test set.

    Args:
        predictions: by arm, `teacher` or `[RESULT/]ARM`, see `limbeck.evaluation.arms`: a `student` for each result; its
            `control`, further controls and the `teacher` where the run had them. All have the same test items in the same
            order. Row s is of `seeds[s]`; a teacher may have one row.
        metric: of the scores; accuracy by default.
        model_costs: measured cost by arm; a control has that of its student by default, which is the same model.
        targets: goals by name, see `TARGETS`; those of other results than the first as `RESULT.TARGET`.
        examples: of the first result, or by result; for the report, as `term_graph`.
        shared_items, without_data: test items that the run has seen before, and whether what was distilled saw no data.

    Raises:
        ValueError: arms, labels, seeds, classes or targets do not fit together.
    """
    metric, names = metric or MetricInfo(), arms_by_result(predictions)
    metric_function = METRICS.get(metric.name)
    check_targets(targets or {}, names)
    arms = _arms(predictions, model_costs or {}, len(seeds), len(classes), metric_function)
    shown = examples if isinstance(examples, Mapping) else {next(iter(names)): examples}
    results = {
        result: _result(of_result(arms, result), of_result(predictions, result), metric, metric_function, shown.get(result, ()))
        for result in names
    }
    reached = _targets(targets or {}, results, metric, without_data=without_data)
    return Verdict(
        name=name,
        task=task,
        metric=metric,
        classes=list(classes),
        seeds=list(seeds),
        items=predictions[next(iter(names.values()))[STUDENT]].item_statistics(metric_function).shape[1],
        teacher=arms.get(TEACHER),
        results=results,
        targets=reached,
        met=all(target.met for target in reached.values()),
        cost=cost,
        exports=list(exports),
        term_graph=term_graph,
        shared_items=shared_items,
        without_data=without_data,
        environment=environment(),
    )


def _targets(
    goals: Mapping[str, float], results: Mapping[str, Result], metric: MetricInfo, *, without_data: bool
) -> dict[str, Target]:
    """The targets in the order of their goals, each compared with its result."""
    found = {}
    for name, goal in goals.items():
        of, target = split_target(name)
        result = results[of or next(iter(results))]
        told = told_gain(result, without_data=without_data)
        reached = evaluate_targets(
            {target: goal},
            _values(result),
            told and told[1],
            higher_is_better=metric.higher_is_better,
            unit=100.0 if metric.percent else 1.0,
        )
        found[name] = reached[target]
    return found


def value_of(scores: Floats | Records, metric_function: Measure | None) -> Value | None:
    """The function from the means of the scores to the metric, None if it is their mean; of records, the metric itself."""
    if isinstance(scores, Records) or not isinstance(metric_function, Metric):
        return metric_function if isinstance(scores, Records) else None
    return metric_function.from_means if scores.ndim == 3 and scores.shape[2] > 1 else None


def is_share(metric_function: Measure | None) -> bool:
    """Whether there is a metric, and it is the share of the items that are right."""
    return metric_function is not None and metric_function.share


def _arms(
    predictions: Mapping[str, Predictions],
    model_costs: Mapping[str, ModelCost],
    seeds: int,
    classes: int,
    metric_function: Measure | None,
) -> dict[str, Arm]:
    labels = [found.labels for found in predictions.values() if found.labels is not None]
    if any(not np.array_equal(labels[0], other) for other in labels[1:]):
        raise ValueError("the arms were evaluated on different labels; expected the same items in the same order")
    costs = {parse_arm(name): cost for name, cost in model_costs.items()}
    arms = {}
    for name, found in predictions.items():
        rows = found.item_statistics(metric_function).shape[0]
        if rows != seeds and (name, rows) != (TEACHER, 1):
            raise ValueError(f"{name}: predictions of {rows} seeds, but the run had {seeds}")
        arm = parse_arm(name)
        of_student = costs.get(ArmName(arm.result, STUDENT)) if arm.result else None
        arms[name] = _arm(found, costs.get(arm, of_student), classes or None, metric_function)
    return arms


def _arm(predictions: Predictions, cost: ModelCost | None, classes: int | None, metric_function: Measure | None) -> Arm:
    scores = predictions.item_statistics(metric_function)
    value = value_of(scores, metric_function)
    mean, ci95 = interval(scores, value=value, share=is_share(metric_function))
    arm = Arm(
        metric=mean,
        ci95=ci95,
        per_seed=[float(found) for found in per_seed(scores, value)],
        **({} if cost is None else {**asdict(cost), "latency_ms": cost.latency_ms}),
    )
    if predictions.own is not None:
        return arm.model_copy(update={"per_class": predictions.own.per_class()})
    if (width := predictions.classes) is None or predictions.labels is None:
        return arm
    confidence, correct = predictions.confidence(), predictions.correct()
    if classes is not None and classes != width:
        raise ValueError(f"{classes} class names for logits of {width} classes")
    return arm.model_copy(
        update={
            "ece": mean_calibration_error(confidence, correct),
            "per_class": per_class(correct, predictions.labels, width),
            "calibration": calibration_bins(confidence, correct),
        }
    )


def _result(
    arms: Mapping[str, Arm],
    predictions: Mapping[str, Predictions],
    metric: MetricInfo,
    metric_function: Measure | None,
    examples: Sequence[Example],
) -> Result:
    """One result, from its arms and the teacher by their names within it."""
    scores = {arm: found.item_statistics(metric_function) for arm, found in predictions.items()}
    value, better, student = value_of(scores[STUDENT], metric_function), metric.higher_is_better, scores[STUDENT]
    kept, further = None, further_controls(arms)
    if TEACHER in scores:
        kept = retention(student, scores[TEACHER], higher_is_better=better, value=value)
    gains = {
        arm: paired_gain(student, scores[arm], higher_is_better=better, value=value)
        for arm in (CONTROL, *further)
        if arm in scores
    }
    return Result(
        distilled=arms[STUDENT],
        control=arms.get(CONTROL),
        controls={arm: arms[arm] for arm in further},
        retention=kept and kept[0],
        retention_ci95=kept and kept[1],
        gain=gains.pop(CONTROL, None),
        gains=gains,
        agreement=teacher_agreement(predictions[STUDENT], predictions.get(TEACHER)),
        changes=_changes(predictions),
        examples=list(examples),
        **_ratios(arms.get(TEACHER), arms[STUDENT]),
    )


def _ratios(teacher: Arm | None, student: Arm) -> Ratios:
    if teacher is None:
        return {"compression": None, "speedup": None, "memory_ratio": None}
    latencies = [arm.latency_ms.median if arm.latency_ms else None for arm in (teacher, student)]
    return {
        "compression": _ratio(teacher.parameters, student.parameters),
        "speedup": _ratio(*latencies),
        "memory_ratio": _ratio(teacher.peak_memory_bytes, student.peak_memory_bytes),
    }


def _ratio(teacher: float | None, student: float | None) -> float | None:
    return teacher / student if teacher and student else None


def _values(result: Result) -> dict[str, float | None]:
    """The figures of a result, by the names of targets; the gain, which has an interval, is not among them."""
    student = result.distilled
    return {
        "retention": result.retention,
        "compression": result.compression,
        "speedup": result.speedup,
        "memory_ratio": result.memory_ratio,
        "metric": student.metric,
        "parameters": student.parameters,
        "file_bytes": student.file_bytes,
        "latency_ms": None if student.latency_ms is None else student.latency_ms.median,
        "ece": student.ece,
    }


def _changes(predictions: Mapping[str, Predictions]) -> dict[str, Contingency]:
    correct = {arm: found.correct() for arm, found in predictions.items() if found.classes or found.own is not None}
    student = correct.pop(STUDENT, None)
    return {} if student is None else {arm: contingency(student, other) for arm, other in correct.items()}
