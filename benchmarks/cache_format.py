"""Measures the files of the teacher cache: bytes per item, lookups in ten million items, fidelity, kills and flipped bytes.

    python -m benchmarks.cache_format [--dry] [PART …]

Parts are sizes, fidelity, flips, kills and lookups; all by default. `--dry` prints the figures and records none. The largest
cache takes about 300 MB in the system's temporary folder. The contents are synthetic: the cost of the format does not depend on
them.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.bars import record
from limbeck.core.signals import AnySignal, TopK
from limbeck.teacher_cache import (
    Codec,
    CorruptFileError,
    Dense,
    Store,
    StoreBuilder,
    Tokens,
    TokenSignals,
    TopKCodec,
    check_store,
    store_info,
)
from limbeck.teacher_cache.codecs.top_k import to_top_k
from tests.teacher_cache import build_script, examples

COMMAND = "python -m benchmarks.cache_format"
BATCH, BATCHES, WARM = 256, 400, 100  # look-ups: items a batch, batches, and how many of them come before the clock counts
GROWTH = (10**4, 10**5, 10**6, 10**7)
KILLS, FLIPS = 20, 1000

Report = Callable[..., None]
Give = Callable[[int], Mapping[str, AnySignal]]


def build(folder: Path, items: int, views: int, codec: Codec, give: Give, batch: int = 16_384) -> float:
    """Builds a cache of random keys. Returns the seconds it took."""
    began = time.perf_counter()
    keys = torch.randint(-(2**63), 2**63 - 1, (items,), generator=torch.Generator().manual_seed(items))
    with StoreBuilder(folder, keys, views, {"logits": codec}, {"teacher": "synthetic"}, example=give(8)) as builder:
        for task in builder.pending():
            for part in task.keys.split(batch):
                builder.write(task, give(len(part)))
    return time.perf_counter() - began


def softmaxed(classes: int, k: int, rows: int = 16_384) -> Give:
    """Top-k signals of random logits; one batch, drawn once, of which each call gives the first rows."""
    z = torch.randn(min(rows, 2 * 10**7 // classes), classes, generator=torch.Generator().manual_seed(0)) * 3
    top = to_top_k(z, k, classes)
    times = -(-rows // len(z))
    values, indices, tail = top.values.repeat(times, 1), top.indices.repeat(times, 1), top.tail.repeat(times)
    return lambda count: {"logits": TopK(values[:count], indices[:count], tail[:count])}


def sizes(place: Path, report: Report) -> None:
    dense = torch.randn(16_384, 10)
    one: dict[str, float] = {}
    cases: list[tuple[str, str, float, Codec, Give]] = [
        ("10 classes, dense fp16", "50,000 items", 24, Dense("fp16"), lambda count: {"logits": dense[:count]}),
        ("1,000 classes, k = 16", "50,000 items", 56, TopKCodec(16, 1000), softmaxed(1000, 16)),
    ]
    for name, data, bar, codec, give in cases:
        for views in (1, 8):
            build(place / f"{name}-{views}", 50_000, views, codec, give)
            one[name] = one.get(name, store_info(place / f"{name}-{views}").per_item or 0.0)
        found = store_info(place / f"{name}-8").per_item or 0.0
        note = f"at 8 views; {one[name]:.2f} at 1 view. Keys, headers, manifest and page included"
        report(f"bytes per item and view: {name}", f"≤ {bar}", found, None, found <= bar, f"{data}, 8 views", note)

    tokens, rows = 512, 400
    top = softmaxed(151_936, 32, tokens)(tokens)["logits"]
    assert isinstance(top, TopK)

    def texts(count: int) -> dict[str, AnySignal]:
        many = TopK(top.values.repeat(count, 1), top.indices.repeat(count, 1), top.tail.repeat(count))
        return {"logits": TokenSignals(many, torch.full((count,), tokens), torch.arange(count))}

    build(place / "text", rows, 1, Tokens(TopKCodec(32, 151_936)), texts, batch=16)
    found = store_info(place / "text").total / (rows * tokens)
    note = f"1 view of texts of {tokens} tokens; keys, token hashes, offsets, headers, manifest and page included"
    report("bytes per token: 151,936 tokens, k = 32", "≤ 108", found, None, found <= 108, f"{rows} texts", note)


def fidelity(place: Path, report: Report) -> None:
    """The worst divergence over distributions from flat to sharp, and how often the most probable class is the same."""
    worst, same, items = 0.0, 0, 0
    for classes, k in ((10, 10), (1000, 16), (151_936, 32)):
        for sharpness in (0.1, 1.0, 3.0, 10.0, 30.0):
            z = torch.randn(256, classes, generator=torch.Generator().manual_seed(k)) * sharpness
            codec = TopKCodec(k, classes)
            stored, exact = codec.decode(codec.encode(z)), to_top_k(z, k, classes)
            p, q = (torch.cat([part.values, part.tail.unsqueeze(1)], 1).double() for part in (exact, stored))
            worst = max(worst, float((torch.xlogy(p, p) - torch.xlogy(p, q)).sum(1).max()))
            same, items = same + int((stored.indices[:, 0] == z.argmax(1)).sum()), items + len(z)
    data = f"{items:,} random logits, flat to sharp; k of classes: 10 of 10, 16 of 1,000, 32 of 151,936"
    name = "8-bit values against the given ones"
    report(f"{name}: largest KL, nat", "≤ 1e-3", worst, None, worst <= 1e-3, data, "over the support and the tail")
    report(f"{name}: top-1 agreement", "100 %", same / items, None, same == items, data, None)


def flips(place: Path, report: Report) -> None:
    folder, keys, draw = place / "flips", examples.keys(60), random.Random(0)
    examples.build(folder, keys, 2, examples.CODECS, examples.signals, rows=30)
    files = [path for path in sorted(folder.rglob("*.*")) if path.suffix in (".json", ".safetensors")]
    whole = {path: path.read_bytes() for path in files}
    checked = refused = 0
    for _ in range(FLIPS):
        path = draw.choices(files, [len(whole[path]) for path in files])[0]
        where, bit = draw.randrange(len(whole[path])), 1 << draw.randrange(8)
        path.write_bytes(whole[path][:where] + bytes([whole[path][where] ^ bit]) + whole[path][where + 1 :])
        checked += any(path.name in message for message in check_store(folder, progress=False))
        try:
            for view in (0, 1):
                Store.open(folder).read(keys, view)
        except CorruptFileError as error:
            refused += error.path == path
        path.write_bytes(whole[path])
    found = min(checked, refused)
    note = "each found by check and by the first read, with the file's name"
    report("flipped bytes found", f"{FLIPS} of {FLIPS}", found, None, found == FLIPS, f"a cache of {len(files)} files", note)


def kills(place: Path, report: Report) -> None:
    keys, draw = examples.keys(build_script.SAMPLES), random.Random(0)
    examples.build(place / "quiet", keys, build_script.VIEWS, examples.CODECS, examples.signals, build_script.ROWS)
    expected, same, tried, pause = examples.content(place / "quiet"), 0, 0, 0.02
    lasts = pause * build_script.VIEWS * build_script.SAMPLES / 16
    while tried < KILLS:
        folder = place / f"killed-{tried}"
        at_work = build_script.killed(folder, pause, draw.uniform(0, lasts))
        examples.build(folder, keys, build_script.VIEWS, examples.CODECS, examples.signals, build_script.ROWS)
        tried, same = tried + at_work, same + (at_work and examples.content(folder) == expected)
        shutil.rmtree(folder)
    name, data = "kill -9 at 20 random moments of a build, then resume: the same bytes", f"{len(expected)} files, four codecs"
    report(name, f"{KILLS} of {KILLS}", same, None, same == KILLS, data, None)


def lookups(place: Path, report: Report, growth: Sequence[int] = GROWTH) -> None:
    for items in sorted(growth):
        found = grown(place / f"items-{items}", items)
        print(
            f"{items:>10,} items: built at {found['rows_per_second']:,.0f} a second, {found['bytes_per_item']:.2f} bytes an "
            f"item, batch of {BATCH}: median {found['median']:.2f} ms [{found['low']:.2f}, {found['high']:.2f}], first "
            f"{found['first']:.0f} ms, resident growth {found['grown']:.0f} MB"
        )
    data = f"{items:,} items, k = 8 of 1,000 classes, one thread"
    name, ci95 = f"random batch of {BATCH} from {items:,} items", [found["low"], found["high"]]
    note = "each checksum was compared before; interval: 2.5 to 97.5 % of the batches"
    report(f"{name}: median, ms", "≤ 2", found["median"], ci95, found["median"] <= 2, data, note)
    report(f"{name}: resident growth, MB", "≤ 300", found["grown"], None, found["grown"] <= 300, data, None)


def grown(folder: Path, items: int) -> dict[str, float]:
    """A store of so many items: how fast it was written, its bytes an item, and look-ups in it from a fresh process."""
    seconds = build(folder, items, 1, TopKCodec(8, 1000), softmaxed(1000, 8))
    keys = load_file(folder / "segments" / "000" / "keys.safetensors")["keys"]
    draw = torch.randint(0, items, (BATCHES * BATCH,), generator=torch.Generator().manual_seed(1))
    asked = folder.with_name("asked.safetensors")
    save_file({"keys": keys[draw]}, asked)
    command = [sys.executable, "-m", "benchmarks.cache_format", "--read", str(folder), str(asked)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    size = store_info(folder).per_item or 0.0
    shutil.rmtree(folder)
    return {"items": items, "rows_per_second": items / seconds, "bytes_per_item": size, **found}


def read(folder: Path, asked: Path) -> dict[str, float]:
    """Look up batches in a process that did nothing else; milliseconds and megabytes."""
    torch.set_num_threads(1)
    batches: list[Tensor] = list(load_file(asked)["keys"].split(BATCH))
    _look(Store.open(folder), batches[0][:0])  # what importing costs is not the store's
    before, took, most = _resident(), [], 0.0
    store = Store.open(folder)
    for batch in batches:
        began = time.perf_counter()
        _look(store, batch)
        took.append((time.perf_counter() - began) * 1e3)
        most = max(most, _resident())
    warm = sorted(took[WARM:])
    low, high = warm[int(0.025 * len(warm))], warm[int(0.975 * len(warm))]
    return {"median": statistics.median(warm), "low": low, "high": high, "first": took[0], "grown": most - before}


def _look(store: Store, keys: Tensor) -> None:
    if not bool(store.read(keys, 0).found.all()):
        raise RuntimeError("a key of the store was not found in it")


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    parts: dict[str, Callable[[Path, Report], None]] = {
        "sizes": sizes,
        "fidelity": fidelity,
        "flips": flips,
        "kills": kills,
        "lookups": lookups,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", default=list(parts))
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--items", nargs="+", type=int, default=GROWTH, help="sizes of the stores that are looked up")
    parser.add_argument("--read", nargs=2, type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.read:
        print(json.dumps(read(*chosen.read)))
        return

    def report(figure: str, bar: str, value: float, ci95: Any, met: bool, data: str, note: str | None) -> None:
        print(f"{figure}: {value:.4g}{'' if ci95 is None else f' {ci95}'} (bar {bar}: {'met' if met else 'NOT MET'}); {data}")
        if not chosen.dry:
            record("store", figure, bar, value, ci95, met, COMMAND, data, [0], note)

    parts["lookups"] = partial(lookups, growth=chosen.items)
    for name in chosen.parts:
        with tempfile.TemporaryDirectory() as place:
            parts[name](Path(place), report)


if __name__ == "__main__":
    main()
