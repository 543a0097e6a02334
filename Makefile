# make help lists the targets. Everything is installed in .venv, again only when the pins change.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Arguments, such as: make reproduce ARGS="seed=0,1,2", or: make bench ARGS="--rounds 1"
ARGS ?=

# File by file on up to four cores, so that a file's fixtures are made once.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
FULL   := slow or slurm or browser

.DEFAULT_GOAL := help
.PHONY: help setup reproduce figures verify bench test test-all oldest dist lint format clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: $(STAMP)  ## Create .venv with pinned versions (once)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

reproduce: $(STAMP)  ## Train the quick grid, draw figures and tables, write the page
	$(BIN)/python -m resnet_study experiment=quick $(ARGS)
	$(BIN)/python -m analysis runs/quick

figures: $(STAMP)  ## Redraw figures and pages of the recorded and your own quick runs; trains nothing
	@$(BIN)/python -m analysis --each $(filter-out %/benchmark, $(wildcard runs/recorded/* runs/quick))
	@for file in $(wildcard runs/recorded/benchmark/benchmark.json); do \
	  $(BIN)/python -m analysis.benchmark $$(dirname $$file) || exit; done

verify: $(STAMP)  ## Train two recorded runs again and compare them with their record (3 minutes)
	rm -rf runs/verify
	$(BIN)/python -m resnet_study experiment=quick model.shortcut=A model.depth=44 device=cpu threads=1 experiment_name=verify
	$(BIN)/python -m analysis.verify runs/verify runs/recorded/quick

bench: $(STAMP)  ## Measure how fast this machine trains, compared with the conventional recipe
	$(BIN)/python -m resnet_study.benchmark $(ARGS)

test: $(STAMP)  ## Run the fast tests, in a few minutes
	$(PYTEST) -m "not ($(FULL))"

# Properties are tried on a few examples in the fast tier, on many in this one.
test-all: test  ## Run all tests: processes, Slurm, a browser, many examples
	$(PYTEST) -m "$(FULL) or hypothesis" --hypothesis-profile full

oldest:  ## Test training on the oldest versions, in .venv-oldest (3 GB, ten minutes)
	PYTHON=$(PYTHON) .ci/oldest $(ARGS)

dist: $(STAMP)  ## Build the source distribution and the wheel in dist/, and check both
	.ci/dist

lint: $(STAMP)  ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove .venv and caches; runs and data stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find resnet_study hydra_plugins analysis tests -name __pycache__ -prune -exec rm -rf {} +
