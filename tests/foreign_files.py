"""Damaged and hostile files: of every kind that Limbeck reads, and of some that it does not."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import safetensors.torch
import torch
import yaml
from PIL import Image

from limbeck import models
from tests import tiny
from tests.data.audio.sounds import tone, wav
from tests.data.loading.files import parquet

PLACES = (0.1, 0.5, 0.9)  # shares of a file at which a byte is changed
WRONG_VALUES: tuple[Any, ...] = (None, -1, 1e308, "x", [], {}, [[[]]], True, "\x1b[2J[bold]")


def image(kind: str, size: int = 8) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(size).integers(0, 256, (size, size), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def good_files(folder: Path) -> dict[str, bytes]:
    """A small file of each kind, by name."""
    cells = [{"bytes": image("PNG"), "path": None}] * 8
    table = parquet(folder / "good.parquet", image=cells, label=[0, 1] * 4).read_bytes()
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, pa.schema([("text", pa.string()), ("label", pa.int64())])) as writer:
        writer.write_table(pa.table({"text": ["a", "b"], "label": [0, 1]}))
    weights = models.get("tiny_cnn", classes=10, width=8, size=8).state_dict()
    saved, packed, bundled = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(weights, saved)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", image("PNG"))
    with tarfile.open(fileobj=bundled, mode="w") as collection:
        collection.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    rows = [{"text": "good film", "label": 1}, {"text": "bad film", "label": 0}]
    return {
        "table.parquet": table,
        "table.csv": b"text,label\ngood film,1\nbad film,0\n",
        "table.tsv": b"text\tlabel\ngood film\t1\nbad film\t0\n",
        "table.json": json.dumps(rows).encode(),
        "table.jsonl": "\n".join(map(json.dumps, rows)).encode(),
        "table.arrow": stream.getvalue(),
        "image.png": image("PNG"),
        "image.jpg": image("JPEG"),
        "image.gif": image("GIF"),
        "image.webp": image("WEBP"),
        "sound.wav": wav(tone(440)),
        "weights.safetensors": safetensors.torch.save(weights),
        "weights.pt": saved.getvalue(),
        "archive.zip": packed.getvalue(),
        "archive.tar": bundled.getvalue(),
        "model.gguf": b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + bytes(64),
        "model.onnx": b"\x08\x07\x12\x04test" + bytes(64),
        "model.pte": b"\x00\x00\x00\x00ET12" + bytes(64),
        "recipe.yaml": yaml.safe_dump(tiny.TINY).encode(),
    }


def damaged(content: bytes, other: bytes) -> dict[str, bytes]:
    """The ways in which files break, by name."""
    flipped = bytearray(content)
    for share in PLACES:
        flipped[int(share * len(content))] ^= 0x55
    return {
        "empty": b"",
        "first byte": content[:1],
        "half": content[: len(content) // 2],
        "last byte missing": content[:-1],
        "flipped": bytes(flipped),
        "zeros": bytes(len(content)),
        "noise": np.random.default_rng(0).bytes(max(64, len(content))),
        "of another kind": other,
        "byte order mark": b"\xef\xbb\xbf" + content,
    }


def hostile_files() -> dict[str, bytes]:
    """Files that are made to break their reader, by name; the suffix says who reads them."""
    deep, wide = "[" * 100_000, ",".join(f"c{number}" for number in range(20_000))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(200 << 20))
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    return {
        "deep.json": deep.encode(),
        "deep objects.json": ('{"a":' * 50_000).encode(),
        "deep lines.jsonl": (f'{{"text": {deep}}}\n').encode(),
        "deep rows.json": b'[{"text": ' + b"[" * 500 + b"]" * 500 + b', "label": 1}]',
        "list.json": b"[1, 2, 3]",
        "text.json": b'"text"',
        "mixed.json": b'[{"text": 1, "label": "a"}, {"text": ["x"], "label": {"y": 2}}, null]',
        "numbers.json": b'[{"text": 1e999, "label": NaN}, {"text": 123456789012345678901234567890, "label": 2}]',
        "surrogate.json": b'[{"text": "\\ud800", "label": 1}, {"text": "b", "label": 0}]',
        "nul.csv": b"text,label\ngo\x00od,1\nbad,0\n",
        "latin.csv": "text,label\ngrün,1\nschön,0\n".encode("latin-1"),
        "utf16.csv": "text,label\ngood,1\nbad,0\n".encode("utf-16"),
        "utf32.csv": "text,label\ngood,1\nbad,0\n".encode("utf-32"),
        "half a character.csv": "text,label\ngrü".encode()[:-1],
        "quote.csv": b'text,label\n"never closed,1\nbad,0\n',
        "ragged.csv": b"text,label\na,1\nb\nc,1,2,3\n",
        "twice.csv": b"text,text,label,label\na,b,0,1\nc,d,1,0\n",
        "wide.csv": f"{wide}\n{wide}\n".encode(),
        "no names.csv": b",\na,1\nb,0\n",
        "control.csv": b"te\x1b[31mxt,la\x07bel\ngood,[bold]1\nbad,0\n",
        "header only.csv": b"text,label\n",
        "long line.csv": b"text,label\n" + b"x" * 3_000_000 + b",1\nb,0\n",
        "large labels.csv": b"text,label\na,99999999999999999999\nb,-1\n",
        "header.safetensors": struct.pack("<Q", 2**62) + b"{}",
        "large header.safetensors": struct.pack("<Q", 90_000_000) + b" " * 1000,
        "large tensor.safetensors": struct.pack("<Q", len(header)) + header,
        "no tensors.safetensors": struct.pack("<Q", 2) + b"{}",
        "wrong header.safetensors": struct.pack("<Q", 9) + b'{"a": []}',
        "list header.safetensors": struct.pack("<Q", 4) + b"[[]]",
        "code.pt": pickle.dumps(os.getcwd),
        "number.pt": _torch_file(3),
        "names.pt": _torch_file({1: torch.ones(2), None: {"a": "b"}}),
        "bomb.pt": bomb.getvalue(),
        "bomb.png": _huge_png(60_000),
        "bomb 2.png": _huge_png(12_000),
        "zero.png": _huge_png(0),
        "list.yaml": b"- 1\n- 2\n",
        "number.yaml": b"3",
        "nul.yaml": b"name: a\x00b\n",
        "code.yaml": b"name: !!python/object/apply:os.getcwd []\n",
        "utf16.yaml": "name: x\n".encode("utf-16"),
        "many.yaml": b"--- 1\n--- 2\n",
        "aliases.yaml": b"a: &a [x, x]\nb: &b [*a, *a]\nname: [*b, *b]\n",
        "comparison.yaml": b"name: x\nvariants: 3\n",
        "variants.yaml": b"name: x\ndata: digits\nvariants: {a: [hard_targets], '..': [soft_targets]}\n",
    }


def _torch_file(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _huge_png(side: int) -> bytes:
    """A PNG whose header announces `side` × `side` pixels, and holds none."""
    import zlib

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = part(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(bytes(1000))) + part(b"IEND", b"")


def wrong_json(text: str) -> dict[str, str]:
    """The JSON or YAML of a file with one value after the other replaced by one of a wrong type, by what was replaced."""
    content = yaml.safe_load(text)
    found = {"null": "null", "a list": "[]", "a number": "3", "nothing in it": "{}", "deep": "[" * 5000 + "]" * 5000}
    keys = list(content) if isinstance(content, dict) else []
    for number, key in enumerate(keys):
        value = WRONG_VALUES[number % len(WRONG_VALUES)]
        found[f"{key} is {value!r}"] = json.dumps({**content, key: value})
        found[f"no {key}"] = json.dumps({other: content[other] for other in keys if other != key})
    return found


def special_paths(folder: Path) -> dict[str, Path]:
    """Paths that are no ordinary files, by what they are."""
    folder.mkdir(parents=True)
    (folder / "loop.csv").symlink_to(folder / "loop.csv")
    (folder / "nowhere.parquet").symlink_to(folder / "missing")
    os.mkfifo(folder / "pipe.csv")
    os.mkfifo(folder / "pipe.safetensors")
    os.mkfifo(folder / "pipe.yaml")
    (folder / "folder.csv").mkdir()
    (folder / "folder.safetensors").mkdir()
    (folder / "folder.yaml").mkdir()
    (folder / "round" / "a").mkdir(parents=True)
    (folder / "round" / "a" / "again").symlink_to(folder / "round")
    (folder / "no classes").mkdir()
    (folder / "only folders" / "a").mkdir(parents=True)
    (folder / "unreadable.csv").write_bytes(b"text,label\na,1\n")
    (folder / "unreadable.csv").chmod(0)
    for name in ("new\nline.csv", "esc\x1b[2J.csv", "[bold]x[dim].csv", "space .csv", "-.csv"):
        (folder / name).write_bytes(b"text,label\n")
    with open(os.fsencode(folder) + b"/not utf8 \xff.csv", "wb") as file:
        file.write(b"text,label\na,1\n")
    names = sorted(folder.iterdir(), key=os.fsencode)
    devices = ["/dev/null", "/dev/zero", "/proc/self/mem", "/proc/self/fd/0"]
    return {repr(path.name): path for path in names} | {name: Path(name) for name in devices}


def in_image_folder(folder: Path, name: str, content: bytes) -> Path:
    """A folder of images of two classes, one of which is this file."""
    for kind in ("a", "b"):
        (folder / kind).mkdir(parents=True)
        for number in range(3):
            (folder / kind / f"{number}.png").write_bytes(image("PNG"))
    (folder / "a" / name).write_bytes(content)
    return folder


Offer = Callable[[Path], list[tuple[object, ...]]]


def offers(recipe: Path, run: Path) -> Mapping[str, Offer]:
    """The commands that a file of each suffix is given to."""

    def data(path: Path) -> list[tuple[object, ...]]:
        both = ("--set", f"data.train={_quoted(path)}", "--set", f"data.test={_quoted(path)}")
        return [
            ("distill", recipe, *both),
            ("init", "new.yaml", "--train", path, "--test", path, "--yes", "--force"),
            ("evaluate", run, "--data", path),
        ]

    def weights(path: Path) -> list[tuple[object, ...]]:
        teacher = ("--teacher", "tiny_cnn", "--teacher-args", "{width: 8, size: 8}", "--teacher-weights", path)
        digits = ("--train", "digits", "--test", "digits")
        given = ("--set", f"teacher.weights={_quoted(path)}", "--set", "teacher.training=null")
        return [("distill", recipe, *given), ("init", "new.yaml", *digits, *teacher, "--yes", "--force")]

    def exported(path: Path) -> list[tuple[object, ...]]:
        return [("evaluate", path, "--data", "digits", "--split", "test"), ("profile", path, "--shape", "1,8,8")]

    def recipes(path: Path) -> list[tuple[object, ...]]:
        return [(command, path) for command in ("distill", "compare", "cite")] + [("cache", "build", path)]

    by_kind = {weights: (".safetensors", ".pt", ".gguf"), exported: (".onnx", ".pte"), recipes: (".yaml",)}
    found = {suffix: offer for offer, suffixes in by_kind.items() for suffix in suffixes}
    return _OrData(found, data)


class _OrData(dict[str, Offer]):
    def __init__(self, found: Mapping[str, Offer], data: Offer) -> None:
        super().__init__(found)
        self.data = data

    def __missing__(self, suffix: str) -> Offer:
        return self.data


def _quoted(path: Path) -> str:
    return json.dumps(str(path))
