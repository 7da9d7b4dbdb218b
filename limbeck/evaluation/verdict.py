"""The verdict of a run, `verdict.json`: teacher, control and student with intervals, and what distillation gave."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from limbeck.evaluation import number_format
from limbeck.evaluation.agreement import Contingency
from limbeck.evaluation.arms import CONTROL, INITIAL, STUDENT, TEACHER
from limbeck.evaluation.calibration import CalibrationBin
from limbeck.evaluation.early_exit import EarlyExits
from limbeck.evaluation.examples import Example
from limbeck.evaluation.federation import FederationRecord
from limbeck.evaluation.format_1 import upgrade_verdict
from limbeck.evaluation.made_inputs import MadeInput
from limbeck.evaluation.model_cost import Latency
from limbeck.evaluation.record import Record
from limbeck.evaluation.shared_items import SharedItems
from limbeck.evaluation.statistics import Gain, Interval
from limbeck.evaluation.targets import Target
from limbeck.evaluation.term_graph import TermGraph
from limbeck.metrics import Measure
from limbeck.utils.atomic_files import write_text_atomic
from limbeck.utils.json_files import read_json

FORMAT = 2
FILE = "verdict.json"


class DamagedVerdictError(ValueError):
    """A file is no verdict, or no longer one."""


class MetricInfo(Record):
    """The metric of a run. `percent`: the value is a fraction shown as a percentage, and differences are shown in points."""

    name: str = "accuracy"
    higher_is_better: bool = True
    percent: bool = True

    @classmethod
    def of(cls, metric: Measure) -> MetricInfo:
        return cls(name=metric.name, higher_is_better=metric.higher_is_better, percent=metric.percent)


class Arm(Record):
    """One trained model on the test set; None where something was not measured.

    Attributes:
        metric, ci95, per_seed: the mean over seeds, its 95 % interval, and the value of each seed.
        ece, calibration: expected calibration error and its bins, for classifiers.
        per_class: accuracy within each class.
    """

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
    calibration: list[CalibrationBin] = Field(default_factory=list)


class Result(Record):
    """What was evaluated: a student, one of its exits or variants, a peer, an ensemble; beside its controls and the teacher.

    Attributes:
        distilled: the student trained with the teacher.
        control: the same student trained with labels only; None if the run trained none.
        controls: further controls by name, such as label smoothing, or peers trained independently.
        retention: the student's share of the teacher's metric.
        gain: distilled minus control; gains: distilled minus each further control, by its name.
        compression, speedup, memory_ratio: parameters, median latency and peak memory, each of the teacher divided by that of
            the student.
        agreement: share of the test items for which student and teacher predict the same class.
        changes: correct and wrong predictions of the student against each other arm (teacher, control, further controls).
        examples: test items on which the arms differ, for the report.
        early_exits: of a network whose items leave at the first exit that is sure enough: work and metric by threshold.
    """

    distilled: Arm
    control: Arm | None
    controls: dict[str, Arm] = Field(default_factory=dict)
    retention: float | None = None
    retention_ci95: Interval | None = None
    gain: Gain | None = None
    gains: dict[str, Gain] = Field(default_factory=dict)
    compression: float | None = None
    speedup: float | None = None
    memory_ratio: float | None = None
    agreement: float | None = None
    changes: dict[str, Contingency] = Field(default_factory=dict)
    examples: list[Example] = Field(default_factory=list)
    early_exits: EarlyExits | None = None


class RunCost(Record):
    """What the run took: updates of the student, items that the teacher processed, and seconds."""

    student_steps: int
    teacher_items: int
    wall_s: float


class Export(Record):
    """One exported file, measured in its own runtime.

    Rows of format "pytorch" are the models before export, measured in the same way. None: not measured. An export that
    failed has an `error`, perhaps a `remedy`, and no `path`.

    Attributes:
        model: the name of the result, "student" if the run has one student; or "teacher".
        precision: "fp32" or "int8".
        path: relative to the run; None where the model is in no file of its own.
        bytes: of the file.
        metric, ci95: on the whole test set, in that runtime, with the 95 % interval over its items.
        latency_ms: of one item, on one thread.
        peak_memory_bytes: growth of the resident memory of a fresh process from before the model is loaded to the peak of its
            inference, one item on one thread; see `limbeck.export.memory`.
        max_abs_diff: the largest difference of an output to PyTorch's, over real test items.
        opset: of the operators in an ONNX file.
        input: what latency and memory were measured on, such as "a text of 22 tokens".
        warning: a problem of a file that was written, such as accuracy lost to int8; `remedy` says what to do.
        weights: a checksum of the weights that the file was written from.
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
    weights: str | None = None


class Verdict(Record):
    """The outcome of a run.

    Metric, gain and their intervals are in the unit of the metric (accuracy: fractions of one). Goal and value of the target
    `gain` are in points if the metric is a percentage.

    Attributes:
        results: by name, in the order of the run; `student` if it evaluates one student. `student`, `control`, `gain` and
            `retention` are those of the first, `result`.
        teacher: None if the run has none, or one that the task cannot judge, such as a model without a classifier.
        targets: by name; those of other results than the first as `RESULT.TARGET`.
        items: size of the test set.
        test_data: fingerprint of its items and their labels, by which other runs know whether they were measured on the same;
            None: not noted, as in older runs.
        shared_items: those of the test set on which the run has trained or chosen; None if there are none.
        met: whether all targets were met.
        federation: the rounds, if clients and a server have trained together.
        made_inputs: images that a run without data has made, some of each class.
        without_data: whether what was distilled has seen made inputs only. It is then told over the further control that did
            best, such as noise; the control has learned from data.
    """

    format: Literal[2] = 2
    name: str
    task: str
    metric: MetricInfo
    classes: list[str]
    seeds: list[int]
    items: int | None = None
    test_data: str | None = None
    shared_items: SharedItems | None = None
    teacher: Arm | None
    results: dict[str, Result] = Field(min_length=1)
    targets: dict[str, Target]
    met: bool
    cost: RunCost | None
    exports: list[Export] = Field(default_factory=list)
    term_graph: TermGraph | None = None
    federation: FederationRecord | None = None
    made_inputs: list[MadeInput] = Field(default_factory=list)
    without_data: bool = False
    environment: dict[str, str | int]

    @property
    def result(self) -> Result:
        """The first result; the only one of a run with one student."""
        return next(iter(self.results.values()))

    @property
    def student(self) -> Arm:
        return self.result.distilled

    @property
    def control(self) -> Arm | None:
        return self.result.control

    @property
    def gain(self) -> Gain | None:
        return self.result.gain

    @property
    def retention(self) -> float | None:
        return self.result.retention

    @property
    def arms(self) -> dict[str, Arm]:
        """Teacher, control and student of the first result, by name, as far as the run has them."""
        found = {TEACHER: self.teacher, CONTROL: self.control, STUDENT: self.student}
        return {name: arm for name, arm in found.items() if arm is not None}

    @property
    def compared(self) -> dict[str, Arm]:
        """`arms`, with the further controls of the first result before its student."""
        arms = self.arms
        student = arms.pop(STUDENT)
        return {**arms, **self.result.controls, STUDENT: student}

    def only(self, result: str) -> Verdict:
        """The verdict of one result alone, with its targets under their own names."""
        prefix = f"{result}."
        mine = {name.removeprefix(prefix): target for name, target in self.targets.items() if name.startswith(prefix)}
        if result == next(iter(self.results)):
            mine = {name: target for name, target in self.targets.items() if "." not in name} | mine
        met = all(target.met for target in mine.values())
        return self.model_copy(update={"results": {result: self.results[result]}, "targets": mine, "met": met})

    def sentence(self) -> str:
        """The verdict in one line: the share of the teacher's metric that was kept, the size, and the gain; for each result."""
        return "; ".join(self.sentences())

    def sentences(self) -> list[str]:
        """`sentence`, in a part for each result."""
        if len(self.results) == 1:
            given = self._given(self.result)
            return [f"{reached(self.result, self.metric)}{f'; {given}' if given else ''}"]
        found = []
        for name, result in self.results.items():
            given = f", {self._given(result)}" if result.gain is not None or result.gains else ""
            found.append(f"{name}: {reached(result, self.metric)}{given}")
        return found

    def told(self, result: Result) -> tuple[str, Gain] | None:
        """The control that a result is told over, with the gain over it; None: it has no control."""
        return told_gain(result, without_data=self.without_data)

    def _given(self, result: Result) -> str:
        """What was gained over the control that the result is told over. Empty if there is nothing to gain."""
        told = self.told(result)
        nothing = "" if self.distils else "nothing was distilled: no term reads a teacher"
        if told is None:
            return nothing or (
                "what distillation gave is unknown: the run had no control" if self.cause == "distillation" else ""
            )
        control, gain = told
        if nothing:
            return f"{nothing}; {self._difference(gain)} over {'the control' if control == CONTROL else control}"
        shown = self._difference(gain) + ("" if control == CONTROL else f" over {control}")
        if not gain.effect:
            given = f"{self.cause} had no effect: {shown}"
        else:
            given = f"{self.cause} gave {shown}" if gain.value > 0 else f"{self.cause} did harm: {shown}"
        if not self.without_data or control == CONTROL or result.gain is None:
            return given
        return f"{given}; over the control, which learned from data, {self._difference(result.gain)}"

    def _difference(self, gain: Gain) -> str:
        return number_format.difference(gain.value, gain.ci95, as_percent=self.metric.percent)

    @property
    def distils(self) -> bool:
        """Whether a term reads a teacher; if none does, the student learned as its control did."""
        edges = self.term_graph.edges if self.term_graph is not None and self.federation is None else []
        return not edges or any(edge.distils for edge in edges)

    @property
    def cause(self) -> str:
        """What the gain over the control comes from: distillation, or the method of a federation that only averages."""
        return "distillation" if self.federation is None or self.federation.distils else self.federation.method

    def __repr__(self) -> str:
        """The name and the sentence, where a notebook or a traceback shows the verdict; `model_dump()` has all of it."""
        return f"<Verdict {self.name!r}: {self.sentence()}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """A table of the arms for notebooks."""
        rows = []
        for result in self.results:
            for arm, found in self.only(result).arms.items():
                metric = number_format.measured(found.metric, found.ci95, as_percent=self.metric.percent)
                name = arm if len(self.results) == 1 else f"{result}: {arm}"
                rows.append((name, metric, number_format.count(found.parameters)))
        head = "".join(f"<th>{escape(title)}</th>" for title in ("", self.metric.name, "parameters"))
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<p>{escape(self.name)}: {escape(self.sentence())}</p><table><tr>{head}</tr>{body}</table>"

    def save(self, path: str | Path) -> None:
        """Writes `verdict.json` atomically."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
        write_text_atomic(Path(path), text + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Verdict:
        """Reads a `verdict.json` of format 2 or 1, or that in a run's directory.

        Raises:
            FileNotFoundError: there is none.
            NotJsonError: the file is not JSON.
            DamagedVerdictError: it is not a verdict.
            ValueError: it is of a newer format than this version reads.
        """
        file = Path(path)
        file = file / FILE if file.is_dir() else file
        if not file.exists():
            raise FileNotFoundError(f"{file}: no verdict here; a run writes it when it ends")
        return cls._from_json(read_json(file), file)

    @classmethod
    def _from_json(cls, content: Any, file: Path) -> Verdict:
        found = content.get("format") if isinstance(content, dict) else None
        if found is None or not {"arms", "results"} & set(content):
            raise DamagedVerdictError(f"{file}: not a verdict; it has no 'format' and 'results'")
        if isinstance(found, int) and found > FORMAT:
            raise ValueError(f"{file}: verdict of format {found}; this limbeck reads {FORMAT}: upgrade it")
        try:
            return cls.model_validate(upgrade_verdict(content) if found == 1 else content)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise DamagedVerdictError(f"{file}: not a verdict of format {found}; {field}: {first['msg']}") from error


def reached(result: Result, metric: MetricInfo) -> str:
    """The share of the teacher's metric and the size; the metric where there is no such share."""
    compression = result.compression
    size = "" if compression is None else f" {number_format.relative_size(compression)}"
    if result.retention is not None:
        return f"kept {number_format.percent(result.retention)} of the teacher{size}"
    return f"reached {metric.name} {number_format.measured(result.distilled.metric, as_percent=metric.percent, digits=1)}"


def told_gain(result: Result, *, without_data: bool) -> tuple[str, Gain] | None:
    """See `Verdict.told`: the control, or the first further control without one; without data the further one that did best."""
    further = {name: gain for name, gain in result.gains.items() if name != INITIAL}  # before a training, nothing is distilled
    if without_data and further:
        return min(further.items(), key=lambda found: found[1].value)
    if result.gain is not None:
        return CONTROL, result.gain
    return next(iter(further.items()), None)
