"""A page for each objective in the registry, from its docstring and what it declares; and the table of them all."""

from __future__ import annotations

import copy
import functools
import textwrap
from collections.abc import Mapping
from typing import Any, cast

import yaml

from docs.generate import formulas
from docs.generate.markdown import code, docstring, prose, summary, table
from limbeck import objectives
from limbeck.core.objective import PROPERTIES, Objective
from limbeck.core.signals import Match
from limbeck.objectives.description import describe
from limbeck.objectives.multilabel import MultilabelObjective
from limbeck.recipe import find_recipe, read_yaml

KNOWLEDGE = {
    "output": ("Outputs", "Compares the logits of the outputs."),
    "feature": ("Features", "Compares activations inside the networks: maps, vectors and hidden states."),
    "relation": ("Relations", "Compares relations between items, channels or tokens."),
}
AGREE = {
    Match.NOTHING: "the batch, and what its description says",
    Match.SPACE: "height and width; channel counts may differ",
    Match.CHANNELS: "channel counts; height and width may differ",
    Match.EVERYTHING: "shapes",
}
AXES = {1: "numbers [B]", 2: "vectors [B, C]", 3: "tokens [B, T, C]", 4: "maps [B, C, H, W]"}

INTRODUCTION = """---
hide: [toc]
---

# Methods

An objective compares two signals and returns one loss for each item. It is named in a recipe's `terms:`, or built with
`objectives.get(name)`. `limbeck methods` prints the same table. Several objectives are added, each a term with its weight.

s and t are the signals of student and teacher, y labels, p softmax. Each formula is one item's loss; a batch's loss is the mean
over its items. For an objective of your own see [How to add an objective](../guide/new-objective.md).
"""

NETWORKS = 'models.get("resnet_cifar", depth=20), models.get("resnet_cifar", depth=8)'
OF_TWO_KINDS = 'models.get("vit_tiny", depth=2), models.get("resnet_cifar", depth=8)'
TRANSFORMERS = 'models.get("vit_tiny", depth=6), models.get("vit_tiny", depth=2)'

PYTHON = """
import torch
from limbeck import Criterion, Term, models, objectives
{imports}
teacher, student = {networks}
{batch}
criterion = Criterion(
    [
{terms}
    ],
    student,
    teacher,
    example=batch,{samples}
)
print(criterion(batch))  # the loss, and the value of each term
"""
STATISTICS = "statistics of BatchNorm inputs"
ATTENTION = "queries, keys and values"
SPANS = "start and end logits"
NUMBERS = 'models.get("resnet_cifar", depth=20, classes=1), models.get("resnet_cifar", depth=8, classes=1)'
READERS = """(
    models.get("transformers", task="AutoModelForQuestionAnswering", config={"model_type": "bert", "vocab_size": 100} | sizes)
    for sizes in (
        {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4},
        {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    )
)"""
WITH_NUMBERS = "batch = (torch.rand(8, 3, 32, 32), torch.rand(8))  # images in [0, 1], and a number for each"
WITH_SPANS = 'batch = ({"input_ids": torch.randint(100, (8, 20))}, torch.randint(20, (8, 2)))  # first and last of an answer'
WITH_SEVERAL = "batch = (torch.rand(8, 3, 32, 32), torch.randint(2, (8, 10)))  # images in [0, 1], and 0 or 1 for each label"
PAIR = "batch = (torch.rand(8, 3, 32, 32), torch.randint(10, (8,)))  # images in [0, 1], labels"
INDEXED = 'batch = Batch({"default": torch.rand(8, 3, 32, 32)}, target=torch.randint(10, (8,)), index=torch.arange(8))'


def pages() -> dict[str, str]:
    """Address to text, `methods/…`."""
    return {"methods/index.md": overview()} | {f"methods/{name}.md": page(name) for name in objectives.names()}


def nav() -> list[Any]:
    """The overview, then the methods by kind of knowledge."""
    groups = [{title: [f"methods/{name}.md" for name in _of_kind(kind)]} for kind, (title, _) in KNOWLEDGE.items()]
    return ["methods/index.md", *groups]


def overview() -> str:
    rows = []
    for kind, (title, what) in KNOWLEDGE.items():
        rows.append(f"## {title}\n\n{what}\n")
        lines = [
            (
                f"[`{name}`]({name}.md)",
                prose(summary(_kind(name))),
                formulas.inline(_kind(name).formula),
                prose(_kind(name).source),
            )
            for name in _of_kind(kind)
        ]
        rows.append(table(("name", "what it compares", "formula", "source"), lines))
    return "\n".join([INTRODUCTION, *rows])


def page(name: str) -> str:
    """One objective: what it is, what it needs, how it is written in a recipe and in Python."""
    kind = _kind(name)
    parts = [
        f"# {name}",
        prose(summary(kind)),
        formulas.typeset(kind.formula),
        docstring(kind, skip_first=True),
        "## At a glance",
        table(("", ""), _glance(name)),
        "## In a recipe",
        code(yaml_example(name), "yaml"),
        "## In Python",
        code(python_example(name), "python", ".run"),
        _exempt(kind),
        _citation(kind),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _glance(name: str) -> list[tuple[str, str]]:
    kind = _kind(name)
    facts = [
        ("kind of knowledge", f"[{kind.knowledge}](index.md#{KNOWLEDGE[kind.knowledge][0].lower()})"),
        ("usual weight", f"{kind.weight:g}"),
        ("defaults", ", ".join(f"`{key}: {_plain(value)}`" for key, value in _defaults(name).items()) or "it has no arguments"),
        ("needs a teacher", _yes(kind.needs_teacher)),
        ("needs labels", _yes(kind.needs_target)),
        ("compares items with each other", _yes(kind.over_batch)),
    ]
    if kind.needs_teacher:
        facts.append(("takes the largest probabilities only (`TopK`)", _yes(kind.accepts_top_k)))
        facts.append(("must agree on both sides", AGREE[kind.match] + _bridged(kind)))
    facts.append(("signals", ", ".join(kind.expects or [AXES[rank] for rank in kind.ndims]) or "any"))
    if kind.num_taps != 1:
        facts.append(("taps on each side", f"{kind.num_taps}" if kind.num_taps else "two or more"))
    return facts


def _bridged(kind: type[Objective]) -> str:
    return "" if kind.match is Match.NOTHING or kind.knowledge == "output" else "; an adapter is built where they do not"


def _exempt(kind: type[Objective]) -> str:
    if not kind.exempt:
        return ""
    rows = [(prose(PROPERTIES[prop]), prose(why)) for prop, why in kind.exempt.items()]
    return "## What does not hold\n\nOf what holds for every objective that does not say otherwise:\n\n" + table(
        ("property", "why not here"), rows
    )


def _citation(kind: type[Objective]) -> str:
    return f"## To cite\n\n{code(textwrap.dedent(kind.bibtex), 'bibtex')}" if kind.bibtex.strip() else ""


# --- examples ------------------------------------------------------------------------------------------------------------


def yaml_example(name: str) -> str:
    """The terms of a recipe with this objective in it."""
    return "terms:\n" + "".join(f"  - {_line(spec)}\n" for spec in terms(name))


def _line(spec: Any) -> str:
    """A term as recipes write it: `hint: {student: layer2, weight: 100}`."""
    if isinstance(spec, str):
        return spec
    arguments = yaml.safe_dump(spec[_name(spec)], sort_keys=False, default_flow_style=True, width=1000)
    return f"{_name(spec)}: {arguments.strip()}"


def python_example(name: str) -> str:
    """The same terms in a loop of one's own."""
    remembers = "samples=" in (_kind(name).__doc__ or "")
    networks, batch = _setting(_kind(name))
    return PYTHON.format(
        networks=networks,
        imports="from limbeck.core.batch import Batch\n" if remembers else "",
        batch=INDEXED if remembers else batch,
        terms=textwrap.indent("\n".join(f"{_term(spec)}," for spec in terms(name)), " " * 8),
        samples="\n    samples=8,  # items in the training set" if remembers else "",
    ).strip()


def _setting(kind: type[Objective]) -> tuple[str, str]:
    """Two networks that give what the objective compares, and a batch for them."""
    if _signal(kind) == SPANS:
        return READERS, WITH_SPANS
    if _signal(kind) == ATTENTION:
        return OF_TWO_KINDS, PAIR
    if 1 in kind.ndims:
        return NUMBERS, WITH_NUMBERS
    if issubclass(kind, MultilabelObjective):
        return NETWORKS, WITH_SEVERAL
    return (TRANSFORMERS if kind.tap_kinds else NETWORKS), PAIR


def terms(name: str) -> list[Any]:
    """As the comparison of methods uses the objective, or else from what it declares; the labels are always beside it."""
    for variant in _variants().values():
        if name in (used := {_name(spec) for spec in variant}) and used <= {"hard_targets", name}:
            return variant
    own = {name: _taps(_kind(name)) | {"weight": float(f"{_kind(name).weight:g}")}}
    if 1 in _kind(name).ndims:
        return [own]
    labels = "span_targets" if _signal(_kind(name)) == SPANS else "hard_targets"
    labels = "binary_cross_entropy" if issubclass(_kind(name), MultilabelObjective) else labels
    return [own] if name == labels else [labels, own]


@functools.cache
def _variants() -> dict[str, list[Any]]:
    return cast(dict[str, list[Any]], read_yaml(find_recipe("compare-methods").read_text(encoding="utf-8"))["variants"])


def _taps(kind: type[Objective]) -> dict[str, Any]:
    """Taps of the example's networks whose signals the objective takes."""
    if kind.knowledge == "output":
        return {}
    if _signal(kind) == STATISTICS:
        return {"student": "statistics(*)"}
    if _signal(kind) == ATTENTION:  # of a student without attention, whose adapter makes them
        matrices = [f"{name}(-1)" for name in ("queries", "keys", "values")]
        return {"student": ["layer3"] * len(matrices), "teacher": matrices, "adapter": "attention_heads"}
    if kind.tap_kinds:
        last = [f"{layer}(-1)" for layer in kind.tap_kinds]
        tap: Any = last[0] if len(last) == 1 else last
    elif kind.num_taps == 1:
        tap = "input(linear)" if 2 in kind.ndims or (kind.knowledge == "relation" and not kind.ndims) else "layer3"
    else:
        tap = [f"layer{number + 1}" for number in range(kind.num_taps or 3)]
    return {"student": tap, "teacher": copy.copy(tap)}


def _signal(kind: type[Objective]) -> str:
    """What the objective's signals are, "hidden states" of "hidden states [B, T, D]"."""
    return kind.expects[0].partition(" [")[0] if kind.expects else ""


def _term(spec: Any) -> str:
    """A term of a recipe as Python."""
    name, given = _name(spec), dict(next(iter(spec.values())) or {}) if isinstance(spec, Mapping) else {}
    wiring = {key: given.pop(key) for key in ("student", "teacher", "adapter", "weight", "name") if key in given}
    made = ", ".join([f'"{name}"', *(f"{key}={_literal(value)}" for key, value in given.items())])
    return f"Term({', '.join([f'objectives.get({made})', *(f'{key}={_literal(value)}' for key, value in wiring.items())])})"


def _literal(value: Any) -> str:
    return repr(value).replace("'", '"')


def _plain(value: Any) -> str:
    return yaml.safe_dump(value).splitlines()[0]


def _name(spec: Any) -> str:
    return spec if isinstance(spec, str) else str(next(iter(spec)))


def _kind(name: str) -> type[Objective]:
    return cast(type[Objective], objectives.registry[name])


def _of_kind(knowledge: str) -> list[str]:
    return [name for name in objectives.names() if _kind(name).knowledge == knowledge]


def _defaults(name: str) -> dict[str, Any]:
    return cast(dict[str, Any], describe(name)["defaults"])


def _yes(value: bool) -> str:
    return "yes" if value else "no"
