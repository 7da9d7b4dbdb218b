"""Compares students of a sentence encoder made by Limbeck with those that other libraries make, in one run.

    LIMBECK_DATA=… OMP_NUM_THREADS=1 python -m benchmarks.text_baselines [static] [layers] [--quick]

Teacher: all-MiniLM-L6-v2. Texts: those of agnews' training file, without labels; the teacher's embeddings of them are computed
once for all. Evaluated on agnews' test file, all embeddings by the same code, `text_evaluation`.

static  one vector for each token: of 192 dimensions for the tokens of the texts, model2vec's of 128 for all tokens, so that the
        files are of similar size. Untrained: `model2vec.distill` and `static_embeddings`. Trained on the teacher's embeddings:
        model2vec's `StaticModelForSimilarity`, as its documentation shows it, from its own table and with its own settings, and
        Limbeck's `StaticEncoder`. Needs model2vec and skeletoken.
layers  layers 0, 2 and 5 of the teacher, the same weights for both. Sentence Transformers' own distillation, its trainer with
        `MSELoss` on the teacher's embeddings for 2 epochs, against Limbeck with terms for embeddings for 4, which have to take
        less processor time: same texts, batch size, rate, warm-up and decay of the rate.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import minilm
from benchmarks.bars import record
from benchmarks.text_evaluation import MEASURES, Encode, Judge, as_tensor, kept, points, size, texts_a_second
from limbeck.core.actors import trained
from limbeck.core.batch import Batch
from limbeck.core.schedules import Linear, Warmup
from limbeck.core.teachers import Teacher
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items, tokenize
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, epochs
from limbeck.models import get, save_model
from limbeck.models.loaders import import_package
from limbeck.models.shrink import CorpusVocabulary, StaticEncoder, from_teacher, static_embeddings, trim_vocabulary
from limbeck.objectives import get as objective

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.text_baselines"
LENGTH = 128  # tokens that are read of a text
DIMENSIONS, RIVAL_DIMENSIONS = 192, 128  # of static students; ours know the tokens of the texts, the rival's all
SIF = 1e-3
STATIC_EPOCHS, STATIC_RATE, STATIC_BATCH = 5, 3e-3, 128
KEPT_LAYERS, LAYER_RATE, LAYER_BATCH = [0, 2, 5], 1e-4, 64
LAYER_EPOCHS, RIVAL_LAYER_EPOCHS = 4, 2  # an epoch of ours takes less than half the time, and the time is compared too
MB = 1e6


@dataclass
class Bench:
    """What all students share: texts, the teacher, its embeddings, and a folder to save in."""

    folder: Path
    quick: bool

    @cached_property
    def train(self) -> Items:
        return minilm.texts("agnews/train", 192 if self.quick else None)

    @cached_property
    def test(self) -> Items:
        return minilm.texts("agnews/test", 96 if self.quick else None)

    @cached_property
    def teacher(self) -> Any:
        model = get("sentence_transformers", name_or_path=str(minilm.folder()))
        model.sentence_transformer.max_seq_length = LENGTH  # type: ignore[assignment]
        return model

    @cached_property
    def teacher_train(self) -> Tensor:
        """The teacher's embeddings of the training texts."""
        return as_tensor(self.encoder()(words(self.train)))

    @cached_property
    def judge(self) -> Judge:
        return Judge.of(self.test, self.teacher_test)

    @cached_property
    def teacher_test(self) -> Tensor:
        return as_tensor(self.encoder()(words(self.test)))

    def encoder(self, batch: int = 64) -> Encode:
        model = self.teacher.sentence_transformer
        return lambda texts: model.encode(texts, batch_size=batch, show_progress_bar=False)  # type: ignore[no-any-return]

    @property
    def data(self) -> str:
        return f"agnews, {len(self.train):,} texts without labels, evaluated on {len(self.test):,}; {minilm.NAME}"

    def record(self, figure: str, bar: str, value: float, ci95: Any, met: bool, part: str, note: str | None = None) -> None:
        print(f"{figure}: {value:.4g} {'' if ci95 is None else [round(end, 3) for end in ci95]} ({bar})")
        if not self.quick:
            record("text", figure, bar, value, ci95, met, f"{COMMAND} {part}", f"{self.data}, one thread", [0], note)


def words(items: Items) -> list[str]:
    return list(items.storage.texts)  # type: ignore[attr-defined]


def print_marks(name: str, started: float, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Prints the marks of a student and its time."""
    figures = ", ".join(f"{measure} {100 * marks.mean():.2f}" for measure, marks in found.items())
    print(f"{name}: {figures}; made in {time.perf_counter() - started:.0f} s", flush=True)
    return found


# --- Limbeck's side ---------------------------------------------------------------------------------------------------


class KnownEmbeddings(Teacher):
    """Returns embeddings that the teacher has computed before."""

    references = ()

    def __init__(self, embeddings: Tensor) -> None:
        super().__init__()
        self.embeddings = embeddings

    def make_target(self, signals: Any, batch: Batch, student: Any) -> Tensor:
        assert batch.index is not None
        return self.embeddings[batch.index]


def learn(student: nn.Module, items: Items, terms: list[Term], length: int, size: int, rate: float) -> nn.Module:
    """Train a student through the engine; the rate warms up over a tenth of the steps and falls to zero."""
    optimizer = Optimizer(
        "adamw", rate, Warmup(0.1, then=Linear(1, 0)), {"weight_decay": 0.0, "fused": True}
    )  # like the other libraries'
    settings = Settings(progress=False, device="cpu", threads=1, trackers=())
    stage = Stage([Update(terms)], epochs(length), optimizer)
    Run({"student": trained(student)}, [stage], source=Dataset(items, size), settings=settings).fit()
    return student.eval()


def encode_with(model: nn.Module) -> Encode:
    return lambda texts: model.encode(texts, batch_size=512, show_progress_bar=False)  # type: ignore[operator, no-any-return]


def saved(student: nn.Module, folder: Path) -> Any:
    """What a user would load: an ordinary folder of Sentence Transformers."""
    save_model(student, None, folder)
    return import_package("sentence_transformers").SentenceTransformer(str(folder), device="cpu")


def static_terms(embeddings: Tensor) -> list[Term]:
    given = {"student": "student", "teacher": KnownEmbeddings(embeddings)}
    return [Term(objective("embedding_cosine"), **given), Term(objective("rkd_cosine"), **given, weight=5.0)]  # type: ignore[arg-type]


def layer_terms(embeddings: Tensor) -> list[Term]:
    given = {"student": "student", "teacher": KnownEmbeddings(embeddings)}
    names = {"embedding_mse": 10.0, "embedding_cosine": 1.0, "rkd_cosine": 5.0}
    return [Term(objective(name), **given, weight=weight) for name, weight in names.items()]  # type: ignore[arg-type]


# --- static embeddings ------------------------------------------------------------------------------------------------


def rival_tables(bench: Bench) -> dict[str, Any]:
    """model2vec's table as distilled, and the same trained; both are saved and loaded again."""
    from model2vec import StaticModel
    from model2vec.distill import distill_from_model
    from model2vec.train import StaticModelForSimilarity

    library, found = import_package("transformers"), {}
    began = time.perf_counter()
    model, tokenizer = (kind.from_pretrained(minilm.folder()) for kind in (library.AutoModel, library.AutoTokenizer))
    if bench.quick:  # all tokens take a minute
        model, tokenizer, _ = trim_vocabulary(model, tokenizer, words(bench.train))
    table = distill_from_model(model, tokenizer, pca_dims=RIVAL_DIMENSIONS, device="cpu")
    table.save_pretrained(bench.folder / "model2vec")
    found["model2vec"] = StaticModel.from_pretrained(bench.folder / "model2vec")
    print_marks("model2vec.distill", began, bench.judge.marks(as_tensor(found["model2vec"].encode(words(bench.test)))))
    began = time.perf_counter()
    student = StaticModelForSimilarity.from_static_model(model=table)
    student.fit(words(bench.train), bench.teacher_train, device="cpu", **({"max_epochs": 1} if bench.quick else {}))
    found["model2vec, trained"] = student
    print_marks("model2vec, trained", began, bench.judge.marks(as_tensor(student.encode(words(bench.test)))))
    return found


def own_tables(bench: Bench) -> dict[str, Any]:
    """Limbeck's table as made from the teacher, and the same trained."""
    began = time.perf_counter()
    vocabulary = CorpusVocabulary.of(minilm.tokenizer(), words(bench.train))
    cut = bench.teacher.with_transformer(vocabulary.cut).sentence_transformer
    table = static_embeddings(cut, vocabulary.tokenizer, dimensions=DIMENSIONS, sif=SIF, texts=words(bench.train))
    student = StaticEncoder(table, half=True)
    found = {"Limbeck": saved(student, bench.folder / "static")}
    print_marks("Limbeck, untrained", began, bench.judge.marks(as_tensor(encode_with(found["Limbeck"])(words(bench.test)))))
    began = time.perf_counter()
    items = tokenize(bench.train, vocabulary.tokenizer, LENGTH)
    learn(student, items, static_terms(bench.teacher_train), 1 if bench.quick else STATIC_EPOCHS, STATIC_BATCH, STATIC_RATE)
    found["Limbeck, trained"] = saved(student, bench.folder / "static-trained")
    print_marks(
        "Limbeck, trained", began, bench.judge.marks(as_tensor(encode_with(found["Limbeck, trained"])(words(bench.test))))
    )
    return found


def static(bench: Bench) -> None:
    models = rival_tables(bench) | own_tables(bench)
    encoders: dict[str, Encode] = {
        name: model.encode if name.startswith("model2vec") else encode_with(model) for name, model in models.items()
    }
    marks = {name: bench.judge.marks(as_tensor(encode(words(bench.test)))) for name, encode in encoders.items()}
    against(bench, "static", "static, untrained: Limbeck − model2vec.distill", marks["Limbeck"], marks["model2vec"])
    figure = "static, trained: Limbeck − model2vec's StaticModelForSimilarity"
    against(bench, "static", figure, marks["Limbeck, trained"], marks["model2vec, trained"])
    share, ends = kept(marks["Limbeck, trained"][MEASURES[0]], bench.judge.marks(bench.teacher_test)[MEASURES[0]])
    bench.record(f"static, trained: {MEASURES[0]}, retention", "≥ 0.95", share, ends, share >= 0.95, "static")
    weights = size(bench.folder / "static-trained")
    times = size(minilm.folder()) / weights
    rival = sum(parameter.nbytes for parameter in models["model2vec, trained"].parameters())
    table = size(bench.folder / "model2vec")
    note = (
        f"{weights / MB:.2f} MB; model2vec's {table / MB:.2f} MB in half precision, {rival / MB:.2f} MB trained, with its head"
    )
    bench.record("static, trained: teacher's weights ÷ its file", "≥ 10", times, None, times >= 10, "static", note)
    fast(bench, encoders["Limbeck, trained"], encoders["model2vec"])


def fast(bench: Bench, ours: Encode, rival: Encode) -> None:
    few, many = words(bench.test)[:128], words(bench.test)
    encoders = {"teacher": bench.encoder(32), "ours": ours, "rival": rival}
    found = texts_a_second(encoders, {"teacher": few, "ours": many, "rival": many}, 1 if bench.quick else 5)
    for name, figure, goal, bar in (
        ("teacher", "static, trained: sentences per second ÷ the teacher's", 100.0, "≥ 100"),
        ("rival", "static: sentences per second, Limbeck's ÷ model2vec's", 1.0, "≥ 1"),
    ):
        ratios = [mine / theirs for mine, theirs in zip(found["ours"], found[name], strict=True)]
        note = f"{statistics.median(found['ours']):,.0f} and {statistics.median(found[name]):,.0f} a second; range of the turns"
        value = statistics.median(ratios)
        bench.record(figure, bar, value, (min(ratios), max(ratios)), value >= goal, "static", note)


# --- fewer layers -----------------------------------------------------------------------------------------------------


def by_sentence_transformers(bench: Bench) -> Any:
    """As its documentation distils: the trainer with the mean squared error to the teacher's embeddings."""
    library, datasets = import_package("sentence_transformers"), import_package("datasets")
    student = from_teacher.get("init_from_teacher", teacher=bench.teacher, layers=KEPT_LAYERS)
    model: Any = student.sentence_transformer
    model.max_seq_length = LENGTH
    rows = datasets.Dataset.from_dict({"sentence": words(bench.train), "label": bench.teacher_train.tolist()})
    settings = library.SentenceTransformerTrainingArguments(
        output_dir=str(bench.folder / "trainer"),
        num_train_epochs=1 if bench.quick else RIVAL_LAYER_EPOCHS,
        per_device_train_batch_size=LAYER_BATCH,
        learning_rate=LAYER_RATE,
        warmup_steps=0.1,
        max_grad_norm=0.0,
        dataloader_drop_last=True,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        seed=0,
    )
    losses = importlib.import_module("sentence_transformers.sentence_transformer.losses")
    library.SentenceTransformerTrainer(model=model, args=settings, train_dataset=rows, loss=losses.MSELoss(model=model)).train()
    return model.eval()


def by_limbeck(bench: Bench) -> Any:
    student = from_teacher.get("init_from_teacher", teacher=bench.teacher, layers=KEPT_LAYERS)
    items = tokenize(bench.train, minilm.tokenizer(), LENGTH)
    learn(student, items, layer_terms(bench.teacher_train), 1 if bench.quick else LAYER_EPOCHS, LAYER_BATCH, LAYER_RATE)
    return saved(student, bench.folder / "layers")


def layers(bench: Bench) -> None:
    assert len(bench.teacher_train) == len(bench.train)  # computed before, so that no timing includes it
    marks, seconds = {}, {}
    for name, make in (("sentence-transformers", by_sentence_transformers), ("Limbeck", by_limbeck)):
        began, used = time.perf_counter(), time.process_time()
        model = make(bench)
        seconds[name] = time.process_time() - used
        marks[name] = print_marks(name, began, bench.judge.marks(as_tensor(encode_with(model)(words(bench.test)))))
    against(bench, "layers", "3 of 6 layers: Limbeck − sentence-transformers", marks["Limbeck"], marks["sentence-transformers"])
    ratio = seconds["sentence-transformers"] / seconds["Limbeck"]
    note = (
        f"processor time of one training each: {seconds['sentence-transformers']:.0f} s for {RIVAL_LAYER_EPOCHS} epochs and "
        f"{seconds['Limbeck']:.0f} s for {LAYER_EPOCHS}"
    )
    figure = "3 of 6 layers: training time, sentence-transformers' ÷ Limbeck's"
    bench.record(figure, "≥ 1", ratio, None, ratio >= 1, "layers", note)


def against(bench: Bench, part: str, figure: str, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    """One row for each measure."""
    for measure in MEASURES:
        value, ends = points(ours[measure], theirs[measure])
        note = f"{100 * ours[measure].mean():.2f} and {100 * theirs[measure].mean():.2f}; paired bootstrap over test texts"
        bench.record(f"{figure}, {measure}, points", "≥ 0", value, ends, value >= 0, part, note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["static", "layers", []], default=[])
    parser.add_argument("--quick", action="store_true", help="a few hundred texts; nothing is recorded")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.quick)
        for part in given.parts or ["static", "layers"]:
            {"static": static, "layers": layers}[part](bench)


if __name__ == "__main__":
    main()
