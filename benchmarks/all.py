"""Every number of the README, measured again: `make bench`. Hours, with the CIFAR-10 recipes (LIMBECK_DATA)."""

from benchmarks import engine, kills, ranks, readme, recipes, relations, startup

if __name__ == "__main__":
    for part in (startup, relations, engine, ranks, kills):
        part.main()
    for name in recipes.TOPICS:
        if not name.startswith("cifar10") or recipes.os.environ.get("LIMBECK_DATA"):
            recipes.run(name)
    readme.main()
