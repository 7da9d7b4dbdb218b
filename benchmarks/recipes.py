"""Runs the recipes and keeps their verdicts.

    python -m benchmarks.recipes                     # all of them; the CIFAR-10 ones need LIMBECK_DATA
    python -m benchmarks.recipes digits              # one
    python -m benchmarks.recipes cifar10-tenth --run runs/cifar10-tenth   # keep the verdict of a finished run

A stopped run is resumed. benchmarks/results/NAME/ keeps the verdict and the resolved recipe of each run, and of recipes with
goals the student, in half precision, unless it is larger than 2 MB, so that `limbeck evaluate benchmarks/results/NAME --data
FILE` evaluates it on other data.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from safetensors.torch import load_file, save_file

from benchmarks.bars import record
from benchmarks.paradigms import blood_cells
from limbeck.evaluation import Verdict
from limbeck.recipe import Federation, Recipe, kind_of, read_fields
from limbeck.runs import run_recipe
from limbeck.utils.checksums import write_checksums

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
TEXTS = (
    "distilbert",
    "distilbert-few-labels",
    "bert_pkd",
    "tinybert",
    "minilm",
    "minilm_v2",
    "mobilebert",
    "static_embeddings",
    "embeddings",
)
PRIVACY = (
    "dfq",
    "deep_inversion",
    "contrastive_inversion",
    "zero_shot_kd",
    "belief_matching",
    "dfad",
    "dafl",
    "mnist_without_data",
    "cifar10_without_data",
    "heart_without_data",
    "feddf",
    "federated-hospitals",
    "federated-cells",
)
TOPICS = {
    "digits": "main-job",
    "cifar10-resnet8": "main-job",
    "cifar10-tenth": "main-job",
    "cifar10-mobilenetv3": "proof",
    **dict.fromkeys(TEXTS, "text"),
    **dict.fromkeys(PRIVACY, "privacy"),
}
DATA = {"minilm_v2": "policyqa", "static_embeddings": "agnews", "embeddings": "agnews"} | dict.fromkeys(
    ("distilbert", "distilbert-few-labels", "bert_pkd", "tinybert", "minilm", "mobilebert"), "sst2"
)
CELLS = ROOT / "runs" / "benchmarks" / "blood_cells"
LARGEST = 2_000_000  # bytes of a file that is kept here
BARS = {
    "gain": ("gain over the control, points", "≥ +{goal:g}, interval above 0"),
    "retention": ("retention", "≥ {goal:g}"),
    "compression": ("compression in parameters", "≥ {goal:g}"),
    "parameters": ("parameters of the student", "≤ {goal:g}"),
    "speedup": ("speed-up in PyTorch, one item", "≥ {goal:g}"),
}


def small(verdict: dict[str, Any]) -> str:
    """A verdict, or a comparison, with six digits of each number and without white space, examples and made inputs, which hold
    images, and bins of calibration, of which the error stays: the checkout is one of few megabytes."""
    verdict.pop("made_inputs", None)
    for part in (verdict, *verdict.get("results", {}).values()):
        part.pop("examples", None)
    return json.dumps(rounded(_shortened(verdict)), ensure_ascii=False, separators=(",", ":")) + "\n"


def _shortened(content: Any) -> Any:
    """Without bins of calibration, and without fields that are null but for those that have no defaults."""
    if isinstance(content, dict):
        needed = ("teacher", "control")
        kept = {key: value for key, value in content.items() if key != "calibration" and (key in needed or value is not None)}
        return {key: value if key in ("term_graph", "wiring") else _shortened(value) for key, value in kept.items()}
    return [_shortened(value) for value in content] if isinstance(content, list) else content


def rounded(content: Any) -> Any:
    """The content of a JSON file with six significant digits of each number."""
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    if isinstance(content, list):
        return [rounded(value) for value in content]
    return float(f"{content:.6g}") if isinstance(content, float) else content


def keep_recipe(resolved: Path, kept: Path) -> None:
    """Copies a resolved recipe without the fields that are empty, if it says the same without them."""
    fields = read_fields(resolved)
    kept.write_text(yaml.safe_dump(_without_empty(fields), sort_keys=False, allow_unicode=True), encoding="utf-8")
    kind = kind_of(fields)
    if kind.read(kept) != kind.read(resolved):
        shutil.copy(resolved, kept)


def _without_empty(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_empty(value) for key, value in content.items() if value not in (None, "", [])}
    return [_without_empty(value) for value in content] if isinstance(content, list) else content


def keep_verdict(run: Path, kept: Path) -> None:
    """Copies the recipe and the verdict of a run in as few bytes as hold what they say."""
    keep_recipe(run / "recipe.yaml", kept / "recipe.yaml")
    (kept / "verdict.json").write_text(small(json.loads((run / "verdict.json").read_text(encoding="utf-8"))), encoding="utf-8")


def keep_student(student: Path, kept: Path) -> None:
    """Copies a student with weights in half precision, which are read back as float32."""
    shutil.copytree(student, kept)
    weights = load_file(file := kept / "model.safetensors")
    save_file({name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}, file)
    write_checksums(kept)


def keep(name: str, run: Path) -> Verdict:
    """Copies the verdict of a run and records its targets as bars."""
    verdict = Verdict.load(run)
    kept = RESULTS / name
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    if verdict.targets and all(file.stat().st_size <= LARGEST for file in (run / "student").iterdir()):
        keep_student(run / "student", kept / "student")
    keep_verdict(run, kept)
    intervals = {"gain": _points(verdict), "retention": verdict.result.retention_ci95}
    for target, result in verdict.targets.items():
        figure, bar = BARS[target]
        record(
            TOPICS[name],
            f"{name}: {figure}",
            bar.format(goal=result.goal),
            float("nan") if result.value is None else result.value,
            intervals.get(target),
            result.met,
            f"python -m benchmarks.recipes {name}",
            f"{DATA.get(name, name.split('-')[0])}, {_items(verdict)}",
            verdict.seeds,
        )
    if name in TEXTS:
        _record_beside(name, verdict)
        _record_int8(name, verdict)
    if name == "minilm_v2":
        _record_size(name, verdict, run)
    print(f"{name}: {verdict.sentence()}")
    return verdict


def _record_beside(name: str, verdict: Verdict) -> None:
    """Figures that are no target of a recipe, but are recorded."""
    rows: dict[str, tuple[str, float | None, tuple[float, float] | None, bool]] = {
        "retention": ("no goal", verdict.retention, verdict.result.retention_ci95, True),
        "compression": ("no goal", verdict.result.compression, None, True),
    }
    if verdict.gain is not None:
        rows["gain"] = ("interval above 0", 100 * verdict.gain.value, _points(verdict), verdict.gain.ci95[0] > 0)
    for target, (bar, value, ci95, met) in rows.items():
        if target not in verdict.targets and value is not None:
            by = f" ({verdict.metric.name})" if target == "retention" else ""
            row = ("text", f"{name}: {BARS[target][0]}{by}", bar, value, ci95, met)
            record(*row, f"python -m benchmarks.recipes {name}", f"{DATA[name]}, {_items(verdict)}", verdict.seeds)


def _record_int8(name: str, verdict: Verdict) -> None:
    """Figures of the int8 student in its runtime."""
    for found in verdict.exports:
        if (found.model, found.format, found.precision) != ("student", "onnx", "int8") or found.metric is None:
            continue
        figures = {
            f"{verdict.metric.name}, %": (100 * found.metric, found.ci95 and tuple(100 * end for end in found.ci95)),
            "megabytes": ((found.bytes or 0) / 1e6, None),
            f"milliseconds for {found.input or 'one text'}, one thread": (
                found.latency_ms.median if found.latency_ms else float("nan"),
                None,
            ),
        }
        for what, (value, ci95) in figures.items():
            row = ("text", f"{name}: int8 student in ONNX Runtime, {what}", "no goal", value, ci95, True)
            record(*row, f"python -m benchmarks.recipes {name}", f"{DATA[name]}, {_items(verdict)}", verdict.seeds)


def _record_size(name: str, verdict: Verdict, run: Path) -> None:
    """The claims of MiniLM's papers: fewer layers, less memory. Memory is the growth of a fresh process for one item: the
    teacher's as it is against the student's as it would be shipped, in one runtime."""
    student, teacher = (json.loads((run / who / "config.json").read_text()) for who in ("student", "teacher"))
    grown = {(e.model, e.precision): e.peak_memory_bytes for e in verdict.exports if e.format == "onnx"}
    ours, theirs = grown.get(("student", "int8")), grown.get(("teacher", "fp32"))
    shares = {
        "layers fewer than the teacher's, %": (66, 1 - student["num_hidden_layers"] / teacher["num_hidden_layers"]),
        "inference memory less, int8 student than fp32 teacher in ONNX Runtime, %": (
            84,
            1 - ours / theirs if ours and theirs else float("nan"),
        ),
    }
    for what, (goal, share) in shares.items():
        row = ("text", f"{name}: {what}", f"≥ {goal}", 100 * share, None, 100 * share >= goal)
        record(*row, f"python -m benchmarks.recipes {name}", f"{DATA[name]}, {_items(verdict)}", verdict.seeds)


def _points(verdict: Verdict) -> tuple[float, float] | None:
    return None if verdict.gain is None else (100 * verdict.gain.ci95[0], 100 * verdict.gain.ci95[1])


def _items(verdict: Verdict) -> str:
    cost = verdict.cost
    return "" if cost is None else f"{cost.student_steps:,} student steps"


def run(name: str) -> None:
    folder = ROOT / "runs" / f"benchmark-{name}"
    began = time.perf_counter()
    verdict = carry_out(name, folder)
    keep(name, folder)
    if name == "digits" and verdict.cost is not None:
        seconds = time.perf_counter() - began
        row = ("main-job", "digits: the demo after set-up, seconds", "< 120", seconds, None, seconds < 120)
        record(*row, "python -m benchmarks.recipes digits", "digits, teacher included", verdict.seeds)


def carry_out(name: str, folder: Path) -> Verdict:
    """Runs a recipe of either kind."""
    file = ROOT / "recipes" / f"{name}.yaml"
    if name == "federated-cells":
        os.environ.setdefault("LIMBECK_CELLS", str(CELLS))
        blood_cells.write(Path(os.environ["LIMBECK_CELLS"]))
    if kind_of(read_fields(file)) is not Federation:
        return run_recipe(Recipe.read(file), folder, resume=folder.exists())
    from limbeck.integrations.flower.run import run_federation

    return run_federation(Federation.read(file), folder, resume=folder.exists(), console=Console())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*TOPICS, []], default=[])
    parser.add_argument("--run", type=Path, help="keep the verdict of this run instead of training")
    args = parser.parse_args()
    for name in args.names or TOPICS:
        if args.run:
            keep(name, args.run)
        elif name != "digits" and "LIMBECK_DATA" not in os.environ:
            print(f"{name}: left out, LIMBECK_DATA is not set")
        else:
            run(name)


if __name__ == "__main__":
    main()
