"""Every recorded figure, measured again: `make bench`. Hours, with what needs LIMBECK_DATA."""

import os
from pathlib import Path

from benchmarks import (
    engine,
    exports,
    house,
    kills,
    methods,
    pages,
    ranks,
    recipes,
    relations,
    report,
    scale,
    startup,
    store,
    store_accuracy,
    store_core,
    text_latency,
    text_rivals,
    text_stage,
    unseen,
)

VALIDATION = "${LIMBECK_DATA}/data/sst2/validation.parquet"

if __name__ == "__main__":
    for part in (startup, relations, engine, ranks, kills, report, store_core, scale):
        part.main()
    for name in recipes.TOPICS:
        if name == "digits" or os.environ.get("LIMBECK_DATA"):
            recipes.run(name)
    if os.environ.get("LIMBECK_DATA"):
        for part in (exports, store, store_accuracy, methods, text_stage, text_rivals):
            part.main()
        for name, bar in text_latency.BARS.items():
            text_latency.measure([Path("runs") / f"benchmark-{name}"], VALIDATION, bar, name=name)
        for name in unseen.BARS:
            unseen.run(name)
    house.count(record=True)
    pages.main()
