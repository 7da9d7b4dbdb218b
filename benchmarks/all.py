"""Measures every recorded figure again: `make bench`. Takes hours, and needs LIMBECK_DATA for most."""

import os
from pathlib import Path

from benchmarks import (
    cache_accuracy,
    cache_format,
    distributed,
    engine,
    exports,
    faults,
    house,
    methods,
    pages,
    recipes,
    relations,
    report,
    resume,
    scale,
    startup,
    teacher_cache,
    text_baselines,
    text_latency,
    text_stage,
    unseen_sentences,
)

VALIDATION = "${LIMBECK_DATA}/data/sst2/validation.parquet"

if __name__ == "__main__":
    for part in (startup, relations, engine, distributed, resume, report, cache_format, faults, scale):
        part.main()
    for name in recipes.TOPICS:
        if name == "digits" or os.environ.get("LIMBECK_DATA"):
            recipes.run(name)
    if os.environ.get("LIMBECK_DATA"):
        for part in (exports, teacher_cache, cache_accuracy, methods, text_stage, text_baselines):
            part.main()
        for name, bar in text_latency.BARS.items():
            text_latency.measure([Path("runs") / f"benchmark-{name}"], VALIDATION, bar, name=name)
        for name in unseen_sentences.BARS:
            unseen_sentences.run(name)
    house.count(record=True)
    pages.main()
