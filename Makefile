# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: demo test coverage lint bench docs docs-serve setup clean

demo: setup  ## distil a student on real handwritten digits and judge it
	$(BIN)/limbeck distill digits --out runs/digits --force

test: setup lint  ## all checks and tests, one process a core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=10

coverage: setup  ## which lines the tests reach; tracing makes them take twice as long
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term:skip-covered

lint: setup
	$(BIN)/ruff check limbeck tests benchmarks docs/generate examples
	$(BIN)/ruff format --check limbeck tests benchmarks docs/generate examples
	$(BIN)/mypy limbeck
	$(BIN)/lint-imports

bench: setup  ## measure every recorded figure again
	$(BIN)/python -m benchmarks.all

docs: setup  ## build the documentation into build/site; it opens without a server
	$(BIN)/mkdocs build --strict

docs-serve: setup  ## show the documentation at http://127.0.0.1:8000 and follow changes
	$(BIN)/mkdocs serve

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
