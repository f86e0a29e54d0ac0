# Everything here works on a fresh Debian or Ubuntu with Python 3.11+ and make:
#   make demo    watch the dealer work on an embedded database (about a minute)
#   make test    run the whole test suite
# Each target first makes what it needs: a virtual environment in .venv, tools in .tools.

PYTHON ?= python3
BIN := .venv/bin
# Processes of "make test": one more than two cores, for a test waits for its server a good part of its time; not
# beside the long campaigns, which run many processes each.
WORKERS ?= $(if $(CI),2,3)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test differences lint format bench tools clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

.venv/.complete: pyproject.toml constraints.txt scripts/make-venv
	@PYTHON="$(PYTHON)" scripts/make-venv
	@touch $@

demo: .venv/.complete ## the main job, live: trades, ledger, hedge, metrics (ARGS="--serve --days 2")
	@$(BIN)/stablesats demo $(ARGS)

tools: ## what the tests need that pip does not have: promtool, Node's medici
	@scripts/fetch-promtool
	@scripts/fetch-node-medici

test: .venv/.complete tools ## the test suite; CI=true adds the long campaigns (ARGS="tests/medici_py -k void" for a part)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(if $(CI),,-m "not slow") $(ARGS)

differences: .venv/.complete tools ## run every defect of Node's medici beside ours, then print the table
	@$(BIN)/python -m pytest -q tests/medici_py/test_side_by_side.py $(ARGS)
	@cat docs/medici_py/differences.md

lint: .venv/.complete ## format check, lint, strict types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: .venv/.complete ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: .venv/.complete ## side by side with Node's medici and the raw driver (ARGS="posting --quick", ARGS=--write-docs)
	@scripts/fetch-node-medici
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove what make has made
	rm -rf .venv .tools build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
