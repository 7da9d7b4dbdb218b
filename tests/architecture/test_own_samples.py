"""A causal language model on its own samples, with a teacher that has read the solution.

Source: Agarwal et al. 2024, On-policy distillation of language models (arXiv:2306.13649).
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck import Distillation, Stage, Term, Update, frozen, models, steps, trained
from limbeck.data.sources import OwnSamples
from limbeck.evaluation import Verdict
from limbeck.models.tokenizer import load_tokenizer
from limbeck.objectives import ReverseKL
from limbeck.runs import evaluate_run
from limbeck.tasks import NextTokenPrediction
from tests.architecture import runs
from tests.architecture.runs import Forwards
from tests.data.loading.files import parquet

pytest.importorskip("transformers")

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", ":"]
COUNT = 48  # of texts, and of prompts


def counting(start: int, step: int, length: int) -> list[str]:
    """Words of numbers, each one step further than the one before, modulo ten."""
    return [WORDS[(start + step * place) % 10] for place in range(length)]


def write_texts(folder: Path) -> None:
    """Texts that count in steps of one or two; prompts of two numbers, and with the numbers that follow in front."""
    draw = random.Random(0)
    cells = [(draw.randrange(10), draw.choice([1, 2])) for _ in range(3 * COUNT)]
    for name, rows in (("train", cells[:COUNT]), ("test", cells[COUNT : 2 * COUNT])):
        parquet(folder / f"{name}.parquet", text=[" ".join(counting(*row, 9)) for row in rows])
    prompts = [" ".join(counting(*row, 2)) for row in cells[2 * COUNT :]]
    solutions = [" ".join([*counting(start + 2 * step, step, 4), ":"]) for start, step in cells[2 * COUNT :]]
    both = [f"{solution} {prompt}" for solution, prompt in zip(solutions, prompts, strict=True)]
    parquet(folder / "prompts.parquet", prompt=prompts, with_solution=both)


def write_teacher(folder: Path) -> None:
    """A small Llama that has learned to count, with its tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.data.tiny_tokenizers import of_words

    of_words(WORDS, types=False).save_pretrained(folder)
    shape = {"vocab_size": 16, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**shape, max_position_embeddings=32, pad_token_id=0, bos_token_id=2, eos_token_id=3))
    optimizer, tokenizer = torch.optim.Adam(model.parameters(), lr=1e-2), load_tokenizer(str(folder))
    texts = [" ".join(counting(start, step, 9)) for start in range(10) for step in (1, 2)]
    tokens = torch.tensor(tokenizer(texts)["input_ids"])
    for _ in range(60):
        optimizer.zero_grad()
        model(tokens, labels=tokens).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)


def texts_and_teacher(folder: Path) -> Path:
    """The folder, with texts and the teacher that has learned to count."""
    write_texts(folder)
    write_teacher(folder / "teacher")
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return texts_and_teacher(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def finished(texts: Path) -> Path:
    return runs.carry_out("own_samples", texts / "run", TEXTS=str(texts))


def on_policy(teacher: nn.Module, student: object, prompts: list[str], solved: list[str], tokenizer: object) -> Distillation:
    views, sizes = {"solution": solved}, {"new_tokens": 6, "batch_size": 16, "keep": 32}
    own = OwnSamples("student", prompts, views=views, tokenizer=tokenizer, **sizes)
    return Distillation(
        actors={"teacher": frozen(teacher), "student": trained(student)},
        stages=[Stage([Update([Term(ReverseKL(), teacher="teacher#solution")], source=own)], steps(12))],
        training=runs.training("own_samples"),
        task=NextTokenPrediction(),
    )


def test_the_student_samples_and_the_teacher_stays_as_it_is(texts: Path, finished: Path) -> None:
    import pyarrow.parquet as pq

    with runs.environment({"TEXTS": str(texts)}):
        made = runs.recipe("own_samples")
        train = made.load().train
    teacher, forwards, columns = models.load_model(texts / "teacher"), Forwards(), pq.read_table(texts / "prompts.parquet")
    before, tokenizer = runs.weights(teacher), load_tokenizer(str(texts / "teacher"))
    job = on_policy(
        forwards.watch("teacher", teacher),
        lambda: forwards.watch("student", made.student.new(None, None)),
        columns["prompt"].to_pylist(),
        columns["with_solution"].to_pylist(),
        tokenizer,
    )
    best = job.fit(train)
    assert runs.identical(before, runs.weights(teacher))
    assert forwards["teacher", True] == 0
    assert forwards["student", True] == 12 + 12  # and its control on the training texts
    assert job.cost.teacher_items == 12 * 16
    # 12 steps draw 2 batches of new samples, and these 2 again, in turns: 6 batches of new samples of at most 6 tokens each.
    assert forwards["student", False] > 6
    assert runs.identical(runs.weights(best), runs.saved(finished / "student"))
    assert runs.identical(runs.weights(job.arms["control"][0]), runs.saved(finished / "control"))


def test_the_verdict_is_the_perplexity_on_other_texts(texts: Path, finished: Path) -> None:
    verdict = Verdict.load(finished)
    assert verdict.task == "next_token"
    assert verdict.metric.name == "perplexity"
    assert not verdict.metric.higher_is_better
    assert verdict.teacher is not None
    assert verdict.control is not None
    assert verdict.teacher.metric < 2
    tokenizer, model = load_tokenizer(str(finished / "student")), models.load_model(finished / "student")
    import pyarrow.parquet as pq

    tokens = torch.tensor(tokenizer(pq.read_table(texts / "test.parquet")["text"].to_pylist())["input_ids"])
    with torch.no_grad():
        loss = float(model(tokens, labels=tokens).loss)
    assert verdict.student.metric == pytest.approx(math.exp(loss), rel=1e-5)
    with runs.environment({"TEXTS": str(texts)}):  # where the teacher is
        found = evaluate_run(finished, str(texts / "test.parquet")).as_json()["arms"]
    assert {name: arm["perplexity"] for name, arm in found.items()} == pytest.approx(
        {name: arm.metric for name, arm in verdict.arms.items()}, rel=1e-5
    )
    text = runs.report_text(finished)
    assert "perplexity" in text
    assert f"{verdict.student.metric:.2f}"[:4] in text


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "own_samples.yaml") <= runs.LINES
    assert runs.count_parts(on_policy) <= runs.LINES
