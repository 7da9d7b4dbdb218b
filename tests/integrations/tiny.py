"""Models of a few thousand parameters, texts of a few tokens, and arguments of a Trainer for runs of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    TrainingArguments,
)

from limbeck import Term, objectives
from limbeck.integrations.transformers import DistillationTrainer

WORDS, CLASSES, LENGTH = 60, 3, 9
SGD = {"optim": "sgd", "learning_rate": 0.02, "max_grad_norm": 0.0, "max_steps": 3}  # steps as long as their gradients


def bert(width: int = 16, layers: int = 1, seed: int = 0, kind: Any = BertForSequenceClassification, **options: Any) -> Any:
    """A random BERT without dropout, with weights large enough for distinct outputs."""
    torch.manual_seed(seed)
    sizes = {"vocab_size": WORDS, "num_attention_heads": 2, "max_position_embeddings": 32, "num_labels": CLASSES}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig(
        **{**sizes, **dropout, "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers, **options}
    )
    return loud(kind(config))


def loud(model: nn.Module) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
    return model.eval()


def ids(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids [count, LENGTH], padded with 0 after 3 to LENGTH tokens, and their mask."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, LENGTH + 1, (count, 1), generator=draw)
    mask = (torch.arange(LENGTH) < lengths).long()
    return torch.randint(5, WORDS, (count, LENGTH), generator=draw) * mask, mask


def texts(count: int = 32, labels: bool = True) -> list[dict[str, Tensor]]:
    rows = [{"input_ids": tokens, "attention_mask": mask} for tokens, mask in zip(*ids(count), strict=True)]
    return [row | {"labels": torch.tensor(n % CLASSES)} for n, row in enumerate(rows)] if labels else rows


def batch(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def arguments(folder: Path, **options: Any) -> TrainingArguments:
    given = {"max_steps": 2, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "logging_steps": 1, "seed": 0}
    quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "use_cpu": True}
    return TrainingArguments(str(folder), **{**given, **quiet, **options})


def hinton(weight: float = 0.5) -> Term:
    return Term(objectives.get("soft_targets", temperature=2), weight=weight)


def everywhere() -> list[Term]:
    """An output, a layer with an adapter, attention: one layer of 16 from two of 24."""
    layer = Term(objectives.get("hidden_states"), student="hidden(-1)", teacher="hidden(-1)")
    return [hinton(), layer, Term(objectives.get("attention_scores"), student="scores(-1)", teacher="scores(-1)", weight=2)]


def llama(width, seed):
    torch.manual_seed(seed)
    sizes = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 1, "num_attention_heads": 2}
    return loud(LlamaForCausalLM(LlamaConfig(vocab_size=WORDS, max_position_embeddings=32, **sizes)))


def t5(width, seed):
    torch.manual_seed(seed)
    sizes = {"d_model": width, "d_kv": 8, "d_ff": width, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
    return T5ForConditionalGeneration(T5Config(vocab_size=WORDS, dropout_rate=0.0, **sizes)).eval()


def writings(count=16):
    """Texts of which the first two tokens are given and the rest is to be written: batches differ in what is labelled."""
    tokens, mask = ids(count)
    labels = tokens.masked_fill(mask == 0, -100)
    labels[:, :2] = -100
    return [{"input_ids": i, "attention_mask": m, "labels": y} for i, m, y in zip(tokens, mask, labels, strict=True)]


def trainer(folder, student=None, *, teacher=None, terms=None, data=None, kind=DistillationTrainer, more=None, **options):
    teacher = bert(24, 2, seed=1) if teacher is None else teacher
    given = {name: options.pop(name) for name in ("labels",) if name in options} | (more or {})
    return kind(
        bert() if student is None else student,
        arguments(folder, **options),
        train_dataset=texts() if data is None else data,
        teacher=teacher,
        terms=everywhere() if terms is None else terms,
        **given,
    )


def logged(made):
    return [line for line in made.state.log_history if "loss" in line]


def weights(made):
    return {**made.model.state_dict(), **{f"criterion.{name}": value for name, value in made.criterion.state_dict().items()}}


def same(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance)
