"""`kill -9` at every kind of write of a run, then resume: weights, files and verdict must equal those of a run left alone.

    python -m benchmarks.faults kills

The run is a small one on texts, from its teacher to an exported file. A process that carries it out counts the times it opens
a file of the run for writing, makes a folder or renames one, and kills itself just before one that is chosen beforehand:
moments are spread evenly over what is written (teacher, student, tokenizer, verdict, report, export, cache, checkpoints, log).
The memory of models is not measured: fresh processes do so, which write no file of the run and take most of its time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.bars import record
from benchmarks.fault_recipes import IN_MEMORY

KILLS = 40
STEPS = {"steps": 4, "batch_size": 16, "checkpoint_every": 2, "log_every": 2, "trackers": [], "threads": 1, "device": "cpu"}
KINDS = {  # what is written, by its path
    "tokenizer": r"tokenizer|vocab|special_tokens",
    "teacher": r"/run/\.?teacher",
    "control": r"/run/\.?control",
    "student": r"/run/\.?student",
    "verdict": r"verdict\.json",
    "report": r"report\.html",
    "export": r"/exports",
    "cache": r"/store/",
    "checkpoint": r"/checkpoints/",
    "log": r"log\.jsonl",
}
OTHER = "recipe, inputs, predictions"
Moments = list[tuple[str, int]]  # what is written, and the number of the write


def recipe(small: Path) -> dict[str, Any]:
    texts = str(small / "data" / "sst2")
    return {
        "name": "kills",
        "data": {"train": f"{texts}/train.parquet", "test": f"{texts}/test.parquet", "validation": 0.2, "max_length": 16},
        "teacher": {"model": "transformers", "args": {"name_or_path": str(small / "bert")}, "training": STEPS},
        "student": {"from_teacher": {"init_from_teacher": {"layers": [0]}}, "vocabulary": True},
        "terms": [{"hard_targets": {"weight": 0.5}}, {"soft_targets": {"weight": 0.5}}],
        "training": STEPS,
        "cache": "auto",
        "export": {"formats": ["onnx"], "precisions": ["fp32"]},
    }


def kind_of(path: str) -> str:
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, path)), OTHER)


def carry_out(content: dict[str, Any], folder: Path, moment: int | None, seen: Path | None) -> None:
    """Runs or resumes the recipe; dies just before the write of this number, and notes all writes in `seen`."""
    from limbeck.export import costs, exporter
    from limbeck.recipe import Recipe
    from limbeck.runs import run_recipe

    for measured in (costs, exporter):
        measured.peak_memory = lambda kind, path, shape: 10**6  # type: ignore[attr-defined]
    number, found = 0, []

    def hear(event: str, given: tuple[Any, ...]) -> None:
        nonlocal number
        if event == "open" and not (isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        if event not in ("open", "os.rename", "os.mkdir") or not isinstance(given[0], str | os.PathLike):
            return
        path = os.fspath(given[1] if event == "os.rename" else given[0])
        if not path.startswith(str(folder.parent)):
            return
        if number == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        found.append(kind_of(path))
        number += 1

    sys.addaudithook(hear)
    try:
        run_recipe(Recipe.from_dict(content), folder, resume=True, progress=False)
    finally:
        if seen is not None:
            seen.write_text(json.dumps(found))


def in_process(*given: Any) -> int | None:
    """Calls `carry_out` in a process forked from one that has imported everything; returns its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["limbeck.runs.distill", "limbeck.evaluation.report", "transformers.modeling_utils", "onnx"])
    process = context.Process(target=carry_out, args=given)
    process.start()
    process.join()
    return process.exitcode


def spread(writes: list[str], count: int) -> Moments:
    """Chooses moments evenly: as many of each kind as there are, first and last write of a kind first."""
    places: dict[str, list[int]] = {}
    for number, kind in enumerate(writes):
        places.setdefault(kind, []).append(number)
    share = -(-count // len(places))
    chosen = [
        (kind, own[round(step * (len(own) - 1) / max(1, share - 1))]) for kind, own in places.items() for step in range(share)
    ]
    unique = list(dict.fromkeys(chosen))
    rest = [(kind, number) for number, kind in enumerate(writes) if (kind, number) not in unique]
    return (unique + rest[:: max(1, len(rest) // count)])[:count]


def outcome(folder: Path) -> dict[str, Any]:
    """What must not depend on a kill: weights and tokenizers byte by byte, the log, the names of all files, every figure that
    is no time."""
    models = [
        path for name in ("teacher", "control", "student") for path in sorted((folder / name).rglob("*")) if path.is_file()
    ]
    verdict = json.loads((folder / "verdict.json").read_text())
    result = verdict["results"]["student"]
    arms = {"teacher": verdict["teacher"], "control": result["control"], "student": result["distilled"]}
    figures = {name: [arm[key] for key in ("metric", "ci95", "per_seed", "ece")] for name, arm in arms.items()}
    exports = [[each[key] for key in ("model", "format", "path", "bytes", "metric", "error")] for each in verdict["exports"]]
    return {
        "weights and tokenizers": {str(path.relative_to(folder)): path.read_bytes() for path in models},
        "log": (folder / "log.jsonl").read_text(),
        "files": sorted(str(path.relative_to(folder.parent)) for path in folder.parent.rglob("*")),
        "verdict": [figures, result["gain"], result["retention"], result["agreement"], exports],
        "report": (folder / "report.html").stat().st_size > 0,
    }


def differing(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    return [part for part in expected if expected[part] != found[part]]


def try_kills(
    place: Path, content: dict[str, Any], choose: Callable[[list[str]], Moments]
) -> Iterable[tuple[str, int, list[str]]]:
    """Yields what was written at each kill, the number of the write, and what differs after resuming."""
    quiet = place / "quiet" / "run"
    if in_process(content, quiet, None, place / "writes.json") != 0:
        raise RuntimeError("the run that nobody kills has failed; its message stands above")
    expected = outcome(quiet)
    for kind, number in choose(json.loads((place / "writes.json").read_text())):
        run = place / f"killed-{number}" / "run"
        died = in_process(content, run, number, None) == -signal.SIGKILL
        resumed = in_process(content, run, None, None) == 0
        wrong = ["no kill"] * (not died) + ["not resumed"] * (not resumed)
        yield kind, number, wrong or differing(expected, outcome(run))
        shutil.rmtree(run.parent)


def write_text_teacher(small: Path) -> None:
    """Sentences and a tiny untrained BERT with its tokenizer."""
    import random

    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    from tests.data.loading.files import parquet

    draw, words = random.Random(0), ["good", "bad", "film", "plot", "is", "the"]
    (small / "data" / "sst2").mkdir(parents=True)
    for split in ("train", "test"):
        texts = [" ".join(draw.choices(words, k=6)) for _ in range(80)]
        labels = [int(text.count("good") > text.count("bad")) for text in texts]
        parquet(small / "data" / "sst2" / f"{split}.parquet", sentence=texts, label=labels)
    known = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    BertTokenizerFast(vocab=known, model_max_length=32).save_pretrained(small / "bert")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = BertConfig(vocab_size=len(known), max_position_embeddings=32, **sizes)
    BertForSequenceClassification(config).save_pretrained(small / "bert")


def measure(*, dry: bool) -> None:
    same, kinds = 0, set()
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        place = Path(folder).resolve()
        write_text_teacher(place / "small")
        for kind, number, wrong in try_kills(place, recipe(place / "small"), lambda writes: spread(writes, KILLS)):
            same, kinds = same + (not wrong), kinds | {kind}
            print(f"{kind}, write {number}: {'the same' if not wrong else ', '.join(wrong)}", flush=True)
    print(f"the same after {same} of {KILLS} kills")
    if not dry:
        data = f"80 sentences, tiny BERT with a smaller vocabulary; killed while writing {', '.join(sorted(kinds))}"
        note = (
            "weights and tokenizers byte by byte, the log, the names of all files, every figure of the verdict that is no time"
        )
        figure = f"kill -9 at {KILLS} moments spread over all that is written, then resume: the same"
        command = "python -m benchmarks.faults kills"
        record("faults", figure, f"{KILLS} of {KILLS}", same, None, same == KILLS, command, data, [0], note)
