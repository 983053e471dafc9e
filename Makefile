# Two commands for a new user: `make demo` and `make test`. Each sets everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_OUTPUT ?= demo-output
LATEST := .venv-latest
TORCH :=  # a build of torch for `make test-latest` that is not the newest, such as torch==2.13.0
ROUNDS ?= 50  # of `make chaos`
SEED ?= 0  # of its first round; the next one has the next
NICE :=  # what runs beside jobs on Ray gets no more than its workers, which are nice by 15

# Every job starts processes of its own: compiled once, not by each of them, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-parts test-jobs test-all fuzz attack chaos test-latest lint types figures reference docs format clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## install everything into .venv (a second call takes no time)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 13) else "v2a needs Python 3.11 or 3.12, this is %d.%d: make PYTHON=python3.11 ..." % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(READY)  ## small catalog -> embed -> train -> generate -> a page to listen to
	$(BIN)/v2a demo --output $(DEMO_OUTPUT)

test: $(READY)  ## lint, types, all tests, side by side (minutes)
	$(MAKE) --no-print-directory --jobs --output-sync=target NICE='nice -n 19' lint types test-parts test-jobs

test-parts: $(READY)
	$(NICE) $(BIN)/python -m pytest tests/v2a_core tests/cluster tests/test_architecture.py tests/test_simulation.py

test-jobs: $(READY)
	$(BIN)/python -m pytest tests/workflows

test-all: lint types  ## the same with the slow tests (full-size models, long runs)
	$(BIN)/python -m pytest -m 'not fuzz and not attack and not chaos' --cov --cov-report=term:skip-covered

fuzz: $(READY)  ## 2,000 mutated files through a real job: no crash, no hang, no stray process (minutes)
	$(BIN)/python -m pytest -m fuzz -s tests/workflows/embed/test_fuzz.py

attack: $(READY)  ## what an enemy or bad luck would try, and a table of what held (minutes)
	$(BIN)/python -m pytest -m attack tests/attacks

chaos: $(READY)  ## what befalls a cluster: lost machines, storage that is away, cut networks; a table of what held (an hour, root)
	CHAOS_ROUNDS=$(ROUNDS) CHAOS_SEED=$(SEED) $(BIN)/python -m pytest -m chaos tests/chaos

# What the bounds in pyproject.toml allow, not what constraints.txt pins: says early what a new release breaks.
test-latest:  ## the core tests with the newest versions that the bounds allow, in an environment of their own (minutes)
	test -x $(LATEST)/bin/python || $(PYTHON) -m venv $(LATEST)
	$(LATEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager \
		$(TORCH) -e '.[dev]'
	$(LATEST)/bin/python -m pip list --disable-pip-version-check
	$(LATEST)/bin/python -m pytest tests/v2a_core tests/cluster tests/test_architecture.py tests/test_simulation.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(NICE) $(BIN)/mypy

figures: $(READY)  ## the house in numbers: sizes, arrows between rooms, circles, untyped places
	$(BIN)/python benchmarks/figures.py

reference: $(READY)  ## make the pages of docs/ that come from code: columns and settings
	$(BIN)/python docs/reference.py

docs: $(READY)  ## build docs/ as a site, in site/
	$(BIN)/python -m mkdocs build --strict --quiet

format: $(READY)  ## rewrite the files as the linter wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and what the demo made
	rm -rf $(VENV) $(LATEST) $(DEMO_OUTPUT)
