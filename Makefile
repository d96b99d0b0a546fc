# make quickstart | test | test-long | lint | cards | clean. Nothing has to be installed first but make and Python 3.11 or later:
# the first target that runs builds the environment, and only a change of pyproject.toml or constraints.txt renews it.

VENV ?= .venv
PYTHON ?=
WORKERS ?=
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

# One thread per test process: the processes share the cores, and bit-for-bit tests need a fixed number of threads.
# Waiting threads sleep (OMP_WAIT_POLICY), so that a machine that is busy otherwise does not slow training down many times.
TEST_ENV := OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 HF_HUB_OFFLINE=1
COUNT_CORES := import os; print(min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()))

.DEFAULT_GOAL := help
.PHONY: help env quickstart test test-long lint cards clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile

env: $(STAMP) ## build or renew the environment: VENV=folder (.venv), PYTHON=program (the first that is new enough)

quickstart: $(STAMP) ## train on few-shot intents, adapt to an unseen task, reopen with stock transformers (minutes)
	@OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1 $(PY) recipes/quickstart/quickstart.py

test: lint ## lint, type check and run the tests in parallel (WORKERS=n sets how many processes)
	@workers="$(WORKERS)"; [ -n "$$workers" ] || workers=$$($(PY) -c '$(COUNT_CORES)'); \
	echo "pytest, $$workers processes"; $(TEST_ENV) $(PY) -m pytest -n "$$workers" --dist loadgroup

test-long: $(STAMP) ## the tests marked long, which `make test` leaves out; some fetch packages with pip
	@$(TEST_ENV) $(PY) -m pytest -m long -rs

lint: $(STAMP) ## ruff (rules and format) and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

cards: $(STAMP) ## write model_cards/ anew from the results under recipes/*/results/
	@HF_HUB_OFFLINE=1 $(PY) scripts/make_model_cards.py

clean: ## remove the environment and every cache
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so an interrupted installation is taken up again. A constraint that pip must respect replaces what
# is installed; a broken environment (no pip in it) is made afresh.
$(STAMP): pyproject.toml constraints.txt
	@if ! $(PY) -m pip --version >/dev/null 2>&1; then \
		for candidate in $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14 python; do \
			if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
				found=$$candidate; break; \
			fi; \
			if [ -n "$(PYTHON)" ]; then break; fi; \
		done; \
		if [ -z "$${found:-}" ]; then \
			echo "hfmeta needs Python 3.11 or later with the venv module; found none$(if $(PYTHON), in PYTHON=$(PYTHON))." >&2; \
			echo "Install one (on Debian and Ubuntu: apt-get install python3 python3-venv)," >&2; \
			echo "or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
			exit 1; \
		fi; \
		echo "making $(VENV) with $$("$$found" --version) ($$found)"; \
		"$$found" -m venv --clear "$(VENV)"; \
	fi
	@echo "installing hfmeta and its dependencies into $(VENV); the first time this takes minutes"
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@
