"""What each paradigm of `limbeck init` puts into a recipe: its models, and what they learn from whom."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import nn

from limbeck.cli.init.choice import Choice, Chooser
from limbeck.cli.init.data import STUDENT, TEACHER
from limbeck.cli.init.options import OFFLINE
from limbeck.cli.init.questions import InitError
from limbeck.cli.init.suggest import output_module, pair_layers, suggest_exits, suggest_layers, suggest_taps
from limbeck.cli.init.text import RecipeModels, format_value, view_names

ATTENTION = 30  # divided by the number of pairs; the papers' 1,000 dominates the other terms in a short training
BATCH = 128  # of inputs that are made


def offline(choose: Chooser) -> RecipeModels:
    teacher = choose.teacher()
    student = choose.student([teacher])
    pairs = suggest_taps(student.network, teacher.network, choose.data)
    if pairs:
        choose.show("taps", ", ".join(f"{ours} ← {theirs}" for ours, theirs in pairs))
    question = "Compare the features at these taps too"
    features = bool(pairs) and choose.questions.confirm(question, choose.options.features, default=False)
    lines = [
        "terms:               # the losses of the student; `limbeck methods` lists all objectives",
        "  - hard_targets: {weight: 0.1}                    # the labels; items without a label are skipped",
        "  - soft_targets: {temperature: 4, weight: 0.9}    # the teacher's probabilities, softened",
    ]
    if pairs:
        lines.append("  # attention maps of layers at equal relative depth" + ("" if features else ":"))
        weight = round(ATTENTION / len(pairs), 1)
        entries = [format_value({"student": ours, "teacher": theirs, "weight": weight}) for ours, theirs in pairs]
        lines += [f"  {'' if features else '# '}- attention_transfer: {entry}" for entry in entries]
    return RecipeModels(lines, teacher.spec, student.spec, targets=_kept([teacher], student))


def mutual(choose: Chooser) -> RecipeModels:
    peers = choose.peers()
    images = choose.data.train_items.images
    views = view_names(len(peers)) if images else []
    arguments: dict[str, Any] = {"temperature": 3}
    if images:
        arguments["views"] = dict(zip(peers, views, strict=True))
    own = f"{{target: min_logit, views: {format_value(arguments['views'])}}}" if images else "{target: min_logit}"
    lines = [
        *_method_head("mutual_learning"),
        f"  mutual_learning: {format_value(arguments)}    # each learns from the labels and the others' probabilities",
        f"  # kdcl: {own}    # in its place: one target that all of them make",
        "",
        "# Results are each peer and their ensemble. The first peer decides which state of a training is kept.",
    ]
    first = next(iter(peers))
    return RecipeModels(
        lines,
        actors={name: chosen.spec for name, chosen in peers.items()},
        control="true        # the same peers, each alone, and the ensemble of these",
        targets={f"{first}.gain": (0, "    # points over the control; 0: any gain whose interval excludes zero")},
        views=len(peers) if images else 1,
    )


def self_distillation(choose: Chooser) -> RecipeModels:
    student = choose.student()
    layers = suggest_exits(student.network, choose.data)
    smoothing = "smoothing: {terms: [hard_targets: {label_smoothing: 0.1}]}"
    others = [
        "  # ps_kd: {}              # its own predictions of the epoch before",
        "  # dlb: {}                # its own predictions of the batch before; needs training: {overlap: true}",
        "  # mean_teacher: {}       # the moving average of its weights",
    ]
    if len(layers) < 2:
        choose.show("exits", "none: no layers within are found; generations of the network teach each other instead")
        again = "  born_again: {generations: 3}    # each generation learns from labels and the one before; an ensemble of all"
        return RecipeModels([*_method_head("born_again"), again, *others], None, student.spec, controls=[smoothing])
    *exits, last = layers
    choose.show("exits", f"{', '.join(exits)}; features of {last}")
    lines = [
        *_method_head("be_your_own_teacher"),
        f"  be_your_own_teacher: {{features: {last}}}    # exits learn from labels, the deepest output and its features",
        "  # threshold: 0.9 is the confidence at which an item leaves early; the report shows work and accuracy for others",
        "",
        "# In its place, without exits: and with control: true",
        "# method: {born_again: {generations: 3}}    # each generation learns from the labels and the one before",
        *(
            f"# method: {{{name.strip()}}}    # {why.strip()}"
            for name, _, why in (one.strip(" #").partition("#") for one in others)
        ),
    ]
    return RecipeModels(
        lines,
        None,
        student.spec.model_copy(update={"exits": exits}),
        control="false       # with labels alone it would train the exits too",
        controls=["plain: {terms: [hard_targets]}    # the network without exits", smoothing],
    )


def multi_teacher(choose: Chooser) -> RecipeModels:
    teachers = choose.teachers()
    student = choose.student(teachers.values())
    lines = [
        *_method_head("ca_mkd"),
        "  ca_mkd: {hint: 0}               # those that are right about an item count more; without a label, certain ones",
        "  # eb_kd: {}                     # in its place: certain teachers count more, whatever the label",
        "  # agreeing_teachers: {}         # those that agree with others count more; three teachers, most of them good",
        "  # averaged_teachers: {}         # all count alike, or by weights: [2, 1]",
        "",
        "evaluate:",
        "  student: student",
        "  teacher: {ensemble: {of: teachers.*}}    # what the verdict compares with: the mean of all",
    ]
    actors = {name: chosen.spec for name, chosen in teachers.items()}
    return RecipeModels(lines, None, student.spec, actors, targets=_kept(teachers.values(), student))


def dynamic(choose: Chooser) -> RecipeModels:
    teacher = choose.teacher()
    student = choose.student([teacher])
    lines = [
        *_method_head("easy_by_labels"),
        "  easy_by_labels: {by: difficulty}    # items that it knows are learned from labels, hard ones from the teacher",
        "  # wsld: {}                          # in its place: soft targets count where the student is worse than the teacher",
        "  # uncertain_items: {share: 0.5}     # the half of each batch that the student is least certain of",
        "  # dynamic_temperature: {by: item}   # a temperature for each item",
        "  # annealed: {start: 0.9, end: 0}    # by time: the teacher first, the labels last",
        "  # balanced: {by: gradient_norm}     # the proportion of labels and teacher follows their gradients",
    ]
    return RecipeModels(lines, teacher.spec, student.spec, targets=_kept([teacher], student))


def heterogeneous(choose: Chooser) -> RecipeModels:
    teacher = choose.teacher()
    student = choose.student([teacher])
    ours = suggest_layers(student.network, choose.data, STUDENT)
    theirs = suggest_layers(teacher.network, choose.data, TEACHER)
    if not ours:
        raise InitError(
            f"--student: no layers are found in {student.spec.model} that could be compared; --paradigm {OFFLINE} compares "
            "outputs alone"
        )
    pairs = pair_layers(ours, theirs)
    output = output_module(student.network, choose.data)
    own = [
        f"evaluate: {{student: {format_value(f'student:{output}')}}}    # the output alone, so that what is kept has no exits"
    ]
    exits = list(pair_layers(ours, ours))
    spatial = all(suggest_exits(one.network, choose.data, actor) for one, actor in ((student, STUDENT), (teacher, TEACHER)))
    if spatial:
        choose.show("layers", ", ".join(f"{first} ← {second}" for first, second in pairs.items()))
        arguments = {"features": pairs, "order": "one_shot", "weight": 10, "temperature": 1}
        lines = [
            *_method_head("progressive_projection"),
            "  # pairs of layers, of student and teacher; order: progressive teaches one after the other, in stages",
            f"  progressive_projection: {format_value(arguments)}",
            "",
            f"# In its place, in logit space, with exits: {format_value(exits)} of the student:",
            "# method: {ofa_kd: {}}",
            *(f"# {line}" for line in own if output),
        ]
        return RecipeModels(lines, teacher.spec, student.spec, targets=_kept([teacher], student))
    choose.show("exits", f"{', '.join(exits)}; a network without maps or tokens is compared in logit space")
    lines = [
        *_method_head("ofa_kd"),
        "  ofa_kd: {gamma: 1}    # each exit learns the teacher's outputs; up to 1.5 where most items have a label",
        *(["", *own] if output else []),
    ]
    return RecipeModels(
        lines, teacher.spec, student.spec.model_copy(update={"exits": exits}), targets=_kept([teacher], student)
    )


def cross_modal(choose: Chooser) -> RecipeModels:
    teacher = choose.teacher()
    student = choose.student([teacher])
    lines = [
        *_method_head("supervision_transfer"),
        "  supervision_transfer: {temperature: 2}    # what the teacher makes of its field; labels are not needed",
        "  # supervision_transfer: {labels: 0.5}     # with the labels of items that have one",
        "  # cmkd: {}                                # in its place: similarities of items too, within and across",
        "  # contrastive_transfer: {soft: 1}         # which of the teacher's outputs belongs to the same item",
        "",
        "cache: auto          # the teacher's outputs are computed once",
    ]
    return RecipeModels(lines, teacher.spec, student.spec, targets=_kept([teacher], student))


def forgetting(choose: Chooser) -> RecipeModels:
    question = "Weights of the student, trained on the old domain"
    weights = choose.questions.ask("--student-weights", question, choose.options.student.weights)
    student = choose.student(weights=weights)
    lines = [
        *_method_head("learning_without_forgetting"),
        "  learning_without_forgetting: {}    # the labels of the new domain, and what the student predicted before",
        "  # learning_without_forgetting: {past: 1}    # keeps more of the old, and learns less of the new",
        "  # learning_without_forgetting: {past: 0, labels: 0, soft: 1}    # a teacher of the new domain alone: add teacher:",
        "",
        "# The verdict has the student as it started, too. What is left of the old domain:",
        "# limbeck evaluate runs/NAME --data OLD",
    ]
    control = "true        # labels alone, from the same weights"
    return RecipeModels(lines, None, student.spec, control=control, lr=1e-3)


def data_free(choose: Chooser) -> RecipeModels:
    teacher, data = choose.teacher(), choose.data
    if data.train is None and teacher.spec.training is not None:
        raise InitError(
            "--teacher-weights is missing, and without training data no teacher can be trained; give its weights, or --train"
        )
    student = choose.student([teacher])
    shape = list(data.first_inputs(1).shape[1:])
    normed = _has_batch_norm(teacher.network)
    arguments: dict[str, Any] = {"shape": shape, "batch_size": BATCH}
    if len(shape) == 3 and all(side % 4 == 0 and 8 <= side <= 64 for side in shape[1:]):  # what generators make
        name, why = "dfq", "an adversary, kept to what the teacher knows"
        arguments |= {} if normed else {"statistics": 0}
    elif len(shape) == 3 and normed:
        name, why = "deep_inversion", "images that show a class and fit the teacher's BatchNorm"
    else:
        name, why = "zero_shot_kd", "inputs that the teacher takes for mixtures of similar classes"
        arguments |= {} if len(shape) == 3 else {"low": -2, "high": 2}  # standardised columns
    lines = [
        *_method_head(name),
        f"  {name}: {format_value(arguments)}    # {why}",
        "# others: dafl, dfad, belief_matching, zero_shot_kd, deep_inversion, contrastive_inversion",
    ]
    control = "false       # it would learn from labels; noise is compared with in any case"
    return RecipeModels(
        lines,
        teacher.spec,
        student.spec,
        control=control if data.train is None else "true        # the same student on the data and its labels",
        targets=_kept([teacher], student, gain=False),
        training=[
            "steps: 2000          # of the student; images in colour need many more, up to 100,000",
            f"batch_size: {BATCH}",
            "optimizer: {name: adam, lr: 1.0e-2, schedule: cosine}",
        ],
        shares=[],
        trial="--no-control --seed 0 --set training.steps=20",
    )


def federated(choose: Chooser) -> RecipeModels:
    student = choose.student()
    if _has_batch_norm(student.network):
        choose.show("warning", "the student has BatchNorm: its statistics differ among clients; plain_cnn has none")
    lines = [
        "federated:           # clients that keep their data; the server never sees an item of theirs",
        "  method: {feddf: {}}    # averages the clients' models, then distils their ensemble into the average",
        "  # method: {ds_fl: {}}  # in its place: only logits on the public data travel; models may differ",
        "  public: 0.2        # share of the training data, without labels, that all may see; or a data set of its own",
        "  clients: 5         # of a simulation",
        "  partition: {dirichlet: {alpha: 0.5}}    # smaller: clients differ more; {by_column: {name: hospital}} for real ones",
        "  rounds: 20",
        "  # Real clients, with data files of their own: docs/guide/methods/federated.md",
    ]
    return RecipeModels(
        lines,
        None,
        student.spec,
        control="true        # FedAvg: the same clients and rounds, weights averaged only",
        targets={"gain": (0, "            # points over FedAvg; 0: any gain whose interval excludes zero")},
        training=[
            "epochs: 5            # of each client in each round",
            "batch_size: 32",
            "optimizer: {name: sgd, lr: 0.05, momentum: 0.9, schedule: 1.0}",
        ],
        shares=["validation: 0.1    # share that the server has: early stopping, and which models are worse than guessing"],
        trial="--set control=false --set seeds=[0] --set federated.rounds=1",
    )


def _has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def _method_head(name: str) -> list[str]:
    return [f"method:              # what is learned from whom; `limbeck methods {name}` explains this one"]


def _kept(teachers: Iterable[Choice[Any]], student: Choice[Any], *, gain: bool = True) -> dict[str, tuple[float, str]]:
    """The targets of a student with teachers.

    Args:
        gain: whether it should be better than its control.
    """
    ratio = sum(teacher.parameters for teacher in teachers) / student.parameters
    digits: int = 1 - math.floor(math.log10(ratio))
    rounded_down = math.floor(ratio * 10**digits) / 10**digits  # so that the target is met
    better = {"gain": (0, "            # points over the control; 0: any gain whose interval excludes zero")}
    return (better if gain else {}) | {
        "retention": (0.95, "    # of the teacher's accuracy"),
        "compression": (rounded_down, "    # times fewer parameters than the teacher"),
    }
