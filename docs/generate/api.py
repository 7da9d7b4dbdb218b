"""The Python interface and the parts that recipes may name, from signatures and docstrings."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable
from importlib import import_module
from types import FunctionType
from typing import Any

from pydantic import BaseModel

from docs.generate.markdown import code, docstring, prose, summary, table
from limbeck import methods, models, tasks
from limbeck.core import adapters, balance, schedules, source, teachers, weighers
from limbeck.data.fields import modalities
from limbeck.data.image import transforms
from limbeck.models import shrink as text
from limbeck.recipe.base import BaseRecipe
from limbeck.utils.registry import Registry

# Page → (its title, what it holds, module → public names in the order in which one meets them).
GROUPS: dict[str, tuple[str, str, dict[str, tuple[str, ...]]]] = {
    "distilling": (
        "Distilling",
        "One call, the parts chosen, your own loop: each a thin layer over the next.",
        {
            "limbeck": ("distill", "Outcome", "Distillation", "Training", "FromTeacher", "Term", "Criterion"),
            "limbeck.experiment.plan": ("Plan",),
        },
    ),
    "methods": (
        "Methods",
        "Published methods for texts: a student and its stages; see [Papers on texts, by name](../../guide/methods/texts.md).",
        {
            "limbeck.methods": (
                "distilbert",
                "bert_pkd",
                "tinybert",
                "minilm",
                "minilm_v2",
                "mobilebert",
                "embeddings",
                "static_embeddings",
                "hinton",
            ),
        },
    ),
    "runs": (
        "Runs",
        "Stages and updates with actors: what every method consists of.",
        {
            "limbeck": ("Run", "Stage", "Update", "Settings", "Validation", "Optimizer", "epochs", "steps"),
            "limbeck.engine.stages": ("terms_stage",),
            "limbeck.engine": (
                "Freeze",
                "Unfreeze",
                "LearningRateScale",
                "Snapshot",
                "Reinitialise",
                "DeadTermError",
                "NonFiniteError",
            ),
        },
    ),
    "actors": (
        "Actors, taps and signals",
        "Who takes part, and where what they say is read.",
        {
            "limbeck": ("trained", "frozen", "average", "snapshot", "Variant", "Ensemble"),
            "limbeck.core.actors": ("Actor",),
            "limbeck.core": ("module_of", "recalibrate"),
            "limbeck.core.references": ("Reference",),
            "limbeck.core.taps.tap": ("Tap",),
            "limbeck.core.taps.probe": ("Probe",),
            "limbeck.core.taps.encoder_layout": ("attention_layers", "layers"),
            "limbeck.core.errors": ("TapError",),
            "limbeck.core.signals": ("TopK", "LinearLogits", "Match"),
            "limbeck.core.adapters": ("Adapter", "build_adapter"),
        },
    ),
    "objectives": (
        "Objectives",
        "What all objectives share; each has a page of its own under [Methods](../../methods/index.md).",
        {
            "limbeck.objectives": ("get", "names", "register", "Objective"),
        },
    ),
    "teachers": (
        "Teachers, schedules and memory",
        "Targets that are more than one actor's signal, weights over time and over items, and what outlives a step.",
        {
            "limbeck.core.teachers": ("Teacher", "PastPredictions", "VirtualTeacher"),
            "limbeck.core.schedules": ("Schedule",),
            "limbeck.core.weighers": ("Weigher",),
            "limbeck.core.balance": ("Balance",),
            "limbeck.core.memory": ("PerSampleTable", "Queue"),
        },
    ),
    "data": (
        "Data",
        "Any data set as items with keys, and the sources that turn them into batches.",
        {
            "limbeck": ("load_items", "Items", "Pipeline", "Dataset"),
            "limbeck.core.batch": ("Batch",),
            "limbeck.core.source": ("Source", "BatchPosition", "Observation"),
            "limbeck.data.table": ("TableEncoder", "TableOptions"),
            "limbeck.data.audio": ("AudioOptions", "log_mel"),
            "limbeck.data.loading.fields": ("load_fields",),
            "limbeck.data.fields": ("Modality", "map_field", "FieldStorage"),
            "limbeck.data.sources": ("DatasetFile", "Gaussian", "Generated", "OwnSamples", "Pool", "Synthesis", "Uniform"),
            "limbeck.data.text.augmentation": ("augment_texts", "AugmentationReport"),
            "limbeck.data.text.word_replacements": ("MaskedModelReplacements", "EmbeddingReplacements", "FallbackReplacements"),
        },
    ),
    "models": (
        "Models",
        "Compact students, loaders for other libraries' models, and their files.",
        {
            "limbeck.models": (
                "get",
                "names",
                "load_weights",
                "save_weights",
                "save_model",
                "load_model",
                "count_parameters",
                "spec_of",
                "with_exits",
                "Normalize",
            ),
            "limbeck.models.shrink": (
                "init_from_teacher",
                "narrower",
                "factorised",
                "mobilebert",
                "trim_vocabulary",
                "TrimReport",
                "CorpusVocabulary",
                "static_embeddings",
                "StaticEncoder",
                "layer_map",
            ),
        },
    ),
    "tasks": (
        "Tasks and metrics",
        "What models predict and are evaluated by; see [How to add a task](../../guide/new-task.md).",
        {
            "limbeck.tasks": ("Task",),
            "limbeck.tasks.predictions": ("TaskPredictions",),
            "limbeck.metrics": ("Metric", "Measure", "Records", "register"),
        },
    ),
    "devices": (
        "Devices",
        "The student as a file, checked and measured in its own runtime; see [On a device](../../guide/devices.md).",
        {
            "limbeck.export": ("export_models", "profile", "Format", "Runner", "Costs", "ExportError"),
        },
    ),
    "verdicts": (
        "Verdicts and recipes",
        "The outcome of a run, and how a recipe is read and carried out.",
        {
            "limbeck": ("Verdict",),
            "limbeck.evaluation": (
                *("Result", "Arm", "Gain", "Target", "build_verdict", "interval", "paired_gain", "write_report"),
            ),
            "limbeck.recipe": ("Recipe", "Comparison", "RecipeError", "load_plugin"),
            "limbeck.runs": ("run_recipe", "open_run", "evaluate_run"),
        },
    ),
}

# What recipes call by name: heading → (registry, what the names are for).
PARTS: dict[str, tuple[Registry, str]] = {
    "Models": (models.registry, "For `teacher: {model: …, args: {…}}` and `student:`."),
    "Transforms": (transforms, "For `training.views`; they run in the order in which they are listed."),
    "Schedules": (schedules.registry, "For the weight or temperature of a term and the schedule of a learning rate."),
    "Teachers": (teachers.registry, "For the `teacher` of a term, where it is more than one actor's signal."),
    "Weighers": (weighers.registry, "For the `item_weight` or `temperature` of a term, and the `by` of an ensemble."),
    "Balances": (balance.registry, "For the `balance:` of an update or a stage: factors of the weights of its terms."),
    "Sources": (source.registry, "For `sources:`, whose names updates use."),
    "Tasks": (tasks.registry, "For `task:`."),
    "Modalities": (modalities, "For the `fields:` of a data set."),
    "Methods": (methods.registry, "For `method:`, in place of terms and stages."),
    "Students made from the teacher": (text.from_teacher, "For `student: {from_teacher: …}`."),
    "Adapters": (adapters.registry, "For the `adapter` of a term, where `auto` is not what you want."),
}
STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
WIDTH = 88  # signatures longer than this are broken into lines


def pages() -> dict[str, str]:
    """Address to text, `reference/api/…` and the parts by name."""
    found = {f"reference/api/{name}.md": _page(name) for name in GROUPS}
    return found | {"reference/api/index.md": _index(), "reference/parts.md": _parts()}


def nav() -> list[Any]:
    return ["reference/api/index.md", *(f"reference/api/{name}.md" for name in GROUPS)]


def public() -> set[str]:
    """Every name of `limbeck` itself that has an entry."""
    return {name for _, _, names in GROUPS.values() for name in names.get("limbeck", ())}


def _index() -> str:
    rows = [(f"[{title}]({name}.md)", lead, _linked(name)) for name, (title, lead, _) in GROUPS.items()]
    lead = "# Python interface\n\nNames load when they are first used, so that `import limbeck` costs little.\n"
    return f"{lead}\n{table(('page', 'holds', 'names'), rows)}"


def _linked(group: str) -> str:
    entries = [(module, name) for module, names in GROUPS[group][2].items() for name in names]
    return ", ".join(f"[`{name}`]({group}.md#{_anchor(module, name)})" for module, name in entries)


def _page(group: str) -> str:
    title, lead, modules = GROUPS[group]
    entries = [_entry(module, name) for module, names in modules.items() for name in names]
    return "\n\n".join([f"# {title}", lead, *entries])


def _entry(module: str, name: str) -> str:
    thing = getattr(import_module(module), name)
    heading = f"## {name} {{#{_anchor(module, name)}}}"
    imported = f"from {module} import {name}"
    if inspect.isclass(thing):
        called = _constructor(name, thing)
        body = [
            *([called, docstring(thing)] if called.startswith("```") else [docstring(thing), called]),
            *(_member(_anchor(module, name), *one) for one in members(thing)),
        ]
    elif callable(thing):
        body = [code(signature(name, thing), "python"), docstring(thing)]
    else:
        body = [docstring(thing)]
    return "\n\n".join(part for part in [heading, f"`{imported}`", *body] if part)


def _constructor(name: str, kind: type) -> str:
    if issubclass(kind, BaseRecipe):
        return "Its fields are those of [recipes](../recipes.md)."
    if issubclass(kind, BaseModel):
        return table(
            ("field", "type"), [(f"`{one}`", f"`{_kind(info.annotation)}`") for one, info in kind.model_fields.items()]
        )
    if issubclass(kind, enum.Enum):
        return table(("member", "value"), [(f"`{one.name}`", f"`{one.value}`") for one in kind])
    if inspect.isabstract(kind) or issubclass(kind, Exception) or kind.__init__ is object.__init__:
        return ""
    return code(signature(name, kind), "python")


def members(kind: type) -> list[tuple[str, Any]]:
    """The public methods and properties that a class defines and says something about itself."""
    plain = {name: getattr(value, "__func__", value) for name, value in vars(kind).items()}  # class methods hold a function
    public = {name: value for name, value in plain.items() if name[0] != "_" and name != "extra_repr"}
    return [(name, value) for name, value in public.items() if isinstance(value, FunctionType | property) and value.__doc__]


def _member(parent: str, name: str, value: Any) -> str:
    heading = f"### {name} {{#{parent}-{name}}}"
    called = "" if isinstance(value, property) else code(signature(name, value), "python")
    return "\n\n".join(part for part in (heading, called, docstring(value)) if part)


def signature(name: str, thing: Any) -> str:
    """`name(arguments) -> result`, broken into lines where it is long."""
    found = inspect.signature(thing)
    parameters = [one for one in found.parameters.values() if one.name not in ("self", "cls")]
    shown, kinds = [_argument(one) for one in parameters], [one.kind for one in parameters]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        shown.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    returned = found.return_annotation
    arrow = "" if returned in (inspect.Signature.empty, None, "None") or inspect.isclass(thing) else f" -> {_kind(returned)}"
    line = f"{name}({', '.join(shown)}){arrow}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {one},\n" for one in shown) + f"){arrow}"


def _argument(parameter: inspect.Parameter) -> str:
    stars = STARS.get(parameter.kind, "")
    kind = "" if parameter.annotation is inspect.Parameter.empty else f": {_kind(parameter.annotation)}"
    if parameter.default is inspect.Parameter.empty:
        return f"{stars}{parameter.name}{kind}"
    return f"{stars}{parameter.name}{kind}{' = ' if kind else '='}{_default(parameter.default)}"


def _default(value: Any) -> str:
    if inspect.isfunction(value) or inspect.isclass(value):
        return str(value.__name__)
    shown = repr(value).replace("'", '"')
    return "…" if shown.startswith("<") else shown


def _kind(annotation: Any) -> str:
    """A type as one writes it, without the modules that it lives in."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?!nn\.)(?:[a-z_]\w*\.)+?(?=nn\.|[A-Z]|\w+\b(?!\.))", "", text)


def _anchor(module: str, name: str) -> str:
    return name.lower() if module == "limbeck" else f"{module.removeprefix('limbeck.').replace('.', '-')}-{name.lower()}"


def _parts() -> str:
    lead = (
        "# Parts by name\n\nWhat a recipe may call by name, beside the [objectives](../methods/index.md). Installed packages "
        "add parts through entry points, a file of your own through `--plugin`.\n"
    )
    return "\n\n".join([lead, *(_registry(title, *found) for title, found in PARTS.items())])


def _registry(title: str, registry: Registry, lead: str) -> str:
    rows = [(f"`{name}`", prose(summary(registry[name])), _arguments(registry[name])) for name in registry.names()]
    return f"## {title}\n\n{lead}\n\n{table(('name', 'is', 'arguments'), rows)}"


def _arguments(part: Callable[..., Any]) -> str:
    """Its arguments with their defaults, as a recipe writes them."""
    parameters = inspect.signature(part).parameters.values()
    named = [one for one in parameters if one.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)]
    own = [one for one in named if (one.name, one.default) != ("student", one.empty) and one.name not in ("student", "teacher")]
    return ", ".join(f"`{one.name}`" if one.default is one.empty else f"`{one.name}: {_written(one.default)}`" for one in own)


def _written(value: Any) -> str:
    """A default as YAML."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, schedules.Schedule):
        return type(value).__name__.lower()
    return f"{value:.4g}" if isinstance(value, float) else {None: "none", True: "true", False: "false"}.get(value, str(value))
