# `make demo` and `make test` need Python 3.11 or later and nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RIGHT_PYTHON := import sys; sys.exit(sys.version_info < (3, 11))
PYTHONS := $(or $(PYTHON),python3 python3.11 python3.12 python3.13)
BROWSERS := chromium chromium-browser google-chrome
ARGS ?=
PORT ?= 5000

# Stage commands in dvc.yaml say `python`: they must find this one.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DO_NOT_TRACK = 1
export DVC_NO_ANALYTICS = 1
export GX_ANALYTICS_ENABLED = false
export MLFLOW_DISABLE_TELEMETRY = true
export PREFECT_SERVER_ANALYTICS_ENABLED = false

.PHONY: help demo test browser lint format docs ablation molecules benchmark serve-mlflow clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## run the whole pipeline on the embedded molecules and show what came out
	@$(BIN)/admet-tabsyn run

test: $(INSTALLED) browser ## run the test suite; ARGS="-k cli" passes options to pytest
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

browser: $(INSTALLED) ## a Chromium for the tests of the report, if there is none; without one they are skipped
	@for name in $(BROWSERS); do if command -v $$name >/dev/null; then exit 0; fi; done; \
	echo "Installing Chromium for the tests of the report."; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		(apt-get install -y -qq --no-install-recommends chromium || \
			(apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium)) >/dev/null 2>&1 || true; \
	else \
		$(BIN)/playwright install chromium || true; \
	fi

lint: $(INSTALLED) ## ruff, format check and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(INSTALLED) ## put every file into ruff's format and apply its safe fixes
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

docs: $(INSTALLED) ## build the API reference into site/index.html
	@$(BIN)/pdoc --docformat google --output-directory site tabsyn_core tasks flows admet_tabsyn
	@echo "site/index.html"

ablation: $(INSTALLED) ## what each part of the generator is worth, beside the floor (hours); ARGS="--seeds 0 --write"
	@$(BIN)/python benchmarks/ablation.py $(ARGS)

molecules: $(INSTALLED) ## what each part of the molecule-backed mode is worth (an hour); ARGS="--seeds 0 1 2 --write"
	@$(BIN)/python benchmarks/molecules.py $(ARGS)

benchmark: $(INSTALLED) ## every rival beside us, as params.yaml says; ARGS="--build" makes the environments of external ones
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[benchmark]"
	@$(BIN)/python benchmarks/leaderboard.py $(ARGS)

serve-mlflow: $(INSTALLED) ## MLflow's pages and registry on http://127.0.0.1:5000; PORT=5001 moves them
	@$(BIN)/mlflow server --host 127.0.0.1 --port $(PORT) \
		--backend-store-uri sqlite:///mlflow.db --artifacts-destination mlartifacts

clean: ## remove all that runs made, DVC cache and MLflow store included; keeps data/raw, .venv and benchmarks/results
	rm -rf data/interim data/processed data/synthetic models reports data_docs site .admet out/benchmark
	rm -rf dvc_plots mlflow.db* mlartifacts .dvc/cache .dvc/tmp .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	@for candidate in $(PYTHONS); do \
		if "$$candidate" -c '$(RIGHT_PYTHON)' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$${python:-}" ]; then \
		echo "Python 3.11 or later is needed; tried: $(PYTHONS). Install it, or name it: make demo PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	if ! $(BIN)/python -c '$(RIGHT_PYTHON)' 2>/dev/null; then "$$python" -m venv --clear $(VENV); fi
	@echo "Installing the pinned dependencies into $(VENV): about 2 GB, once, some minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@
