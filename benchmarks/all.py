"""Every number of the README, measured again: `make bench`. Hours, with what needs LIMBECK_DATA."""

import os

from benchmarks import (
    engine,
    exports,
    kills,
    methods,
    ranks,
    readme,
    recipes,
    relations,
    report,
    scale,
    startup,
    store,
    store_accuracy,
    store_core,
    text_rivals,
    text_stage,
)

if __name__ == "__main__":
    for part in (startup, relations, engine, ranks, kills, report, store_core, scale):
        part.main()
    for name in recipes.TOPICS:
        if name == "digits" or os.environ.get("LIMBECK_DATA"):
            recipes.run(name)
    if os.environ.get("LIMBECK_DATA"):
        for part in (exports, store, store_accuracy, methods, text_stage, text_rivals):
            part.main()
    readme.main()
