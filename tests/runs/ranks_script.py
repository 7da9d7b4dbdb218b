"""Train with weights in shards, export, and evaluate the run and its file: run by two processes with torchrun."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from torch import Tensor

from limbeck import runs
from limbeck.export import exporter
from limbeck.tasks import model_outputs
from limbeck.utils import distributed
from tests import tiny

EXPORT = "export={formats: [onnx], precisions: [fp32], teacher: false}"
SHARDED = ("training.shard=true", "training.threads=1", "control=false", EXPORT)


def main(folder: Path) -> None:
    exporter.peak_memory = lambda kind, path, shape: 10**6  # its fresh processes take longer than all else here
    runs.run_recipe(tiny.recipe(*SHARDED), folder, progress=False)
    seen, compute = [], model_outputs.model_outputs

    def counting(task: object, model: object, items: list[object], **options: object) -> Tensor:
        seen.append(len(items))
        return compute(task, model, items, **options)

    model_outputs.model_outputs = counting
    found = {"run": runs.evaluate_run(folder, "digits", split="test").as_json()}
    file = folder / "exports" / "student-fp32.onnx"
    found["file"] = runs.evaluate_file(file, "digits", split="test").as_json()
    (folder / f"evaluated-{distributed.rank()}.json").write_text(json.dumps({"seen": seen, **found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    distributed.exit_process(0)
