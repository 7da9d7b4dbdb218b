"""The verdict of a run: teacher, control and student side by side, as `verdict.json` (format 2; format 1 is still read)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from limbeck.evaluation import number_format
from limbeck.evaluation.arms import ARMS
from limbeck.evaluation.environment import environment
from limbeck.evaluation.examples import Bin, Example, Quadrants, calibration, changes
from limbeck.evaluation.format_1 import upgrade_verdict
from limbeck.evaluation.model_cost import Latency, Profile, agreement, expected_calibration_error, per_class, softmax
from limbeck.evaluation.predictions import Predictions
from limbeck.evaluation.record import Record
from limbeck.evaluation.statistics import Gain, Interval, interval, paired_gain, per_seed, retention
from limbeck.evaluation.targets import Target, weigh
from limbeck.evaluation.term_graph import TermGraph
from limbeck.metrics.measures import MEASURES, Floats, Measure, Value
from limbeck.utils.atomic_files import write_text_atomic

FORMAT = 2


class Metric(Record):
    """What is measured. `percent`: the value is a fraction, read as a percentage, and its differences as points."""

    name: str = "accuracy"
    higher_is_better: bool = True
    percent: bool = True

    @classmethod
    def of(cls, measure: Measure) -> Metric:
        return cls(name=measure.name, higher_is_better=measure.higher_is_better, percent=measure.percent)


class Arm(Record):
    """One model of the comparison; what was not measured is None."""

    metric: float
    ci95: Interval
    per_seed: list[float]
    parameters: int | None = None
    file_bytes: int | None = None
    macs: int | None = None
    latency_ms: Latency | None = None
    peak_memory_bytes: int | None = None
    ece: float | None = None
    per_class: list[float | None] | None = None


class Arms(Record):
    """`control` is the control: the student without a teacher. A run without control, or without one teacher, lacks
    that arm."""

    teacher: Arm | None
    control: Arm | None
    student: Arm

    def present(self) -> dict[str, Arm]:
        found = {name: getattr(self, name) for name in ARMS}
        return {name: arm for name, arm in found.items() if arm is not None}


class Cost(Record):
    """What the run took: updates of the student, items the teacher answered, seconds on the clock."""

    student_steps: int
    teacher_items: int
    wall_s: float


class Export(Record):
    """One file that a model was shipped as, measured in the runtime it is meant for.

    The rows of format "pytorch" are the models as they were before, measured by the same yardsticks. What was not measured is
    None; an export that failed has an `error`, perhaps a `remedy`, and no `path`.

    Attributes:
        model: "student" or "teacher".
        precision: "fp32" or "int8".
        path: relative to the run; None where the model is in no file of its own.
        bytes: of the file.
        metric, ci95: on the whole test set, in that runtime, with the 95 % interval over its items.
        latency_ms: of one item, on one thread.
        peak_memory_bytes: by how much the resident memory of a fresh process grows from before the model is loaded to the peak
            of its inference, one item on one thread; see `limbeck.export.memory`.
        max_abs_diff: the largest difference of an output to PyTorch's, over real test items.
        opset: of the operators in an ONNX file.
        input: what latency and memory were measured on, such as "a text of 22 tokens".
        warning: what a user must know about a file that was written, such as accuracy lost to int8; `remedy` goes with it.
    """

    format: str
    precision: str
    path: str | None = None
    bytes: int | None = None
    metric: float | None = None
    latency_ms: Latency | None = None
    max_abs_diff: float | None = None
    model: str = "student"
    ci95: Interval | None = None
    peak_memory_bytes: int | None = None
    opset: int | None = None
    input: str | None = None
    error: str | None = None
    warning: str | None = None
    remedy: str | None = None


class Verdict(Record):
    """What came out of a run.

    Metric, gain and their intervals are in the metric's own unit (accuracy: fractions of one). `compression` is a
    ratio of parameters, `speedup` of median latencies, `memory_ratio` of peak memory: teacher over student, so that
    more is better. The goal and value of the target `gain` are in points where the metric is a percentage. `met`: no
    target was missed. `items`: of the test set; `changes`: the student's answers beside those of each other arm.
    """

    format: Literal[2] = 2
    name: str
    task: str
    metric: Metric
    classes: list[str]
    arms: Arms
    retention: float | None
    retention_ci95: Interval | None
    gain: Gain | None
    compression: float | None
    speedup: float | None
    memory_ratio: float | None
    agreement: float | None
    targets: dict[str, Target]
    met: bool
    cost: Cost | None
    exports: list[Export] = Field(default_factory=list)
    seeds: list[int]
    items: int | None = None
    calibration: dict[str, list[Bin]] = Field(default_factory=dict)
    changes: dict[str, Quadrants] = Field(default_factory=dict)
    examples: list[Example] = Field(default_factory=list)
    term_graph: TermGraph | None = None
    environment: dict[str, str | int]

    def sentence(self) -> str:
        """The verdict in a line: what was kept, at which size, and what distillation gave."""
        return f"{self._kept()}; {self._gave()}"

    def _kept(self) -> str:
        where = "" if self.compression is None else f" {number_format.fraction(self.compression)}"
        if self.retention is not None:
            return f"kept {number_format.percent(self.retention)} of the teacher{where}"
        reached = number_format.measured(self.arms.student.metric, as_percent=self.metric.percent, digits=1)
        return f"reached {self.metric.name} {reached}"

    def _gave(self) -> str:
        if self.gain is None:
            return "what distillation gave is unknown: the run had no control"
        shown = number_format.difference(self.gain.value, self.gain.ci95, as_percent=self.metric.percent)
        if not self.gain.effect:
            return f"distillation had no effect: {shown}"
        return f"distillation gave {shown}" if self.gain.value > 0 else f"distillation did harm: {shown}"

    def save(self, path: str | Path) -> None:
        """Write `verdict.json`, whole or not at all."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
        write_text_atomic(Path(path), text + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Verdict:
        """Read a `verdict.json`, or that of a run's directory.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the file is not JSON, no verdict, or of a newer format than this version reads.
        """
        file = Path(path)
        file = file / "verdict.json" if file.is_dir() else file
        if not file.exists():
            raise FileNotFoundError(f"{file}: no verdict here; a run writes it when it ends")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{file}: not JSON ({error})") from error
        return cls._from_json(content, file)

    @classmethod
    def _from_json(cls, content: Any, file: Path) -> Verdict:
        if not isinstance(content, dict) or not {"format", "arms"} <= set(content):
            raise ValueError(f"{file}: not a verdict; it has no 'format' and 'arms'")
        found = content["format"]
        if isinstance(found, int) and found > FORMAT:
            raise ValueError(f"{file}: verdict of format {found}; this limbeck reads {FORMAT}: upgrade it")
        try:
            return cls.model_validate(upgrade_verdict(content) if found == 1 else content)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise ValueError(f"{file}: not a verdict of format {found}; {field}: {first['msg']}") from error


def judge(
    predictions: Mapping[str, Predictions],
    *,
    name: str,
    task: str,
    seeds: Sequence[int],
    metric: Metric | None = None,
    classes: Sequence[str] = (),
    profiles: Mapping[str, Profile] | None = None,
    targets: Mapping[str, float] | None = None,
    cost: Cost | None = None,
    exports: Sequence[Export] = (),
    examples: Sequence[Example] = (),
    term_graph: TermGraph | None = None,
) -> Verdict:
    """Weigh the arms of a run against each other.

    Args:
        predictions: by arm, `student` always, `control` (the control) and `teacher` where the run had them. The test
            items are in the same order everywhere; row s of student and control comes from `seeds[s]`; a teacher may
            have one row.
        metric: what the scores are; accuracy unless said otherwise.
        profiles: measured cost by arm; the control, being the same model, shares the student's unless it has its own.
        targets: goals by name, see `TARGETS`.
        examples, term_graph: items to look at and how the models were connected, for the report.
    """
    metric = metric or Metric()
    measure = MEASURES.get(metric.name)
    arms = _arms(predictions, profiles or {}, len(seeds), len(classes), measure)
    scores = {arm: answers.parts(measure) for arm, answers in predictions.items()}
    value = value_of(scores["student"], measure)
    better = metric.higher_is_better
    kept = gain = None
    if "teacher" in scores:
        kept = retention(scores["student"], scores["teacher"], higher_is_better=better, value=value)
    if "control" in scores:
        gain = paired_gain(scores["student"], scores["control"], higher_is_better=better, value=value)
    ratios = _ratios(arms)
    facts = {**ratios, **_facts(arms.student), "retention": None if kept is None else kept[0]}
    unit = 100.0 if metric.percent else 1.0
    judged = weigh(targets or {}, facts, gain, higher_is_better=better, unit=unit)
    return Verdict(
        name=name,
        task=task,
        metric=metric,
        classes=list(classes),
        arms=arms,
        retention=kept and kept[0],
        retention_ci95=kept and kept[1],
        gain=gain,
        compression=ratios["compression"],
        speedup=ratios["speedup"],
        memory_ratio=ratios["memory_ratio"],
        agreement=_agreement(predictions),
        targets=judged,
        met=all(target.met for target in judged.values()),
        cost=cost,
        exports=list(exports),
        seeds=list(seeds),
        items=scores["student"].shape[1],
        calibration=calibration(predictions),
        changes=changes(predictions),
        examples=list(examples),
        term_graph=term_graph,
        environment=environment(),
    )


def value_of(scores: Floats, measure: Measure | None) -> Value | None:
    """How the metric comes from the means of its parts; None where it is the mean of scores."""
    return measure.value if measure is not None and scores.ndim == 3 and scores.shape[2] > 1 else None


def _arms(
    predictions: Mapping[str, Predictions],
    profiles: Mapping[str, Profile],
    seeds: int,
    classes: int,
    measure: Measure | None,
) -> Arms:
    if "student" not in predictions or set(predictions) - set(ARMS):
        raise ValueError(f"predictions of {sorted(predictions)}; expected 'student' and perhaps 'control', 'teacher'")
    labels = [answers.labels for answers in predictions.values() if answers.labels is not None]
    if any(not np.array_equal(labels[0], other) for other in labels[1:]):
        raise ValueError("the arms were evaluated on different labels; expected the same items in the same order")
    arms: dict[str, Arm | None] = dict.fromkeys(ARMS)
    for name, answers in predictions.items():
        rows = answers.parts(measure).shape[0]
        if rows != seeds and (name, rows) != ("teacher", 1):
            raise ValueError(f"{name}: predictions of {rows} seeds, but the run had {seeds}")
        twin = profiles.get("student") if name == "control" else None
        arms[name] = _arm(answers, profiles.get(name, twin), classes or None, measure)
    return Arms.model_validate(arms)


def _arm(answers: Predictions, cost: Profile | None, classes: int | None, measure: Measure | None) -> Arm:
    scores = answers.parts(measure)
    value = value_of(scores, measure)
    mean, ci95 = interval(scores, value=value)
    ece, by_class = None, None
    if answers.logits is not None and answers.labels is not None:
        width = answers.logits.shape[2]
        if classes is not None and classes != width:
            raise ValueError(f"{classes} class names for logits of {width} classes")
        ece = float(np.mean([expected_calibration_error(softmax(seed), answers.labels) for seed in answers.logits]))
        by_class = per_class(answers.right(), answers.labels, width)
    measured = {} if cost is None else {**asdict(cost), "latency_ms": cost.latency_ms}
    each = [float(found) for found in per_seed(scores, value)]
    return Arm(metric=mean, ci95=ci95, per_seed=each, ece=ece, per_class=by_class, **measured)


def _ratios(arms: Arms) -> dict[str, float | None]:
    """Teacher over student; None where either is unknown."""
    teacher, student = (_costs(arm) for arm in (arms.teacher, arms.student))
    pairs = {key: (teacher[key], student[key]) for key in student}
    return {key: above / below if above and below else None for key, (above, below) in pairs.items()}


def _costs(arm: Arm | None) -> dict[str, float | None]:
    return {
        "compression": arm.parameters if arm else None,
        "speedup": arm.latency_ms.median if arm and arm.latency_ms else None,
        "memory_ratio": arm.peak_memory_bytes if arm else None,
    }


def _facts(student: Arm) -> dict[str, float | None]:
    """The student's own numbers, by the names targets have."""
    return {
        "metric": student.metric,
        "parameters": student.parameters,
        "file_bytes": student.file_bytes,
        "latency_ms": None if student.latency_ms is None else student.latency_ms.median,
        "ece": student.ece,
    }


def _agreement(predictions: Mapping[str, Predictions]) -> float | None:
    teacher, student = predictions.get("teacher"), predictions["student"]
    if teacher is None or teacher.logits is None or student.logits is None:
        return None
    if teacher.logits.shape[-1] != student.logits.shape[-1]:
        return None  # they choose among different classes
    return agreement(student.logits, teacher.logits)
