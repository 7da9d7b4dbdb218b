"""From one modality to another: what pairs without labels give a student that reads another field than its teacher.

    python -m benchmarks.paradigms.cross_modal [sound] [emoji] [style]     # needs LIMBECK_DATA; finished runs are kept

The recipes sound-envelope and emoji, one run for each seed, under runs/benchmarks/cross_modal.

sound  digits from their loudness alone: 100 labels, unlabelled pairs with a spectrogram teacher, all labels
emoji  held-out emoji found by their descriptions among 250 pictures of one style; against labels and ridge regression
style  the same encoder, trained on the pictures of one style, on pictures of the other
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import record
from benchmarks.paradigms.parts import parts_parser
from limbeck import models
from limbeck.evaluation.predictions import load_predictions
from limbeck.evaluation.statistics import interval, paired_gain, retention
from limbeck.recipe import Recipe, built_in_recipes, read_yaml
from limbeck.runs import build_teacher, run_recipe
from limbeck.tasks import Retrieval

FOLDER = Path("runs/benchmarks/cross_modal")
COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.cross_modal"
SEEDS = (0, 1, 2)
STYLES = ("twitter", "google")


def content(name: str, **changes: Any) -> dict[str, Any]:
    """The fields of a built-in recipe, with changes."""
    found: dict[str, Any] = read_yaml(built_in_recipes()[name].read_text(encoding="utf-8"))
    return found | changes


def finished(name: str, fields: Mapping[str, Any], seed: int) -> Path:
    """The folder of a run of one seed, which is trained, or continued, unless it is finished."""
    folder = FOLDER / f"{name}-{seed}"
    if not (folder / "verdict.json").exists():
        run_recipe(Recipe.from_dict(fields | {"seeds": [seed]}, name), folder, resume=folder.exists(), progress=False)
    return folder


def keep(
    figure: str, bar: str, value: float, ci95: Sequence[float], met: bool, part: str, data: str, note: str | None = None
) -> None:
    verdict = "met" if met else "not met"
    print(f"{figure}: {value:.4g} [{ci95[0]:.4g}, {ci95[1]:.4g}] ({bar}: {verdict}) {note or ''}", flush=True)
    record("paradigms", figure, bar, value, ci95, met, f"{COMMAND} {part}", data, list(SEEDS), note)


def percent(scores: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The mean of scores `[seeds, items]` and its interval, in percent."""
    value, (low, high) = interval(scores)
    return 100 * value, (100 * low, 100 * high)


def shown(scores: np.ndarray) -> str:
    value, (low, high) = percent(scores)
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


# --- sound ---------------------------------------------------------------------------------------------------------------


def sound() -> None:
    few = content("sound-envelope")
    every = {name: part for name, part in few.items() if name not in ("teacher", "method")}
    every |= {"data": {name: part for name, part in few["data"].items() if name != "labels"}, "control": False}
    every |= {"terms": ["hard_targets"]}
    arms: dict[str, list[np.ndarray]] = {"student": [], "control": [], "teacher": [], "every": []}
    for seed in SEEDS:
        found = load_predictions(finished("sound", few, seed))
        for arm in ("student", "control", "teacher"):
            arms[arm].append(found[arm].correct()[0].astype(float))
        whole = load_predictions(finished("sound-all-labels", every, seed))
        arms["every"].append(whole["student"].correct()[0].astype(float))
    right = {arm: np.stack(scores) for arm, scores in arms.items()}
    data = "spoken_digits, loudness in 101 frames, 121k-parameter student, 60 epochs on 2,250 pairs without labels"
    note = ", ".join(
        f"{name} {shown(right[arm])}"
        for name, arm in (("100 labels alone", "control"), ("all labels", "every"), ("the spectrogram teacher", "teacher"))
    )
    value, ci95 = percent(right["student"])
    keep("supervision transfer, spectrogram → envelope: accuracy, %", "≥ 77", value, ci95, value >= 77, "sound", data, note)
    kept = retention(right["student"], right["every"])
    assert kept is not None
    share, (low, high) = 100 * kept[0], (100 * kept[1][0], 100 * kept[1][1])
    figure = "supervision transfer, spectrogram → envelope: share of the accuracy that all labels give, %"
    keep(figure, "≥ 98", share, (low, high), share >= 98, "sound", data, note)
    gain = paired_gain(right["student"], right["control"])
    points = 100 * gain.value, (100 * gain.ci95[0], 100 * gain.ci95[1])
    figure = "supervision transfer, spectrogram → envelope: accuracy minus that of 100 labels alone, points"
    keep(figure, "> 0, interval above 0", *points, gain.ci95[0] > 0, "sound", data, note)


# --- emoji ---------------------------------------------------------------------------------------------------------------


def found_by_text(folder: Path, fields: Mapping[str, Any], arm: str) -> dict[str, np.ndarray]:
    """Whether each held-out emoji is among the first ten pictures of its style, by style, `[emoji]` in one order."""
    recipe, scores = Recipe.from_dict(dict(fields)), {}
    model = models.load_model(folder / arm)
    for style in STYLES:
        items = recipe.items(recipe.data.test.model_copy(update={"where": {"style": style}}))
        task = Retrieval()
        task.prepare(build_teacher(recipe, items), items, [items], control=False)
        as_read = items.for_actor("student")
        order = items.for_actor("teacher").keys.argsort().numpy()
        scores[style] = task.to_predictions([task.outputs(model, as_read)], as_read)["scores"][0][order]
    return scores


def recalls(name: str, fields: Mapping[str, Any], arm: str) -> dict[str, np.ndarray]:
    """`found_by_text` of all seeds, by style, `[seeds, emoji]`; `both` is the mean of the styles for each emoji."""
    each = [found_by_text(finished(name, fields, seed), fields, arm) for seed in SEEDS]
    found = {style: np.stack([one[style] for one in each]) for style in STYLES}
    return found | {"both": (found["twitter"] + found["google"]) / 2}


def emoji() -> None:
    fields = content("emoji")
    ours, theirs = (recalls("emoji", fields, arm) for arm in ("student", "control"))
    data = (
        "emoji, 2,288 pictures of 1,144 emoji; 250 held-out emoji, each style a gallery of 250; 20 epochs of the first blocks "
    )
    data += "of ImageNet's MobileNetV2, 760k parameters"
    note = f"by style: {', '.join(f'{style} {shown(ours[style])}' for style in STYLES)}; control {shown(theirs['both'])}"
    value, ci95 = interval(ours["both"])
    keep("emoji found by text: recall@10", "≥ 0.50", value, ci95, value >= 0.5, "emoji", data, note)
    gain = paired_gain(ours["both"], theirs["both"])
    figure = "emoji found by text: recall@10 minus that of an encoder of labels with ridge regression"
    keep(figure, "> 0, interval above 0", gain.value, gain.ci95, gain.ci95[0] > 0, "emoji", data, note)


def style() -> None:
    fields = content("emoji", control=False)
    fields["data"]["train"]["where"] = {"style": "twitter"}
    ours = recalls("emoji-twitter", fields, "student")
    shift = paired_gain(ours["google"], ours["twitter"])
    both = recalls("emoji", content("emoji"), "student")
    data = "emoji, 1,144 pictures of one style, 20 epochs; 250 held-out emoji"
    one = f"twitter {shown(ours['twitter'])}, google {shown(ours['google'])}"
    note = f"{one}; trained on both styles {shown(both['google'])} on google"
    figure = "emoji found by text, trained on twitter's pictures: recall@10 on google's minus that on twitter's"
    keep(figure, "none; it is reported", shift.value, shift.ci95, True, "style", data, note)


PARTS = {"sound": sound, "emoji": emoji, "style": style}


def main() -> None:
    parser = parts_parser(__doc__, PARTS)
    args = parser.parse_args()
    if "LIMBECK_DATA" not in os.environ:
        parser.error("LIMBECK_DATA is not set; it names the folder that holds data/emoji and data/spoken_digits")
    for part in args.parts:
        PARTS[part]()


if __name__ == "__main__":
    main()
