# `make help` lists what there is.
PYTHON  ?= python3
VENV    := .venv
RUN     := $(VENV)/bin/python
AT_ONCE := --numprocesses auto --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install sweep test test-slow test-faults check style types types-of-tests layers bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

install: $(VENV)/.installed  ## make .venv with the pinned dependencies

# Nothing is compiled beforehand: most of the 24,000 modules are never imported.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[quickstart,dev]'
	touch $@

sweep: install  ## the whole job on a laptop: search, retrain, test, report; a mock W&B server checks what it received
	$(RUN) -m sweep +experiment=quickstart tracker=mock

test: install  ## the fast tests, a process for each core, up to 4: they take 1 GB each; prints how much of src they ran
	$(RUN) -m slipcover --source src --skip-covered --out .coverage.txt -m pytest $(AT_ONCE)
	@tail -n 1 .coverage.txt | awk '{print "coverage: " $$4 " % of the lines of src; .coverage.txt has the others"}'

test-slow: install  ## the slow ones, and those that need ../shared/data
	$(RUN) -m pytest $(AT_ONCE) -m slow

test-faults: install  ## 200 kills of real studies (FAULTS_KILLS, FAULTS_SEED); with PostgreSQL and Slurm where installed
	rm -f .faults.jsonl
	FAULTS_LOG=$(CURDIR)/.faults.jsonl $(RUN) -m pytest -m faults tests/faults

check: style types types-of-tests layers  ## ruff, mypy, import-linter; with --jobs=2 two at once

style: install
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

types: install
	$(VENV)/bin/mypy

types-of-tests: install
	$(VENV)/bin/mypy --config-file tests/mypy.ini tests benchmarks

layers: install
	$(VENV)/bin/lint-imports

bench: install  ## the benchmarks, sized for a CPU
	$(RUN) -m benchmarks

clean:  ## remove .venv and every run
	rm -rf $(VENV) runs
