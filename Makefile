# Every command of the project, one line each. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp

.DEFAULT_GOAL := help
.PHONY: help setup test check fmt lint types layers demo sim storm bench-core bench-manager bench-tas

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "pykueue needs Python 3.11 or newer: make PYTHON=python3.x ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

setup: $(STAMP) ## make .venv with .venv/bin/pykueue

demo: $(STAMP) ## the main job on the embedded cluster; ends by itself
	$(BIN)/pykueue demo

test: $(STAMP) ## all tests that need no real control plane
	$(BIN)/python -m pytest -n auto tests

SEED ?= 1
SEEDS ?= 1
sim: $(STAMP) ## seeded runs of the whole product under faults: SEED=n, SEEDS=how many from there
	PYTHONPATH=tests $(BIN)/python tests/simulation/play.py $(SEED) $(SEEDS)

EVENTS ?= 10000
storm: $(STAMP) ## random storms over the engine with safe preemption: SEED=n, SEEDS=how many from there, EVENTS=each
	PYTHONPATH=tests $(BIN)/python tests/properties/core/test_storms.py $(SEED) $(SEEDS) $(EVENTS)

check: lint types layers test ## what CI requires, without the real control plane

fmt: $(STAMP) ## format the code
	$(BIN)/ruff format src tests
	$(BIN)/ruff check --fix-only --quiet src tests

lint: $(STAMP) ## ruff: rules, and form
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

layers: $(STAMP) ## the import contract
	$(BIN)/lint-imports

bench-core: $(STAMP) ## what a decision costs, and how it grows
	$(BIN)/python bench/core.py

bench-tas: $(STAMP) ## what a placement and a search for victims cost on many nodes
	$(BIN)/python bench/tas.py

SCALE ?= 1.0
bench-manager: $(STAMP) ## the manager under load beside a real API server; SCALE=0.1 creates a tenth
	$(BIN)/python bench/manager.py --scale $(SCALE)
