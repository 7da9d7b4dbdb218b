"""Measures how the teacher cache grows, and computes what very large ones need: the tables of docs/scale.md.

    python -m benchmarks.scale             # about ten minutes and 400 MB in the system's temporary folder
    python -m benchmarks.scale --write     # write the page again from the last measurement

Measured: lookups and writing at 10⁴ to 10⁷ items, bytes per item of each format, and how fast one thread turns dense logits
into rows. Computed from that: bytes and hours of data sets that no test machine holds.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.bars import machine
from benchmarks.cache_format import build, grown, softmaxed
from benchmarks.recipes import rounded
from limbeck.core.signals import TopK
from limbeck.teacher_cache import Tokens, TokenSignals, TopKCodec, store_info
from limbeck.utils.atomic_files import write_text_atomic

RESULTS, PAGE = Path(__file__).parent / "results" / "scale.json", Path(__file__).parents[1] / "docs" / "scale.md"
IMAGES, CLASSES, EPOCHS = 14_197_122, 21_841, 90  # ImageNet-21k
TOKENS, VOCABULARY = 1_000_000_000, 151_936
TEXT = 512  # tokens of one text
CASES = {
    "image, k = 16": (CLASSES, 16),
    "image, k = 100": (CLASSES, 100),
    "token, k = 32": (VOCABULARY, 32),
    "token, k = 64": (VOCABULARY, 64),
}


def bytes_of(place: Path, name: str) -> float:
    """Bytes of an item, everything included: of an image and view with 8 views, of a token in texts of 512."""
    classes, k = CASES[name]
    folder = place / name.replace(" ", "")
    if name.startswith("image"):
        build(folder, 20_000, 8, TopKCodec(k, classes), softmaxed(classes, k))
        return store_info(folder).per_item or 0.0
    top = softmaxed(classes, k, TEXT)(TEXT)["logits"]
    assert isinstance(top, TopK)

    def texts(count: int) -> dict[str, Any]:
        many = TopK(top.values.repeat(count, 1), top.indices.repeat(count, 1), top.tail.repeat(count))
        return {"logits": TokenSignals(many, torch.full((count,), TEXT), torch.arange(count))}

    build(folder, 200, 1, Tokens(TopKCodec(k, classes)), texts, batch=16)
    return store_info(folder).total / (200 * TEXT)


def rows_per_second(name: str) -> float:
    """One thread, from dense float32 logits to encoded rows; the largest probabilities are found there too."""
    classes, k = CASES[name]
    logits, codec = torch.randn(128, classes) * 3, TopKCodec(k, classes)
    codec.encode(logits)
    turns, began = 0, time.perf_counter()
    while time.perf_counter() - began < 5:
        codec.encode(logits)
        turns += 1
    return turns * len(logits) / (time.perf_counter() - began)


def measure() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        growth = [grown(place / f"items-{items}", items) for items in (10**4, 10**5, 10**6, 10**7)]
        formats = {name: {"bytes": bytes_of(place, name), "rows_per_second": rows_per_second(name)} for name in CASES}
    found = {"growth": growth, "formats": formats, "machine": machine()}
    write_text_atomic(RESULTS, json.dumps(rounded(found), separators=(",", ":")) + "\n")


def growth_table(found: dict[str, Any]) -> str:
    titles = ("items", "written per second", "bytes per item", "lookup of 256: median, 2.5 to 97.5 %", "first lookup", "memory")
    lines = [f"| {' | '.join(titles)} |", "|---:|---:|---:|---:|---:|---:|"]
    for row in found["growth"]:
        lines.append(
            f"| {row['items']:,} | {row['rows_per_second']:,.0f} | {row['bytes_per_item']:.1f} | {row['median']:.2f} ms, "
            f"{row['low']:.2f} to {row['high']:.2f} | {row['first']:,.0f} ms | {row['grown']:.0f} MB |"
        )
    return "\n".join(lines)


def needs_table(found: dict[str, Any]) -> str:
    """Bytes from what was measured; hours for a teacher that processes 1,000 images, or 10,000 tokens, per second."""
    formats = found["formats"]
    images, tokens = (lambda name: formats[f"image, {name}"]["bytes"]), (lambda name: formats[f"token, {name}"]["bytes"])
    rows = [
        ("ImageNet-21k, 8 views, k = 16", images("k = 16"), IMAGES * 8, 1_000),
        (f"ImageNet-21k, {EPOCHS} views, k = 16", images("k = 16"), IMAGES * EPOCHS, 1_000),
        (f"ImageNet-21k, {EPOCHS} views, k = 100", images("k = 100"), IMAGES * EPOCHS, 1_000),
        ("1 billion tokens, k = 32", tokens("k = 32"), TOKENS, 10_000),
        ("1 billion tokens, k = 64", tokens("k = 64"), TOKENS, 10_000),
    ]
    lines = [
        "| cache | bytes per output | in all | teacher's hours at 1,000 images or 10,000 tokens per second |",
        "|---|---:|---:|---:|",
    ]
    for name, size, count, rate in rows:
        lines.append(f"| {name} | {size:.1f} | {size * count / 1e9:,.1f} GB | {count / rate / 3600:,.0f} |")
    return "\n".join(lines)


def encoding_table(found: dict[str, Any]) -> str:
    lines = ["| outputs | encoded per second, one thread |", "|---|---:|"]
    lines += [f"| {name} of {CASES[name][0]:,} | {row['rows_per_second']:,.0f} |" for name, row in found["formats"].items()]
    return "\n".join(lines)


def fill(page: str) -> str:
    """The page with its tables written again."""
    found = json.loads(RESULTS.read_text())
    tables = {"growth": growth_table(found), "needs": needs_table(found), "encoding": encoding_table(found)}
    for name, table in tables.items():
        page = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda at, table=table: f"{at[1]}{table}\n{at[2]}", page, flags=re.S
        )
    return re.sub(r"(<!-- machine -->).*?(<!-- end -->)", lambda at: f"{at[1]}{found['machine']}{at[2]}", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    if not parser.parse_args().write:
        measure()
    write_text_atomic(PAGE, fill(PAGE.read_text()))


if __name__ == "__main__":
    main()
