# Targets list themselves: `make` alone prints what stands behind each ##.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
PROFILE ?= profiles/ciplab.txt
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export RFFD_SCRATCH ?= $(CURDIR)/.scratch
export DVC_NO_ANALYTICS := 1
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: help setup repro real test check lint coverage bench compare deps reference

help:  ## this list
	@echo "Real and Fake Face Detection. Start with: make repro"
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: .venv/.ready  ## the virtual environment, with pinned packages

.venv/.ready: pyproject.toml constraints.txt
	@command -v git >/dev/null || { echo "error: git is missing; install it (DVC keeps data beside git's history)" >&2; exit 1; }
	command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is missing; install Python 3.11 or later, or run make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $$($(PYTHON) --version) is too old; install Python 3.11 or later, or run make PYTHON=python3.11" >&2; exit 1; }
	[ -x .venv/bin/python ] || $(PYTHON) -m venv .venv
	echo "installing pinned packages into .venv (a few minutes the first time)"
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

repro: setup  ## run the whole pipeline as params.yaml says, and sum it up
	@git diff --quiet HEAD -- params.yaml 2>/dev/null || echo "note: params.yaml is not the committed one (git diff params.yaml; git restore params.yaml for the default)"
	dvc repro
	rffd summary

real: setup  ## the same on real photographs: make real [DATA=folder or zip] [BACKBONE=folder] [PROFILE=profiles/...]
	@[ -f "$(PROFILE)" ] || { echo "error: PROFILE=$(PROFILE): no such file; see profiles/" >&2; exit 1; }
	$(if $(DATA),[ -e "$(DATA)" ] || { echo "error: DATA=$(DATA): no such folder or zip" >&2; exit 1; })
	$(if $(BACKBONE),[ -d "$(BACKBONE)" ] || { echo "error: BACKBONE=$(BACKBONE): no such folder" >&2; exit 1; })
	set --
	while read -r override; do set -- "$$@" -S "$$override"; done < <(sed -E 's/[[:space:]]+#.*//; /^[[:space:]]*(#|$$)/d' "$(PROFILE)")
	set -- "$$@" $(if $(DATA),-S data.source=$(if $(filter %.zip,$(DATA)),archive,folder) -S "data.path='$(abspath $(DATA))'",-S data.source=kaggle)
	set -- "$$@" $(if $(BACKBONE),-S backbone.source=folder -S "backbone.path='$(abspath $(BACKBONE))'",-S backbone.source=hub)
	dvc exp run "$$@"
	rffd summary

test: setup  ## every test
	@python -m pytest -n 2 --dist worksteal

check: setup  ## the fast tests
	@python -m pytest -m "not slow and not system" -n auto -q

lint: setup  ## style, format, and the types of rffd/
	@ruff check . && ruff format --check . && mypy rffd

coverage: setup  ## every test, then the lines and branches that none ran: make coverage [TESTS=tests/test_names.py]
	@python -m pytest -n 2 --dist worksteal --cov $(TESTS)

bench: setup  ## measure speed, as ratios, and write benchmarks/RESULTS.md
	@python -m benchmarks

compare: setup  ## experiments side by side
	@COLUMNS=$${COLUMNS:-120} dvc exp show --no-pager --precision 3 --drop '.*' --keep '^(Experiment|best_epoch|learning_rate|val\.auc|test\.(accuracy|f1|auc))$$'

deps: setup  ## write each stage's list of code into dvc.yaml
	@python -m tests.pipeline_code

reference: setup  ## write docs/reference.md from the code
	@python -m tests.reference
