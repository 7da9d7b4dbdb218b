"""Measures the retention of a text student on sentences without any phrase in the training data.

    python -m benchmarks.unseen_sentences tinybert                                   # needs LIMBECK_DATA
    python -m benchmarks.unseen_sentences tinybert --set training.batch_size=256     # with changes to the recipe
    python -m benchmarks.unseen_sentences tinybert --run runs/unseen-tinybert        # keep the verdict of a finished run
    python -m benchmarks.unseen_sentences words                                      # those that a trimmed vocabulary breaks
    python -m benchmarks.unseen_sentences words --teacher RUN/teacher              # and what that costs the teacher itself

SST-2's training texts are phrases of some 6,900 sentences, and a validation set drawn among them shares nearly all of its
phrases with them. Here 900 whole sentences of eight words or more are held out together with all phrases inside them, except
for one or two words that other sentences have too: most of their sequences of three words are new. Teacher and student learn
from the rest.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks import minilm
from benchmarks.bars import record
from benchmarks.recipes import keep_verdict
from benchmarks.text_evaluation import interval, points
from limbeck.evaluation import Verdict
from limbeck.models import load_model
from limbeck.models.shrink import CorpusVocabulary
from limbeck.recipe import Recipe
from limbeck.runs import run_recipe

ROOT = Path(__file__).parents[1]
SST2 = Path(os.environ.get("LIMBECK_DATA", ".")) / "data" / "sst2"
HELD, LONG, COMMON = 900, 8, 2  # sentences held out; their words at least; words of a phrase that may be in both parts at most
BARS = {"tinybert": 0.972, "distilbert": 0.97, "mobilebert": 0.98}


def split(source: Path, target: Path) -> None:
    """SST-2 by sentences: `train.parquet` and, of the held out sentences only, `validation.parquet`."""
    table = pa.concat_tables([pq.read_table(source / f"{part}.parquet") for part in ("train", "validation")])
    phrases = [f" {text.strip()} " for text in table["sentence"].to_pylist()]
    sentences = sentences_of(phrases)
    long = [sentence for sentence in sentences if len(sentence.split()) >= LONG]
    random.Random(0).shuffle(long)
    held = set(long[:HELD])
    hidden, open_ = "\n".join(held), "\n".join(sentence for sentence in sentences if sentence not in held)
    seen = [phrase not in hidden or (len(phrase.split()) <= COMMON and phrase in open_) for phrase in phrases]
    target.mkdir(parents=True, exist_ok=True)
    places = {phrase: place for place, phrase in reversed(list(enumerate(phrases)))}
    pq.write_table(table.filter(seen), target / "train.parquet")
    pq.write_table(table.take(sorted(places[sentence] for sentence in held)), target / "validation.parquet")


def sentences_of(phrases: list[str]) -> list[str]:
    """Returns the phrases that are not part of a longer one."""
    found, text = [], ""
    for phrase in sorted(set(phrases), key=lambda phrase: (-len(phrase), phrase)):
        if phrase not in text:
            found.append(phrase)
            text += phrase + "\n"
    return found


def keep(name: str, run: Path) -> None:
    verdict = Verdict.load(run)
    kept = Path(__file__).parent / "results" / f"unseen-{name}"
    kept.mkdir(parents=True, exist_ok=True)
    keep_verdict(run, kept)
    value, bar = verdict.retention, BARS[name]
    assert value is not None
    record(
        "text",
        f"{name}: retention on sentences of which no phrase was seen",
        f"≥ {bar}",
        value,
        verdict.result.retention_ci95,
        value >= bar,
        f"python -m benchmarks.unseen_sentences {name}",
        f"sst2, {verdict.items:,} held out sentences, settings in benchmarks/results/unseen-{name}/recipe.yaml",
        verdict.seeds,
    )
    print(verdict.sentence())


def vocabularies(data: Path) -> dict[str, CorpusVocabulary]:
    """Trimmed to the training texts, and to those and AG News."""
    train = pq.read_table(data / "train.parquet")["sentence"].to_pylist()
    more = list(minilm.texts("agnews/train").storage.texts)  # type: ignore[attr-defined]
    corpora = {"the training texts": train, "the training texts and of AG News": train + more}
    return {name: CorpusVocabulary.of(minilm.tokenizer(), texts) for name, texts in corpora.items()}


def record_words(figure: str, found: tuple[float, tuple[float, float]], command: str, note: str) -> None:
    record(
        "text", figure, "no goal", *found, True, f"python -m benchmarks.unseen_sentences {command}", "sst2, agnews", [0], note
    )
    print(f"{figure}: {found[0]:.2f} {found[1]} ({note})")


def broken_words(data: Path) -> None:
    """Measures the share of held out sentences with a token outside the training texts' vocabulary, or that with AG News."""
    tokenizer, held = minilm.tokenizer(), pq.read_table(data / "validation.parquet")["sentence"].to_pylist()
    for name, vocabulary in vocabularies(data).items():
        kept = vocabulary.tokenizer.get_vocab().keys()
        broken = np.array([not kept >= set(tokenizer.tokenize(sentence)) for sentence in held], dtype=float)
        record_words(
            f"unseen sentences with a word that the vocabulary of {name} breaks, %",
            interval(lambda rows, broken=broken: 100 * float(broken[rows].mean()), len(broken)),  # type: ignore[misc]
            "words",
            f"{len(kept):,} of {len(tokenizer):,} tokens kept",
        )


def teacher_loss(data: Path, folder: Path) -> None:
    """Measures what a trimmed vocabulary costs a fine-tuned teacher on the held out sentences, without any student."""
    teacher, held = load_model(folder).eval(), pq.read_table(data / "validation.parquet")
    sentences, labels = held["sentence"].to_pylist(), held["label"].to_numpy()
    whole = right(teacher, minilm.tokenizer(), sentences, labels)
    for name, vocabulary in vocabularies(data).items():
        trimmed = right(vocabulary.cut(teacher), vocabulary.tokenizer, sentences, labels)
        record_words(
            f"unseen sentences: the teacher's accuracy with the vocabulary of {name} − with its own, points",
            points(trimmed, whole),
            "words --teacher runs/benchmark-distilbert-few-labels/teacher",
            f"{100 * trimmed.mean():.2f} and {100 * whole.mean():.2f} %; this teacher knows the sentences from its training",
        )


@torch.no_grad()
def right(model: Any, tokenizer: Any, sentences: list[str], labels: np.ndarray) -> np.ndarray:
    """For each sentence 1 if it is classified rightly, otherwise 0."""
    found = []
    for start in range(0, len(sentences), 64):
        tokens = tokenizer(sentences[start : start + 64], padding=True, truncation=True, max_length=128, return_tensors="pt")
        found.append(model(**tokens).logits.argmax(1).numpy())
    return (np.concatenate(found) == labels).astype(float)  # type: ignore[no-any-return]


def run(name: str, changes: Sequence[str] = ()) -> None:
    folder, data = ROOT / "runs" / f"unseen-{name}", ROOT / "runs" / "unseen"
    split(SST2, data / "data" / "sst2")
    for other in SST2.parent.iterdir():  # what recipes read besides
        if other.name != "sst2" and not (data / "data" / other.name).exists():
            (data / "data" / other.name).symlink_to(other.resolve())
    before, os.environ["LIMBECK_DATA"] = os.environ["LIMBECK_DATA"], str(data)
    try:
        run_recipe(Recipe.read(ROOT / "recipes" / f"{name}.yaml", list(changes)), folder, resume=folder.exists())
    finally:
        os.environ["LIMBECK_DATA"] = before
    keep(name, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*BARS, "words"])
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a change to the recipe")
    parser.add_argument("--run", type=Path, help="keep the verdict of this run instead of training")
    parser.add_argument("--teacher", type=Path, help="a fine-tuned teacher, for the words")
    args = parser.parse_args()
    if args.name == "words":
        with tempfile.TemporaryDirectory() as folder:
            split(SST2, Path(folder))
            broken_words(Path(folder))
            if args.teacher is not None:
                teacher_loss(Path(folder), args.teacher)
    elif args.run is not None:
        keep(args.name, args.run)
    else:
        run(args.name, args.set)


if __name__ == "__main__":
    main()
