"""Measures how much faster a text student is than its teacher, on one thread, in PyTorch and ONNX Runtime, float32 and int8.

    OMP_NUM_THREADS=1 python -m benchmarks.text_latency runs/my-text-student --data validation.parquet      # measure and record
    OMP_NUM_THREADS=1 python -m benchmarks.text_latency TEACHER STUDENT --data validation.parquet --dry     # print only

Sentences are read one by one and in batches of 32; the sizes of the files and the memory of one sentence are measured too. The
folder of a run holds teacher/ and student/; otherwise each is a folder that `load_model` reads, with a tokenizer in it or in
its teacher's. Run it while nothing else runs: it measures milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.bars import record
from limbeck import models
from limbeck.data import load_items
from limbeck.data.storage import TextStorage
from limbeck.export import PYTORCH, Runner, formats, peak_memory
from limbeck.export.catalogue import runtime
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe import expand_variables

MODELS = ("teacher", "student")
BARS = {"tinybert": 9.4, "mobilebert": 5.5, "distilbert": 1.6}  # of our recipes
SETTINGS = ((PYTORCH, "fp32"), ("onnx", "fp32"), ("onnx", "int8"))
TITLES = {PYTORCH: "PyTorch", "onnx": "ONNX Runtime"}
BATCHES = (1, 32)
STRETCH, RESAMPLES = 16, 2000
Text = str | tuple[str, str]
Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Ratio:
    """What one setting costs at one batch size.

    Attributes:
        teacher_ms, student_ms: medians over the batches.
        ratio: median over the batches of the teacher's time ÷ the student's.
        ci95: of the ratio, by bootstrap over the batches.
    """

    format: str
    precision: str
    batch: int
    teacher_ms: float
    student_ms: float
    ratio: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class Found:
    """What `latencies` measured. Bytes are by model, format and precision; memory of one sentence, None unless asked for."""

    ratios: list[Ratio]
    tokens: float
    file_bytes: dict[tuple[str, str, str], int]
    memory_bytes: dict[tuple[str, str, str], int] | None = None

    def ratio(self, format: str, precision: str, batch: int = 1) -> Ratio:
        return next(one for one in self.ratios if (one.format, one.precision, one.batch) == (format, precision, batch))


def latencies(
    teacher: str | Path,
    student: str | Path,
    texts: Sequence[Text],
    *,
    max_length: int = 128,
    repeats: int = 3,
    memory: bool = False,
    tokenizers: Mapping[str, str | Path] | None = None,
) -> Found:
    """Measure both models on `texts`, on one thread; they take turns, 16 texts or batches each, so that what disturbs one
    disturbs both.

    Args:
        teacher, student: folders that `limbeck.models.load_model` reads.
        texts: real sentences, or pairs of them. One by one they are not padded; 32 at once to the longest of the batch.
        max_length: tokens at which texts are cut.
        repeats: rounds over the texts; of each text the median counts.
        memory: measure peak memory too, in fresh processes, on a text of the middle length; seconds for each file.
        tokenizers: by model, where they are not in its folder: else the student reads as its teacher does.

    Raises:
        ValueError: fewer than two texts.
        ExportError: a model cannot be exported.
    """
    if len(texts) < 2:
        raise ValueError(f"texts: {len(texts)} given; an interval needs two or more")
    folders = {"teacher": Path(teacher), "student": Path(student)}
    read = {model: _reader(model, folders, tokenizers or {}, max_length) for model in MODELS}
    with tempfile.TemporaryDirectory() as place:
        files = dict(_files(folders, read, texts, Path(place)))
        runners = {key: runtime(key[1]).open(path) for key, path in files.items()}
        ratios = [
            _ratio(setting, size, runners, {model: list(_batches(read[model], texts, size)) for model in MODELS}, repeats)
            for size in BATCHES
            if len(texts) >= 2 * size
            for setting in SETTINGS
        ]
        lengths = [len(each["input_ids"][0]) for each in _batches(read["teacher"], texts, 1)]
        middle = int(statistics.median(lengths))
        grown = {key: peak_memory(runtime(key[1]), path, (middle,)) for key, path in files.items()} if memory else None
        return Found(ratios, float(np.mean(lengths)), {key: _bytes(path) for key, path in files.items()}, grown)


def _reader(model: str, folders: Mapping[str, Path], given: Mapping[str, str | Path], max_length: int) -> Any:
    """What turns texts into a model's inputs."""
    place = given.get(model) or next(
        (folder for folder in (folders[model], folders["teacher"]) if _has_tokenizer(folder)), None
    )
    if place is None:
        raise ValueError(f"{folders[model]}: no tokenizer in it; name one (--tokenizer)")
    tokenizer = load_tokenizer(str(place), local_files_only=True)
    names = _names(folders[model])

    def read(texts: Sequence[Text]) -> Inputs:
        parts = list(texts) if isinstance(texts[0], str) else [list(side) for side in zip(*texts, strict=True)]
        sides = (parts,) if isinstance(texts[0], str) else tuple(parts)
        made = tokenizer(*sides, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
        return {name: made[name] for name in names if name in made}

    return read


def _names(folder: Path) -> tuple[str, ...]:
    return runtime(PYTORCH).open(folder).names


def _has_tokenizer(folder: Path) -> bool:
    return any(folder.rglob("tokenizer.json")) or any(folder.rglob("vocab.txt"))


def _files(
    folders: Mapping[str, Path], read: Mapping[str, Any], texts: Sequence[Text], place: Path
) -> Iterator[tuple[tuple[str, str, str], Path]]:
    """Each model in each setting, the ONNX files written now."""
    onnx = formats.get("onnx")
    for name in MODELS:
        model = models.load_model(folders[name])
        for kind, precision in SETTINGS:
            path = folders[name] if kind == PYTORCH else place / f"{name}-{precision}.onnx"
            if kind != PYTORCH:
                onnx.write(model, path, read[name](texts[:2]), precision=precision)
            yield (name, kind, precision), path


def _batches(read: Any, texts: Sequence[Text], size: int) -> Iterator[Inputs]:
    """Whole batches in the order of the texts."""
    for start in range(0, len(texts) - size + 1, size):
        yield read(texts[start : start + size])


def _ratio(
    setting: tuple[str, str],
    size: int,
    runners: Mapping[tuple[str, str, str], Runner],
    batches: Mapping[str, list[Inputs]],
    repeats: int,
) -> Ratio:
    kind, precision = setting
    pair = {model: runners[model, kind, precision] for model in MODELS}
    count = len(batches["teacher"])
    stretches = [range(start, min(start + STRETCH, count)) for start in range(0, count, STRETCH)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        turns = np.array([np.concatenate([_turn(pair, batches, places) for places in stretches]) for _ in range(repeats)])
    finally:
        torch.set_num_threads(threads)
    times = np.median(turns, axis=0)  # [batches, models]
    ratio, ci95 = _median_with_interval(times[:, 0] / times[:, 1])
    medians = np.median(times, axis=0)
    return Ratio(kind, precision, size, float(medians[0]), float(medians[1]), ratio, ci95)


def _turn(pair: Mapping[str, Runner], batches: Mapping[str, list[Inputs]], places: Sequence[int]) -> NDArray[np.float64]:
    """Milliseconds [places, models] of the same texts, by the teacher and right after that by the student; a stretch of texts
    each, after one that is not timed: on its device a model finds its own weights in the caches, not another's."""
    found = np.empty((len(places), len(MODELS)))
    for column, model in enumerate(MODELS):
        pair[model](batches[model][places[0]])
        for row, place in enumerate(places):
            began = time.perf_counter_ns()
            pair[model](batches[model][place])
            found[row, column] = (time.perf_counter_ns() - began) / 1e6
    return found


def _median_with_interval(values: NDArray[np.float64]) -> tuple[float, tuple[float, float]]:
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(np.median(values[draws], axis=1), [2.5, 97.5])
    return float(np.median(values)), (float(low), float(high))


def _bytes(path: Path) -> int:
    """Of a file, or of the weights in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*.safetensors")))


Row = tuple[str, str, float, tuple[float, float] | None, bool]


def rows(name: str, found: Found, bar: float) -> Iterator[Row]:
    """Figure, bar, value, interval, met."""
    for one in found.ratios:
        what = "one sentence" if one.batch == 1 else f"{one.batch} sentences"
        title = f"{name}: {TITLES[one.format]} {one.precision}, {what}: teacher's latency ÷ student's"
        yield title, f"≥ {bar:g}", one.ratio, one.ci95, one.ratio >= bar
    share = found.file_bytes["teacher", "onnx", "fp32"] / found.file_bytes["student", "onnx", "int8"]
    yield f"{name}: fp32 teacher's ONNX file ÷ int8 student's", "no goal", share, None, True
    if found.memory_bytes is not None:
        grown = found.memory_bytes["teacher", PYTORCH, "fp32"] / max(1, found.memory_bytes["student", "onnx", "int8"])
        title = f"{name}: inference memory, teacher in PyTorch ÷ int8 student in ONNX Runtime"
        yield title, "no goal", grown, None, True


def show(found: Found) -> None:
    for one in found.ratios:
        print(
            f"{one.format:8} {one.precision} batch {one.batch:2}: {one.teacher_ms:8.3f} ms {one.student_ms:8.3f} ms  "
            f"{one.ratio:.2f}× [{one.ci95[0]:.2f}, {one.ci95[1]:.2f}]"
        )
    for key, size in found.file_bytes.items():
        grown = "" if found.memory_bytes is None else f", memory {found.memory_bytes[key] / 1e6:.2f} MB"
        print(f"{' '.join(key)}: {size / 1e6:.2f} MB{grown}")


def _folders(given: Sequence[Path]) -> tuple[Path, Path]:
    """Teacher and student: of a run, or as they are named."""
    if len(given) == 2:
        return given[0], given[1]
    run = given[0]
    if len(given) > 2 or not (run / "student").is_dir() or not (run / "teacher").is_dir():
        raise SystemExit(f"{run}: expected a run that holds teacher/ and student/, or two folders: TEACHER STUDENT")
    return run / "teacher", run / "student"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="a run, or TEACHER STUDENT")
    parser.add_argument("--data", required=True, help="a table with a column of texts; ${LIMBECK_DATA} may be in its path")
    parser.add_argument("--name", help="what the figures are called; the student's folder or run by default")
    parser.add_argument("--items", type=int, default=128, help="measure on the first so many texts")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokenizer", help="of both, where the folders hold none")
    parser.add_argument("--bar", type=float, default=5.0, help="what each ratio of latencies is held against")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    args = parser.parse_args()
    options = {"max_length": args.max_length, "repeats": args.repeats}
    if args.tokenizer is not None:
        options["tokenizers"] = dict.fromkeys(MODELS, args.tokenizer)
    measure(args.folders, args.data, args.bar, name=args.name, items=args.items, dry=args.dry, **options)


def measure(
    folders: Sequence[Path],
    data: str,
    bar: float,
    *,
    name: str | None = None,
    items: int = 128,
    dry: bool = False,
    **options: Any,
) -> None:
    """Measure, print and record; the arguments are those of the command."""
    teacher, student = _folders(folders)
    storage = load_items(expand_variables(data, "--data")).storage
    if not isinstance(storage, TextStorage):
        raise SystemExit(f"--data {data}: it holds no texts")
    texts = storage.texts[:items]
    found = latencies(teacher, student, texts, memory=True, **options)
    show(found)
    about = f"{Path(data).parent.name}, {len(texts)} sentences of {found.tokens:.1f} tokens on average, one thread"
    command = f"OMP_NUM_THREADS=1 python -m benchmarks.text_latency {' '.join(map(str, folders))} --data '{data}'"
    for figure, goal, value, ci95, met in rows(name or folders[0].name, found, bar):
        print(f"{figure}: {value:.4g} ({goal}) {'met' if met else 'NOT MET'}")
        if not dry:
            record("text", figure, goal, value, ci95, met, f"{command} --bar {bar:g}", about, 1)


if __name__ == "__main__":
    main()
