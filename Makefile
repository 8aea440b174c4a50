# Axonport: every stage and check, one target each. `make` alone prints them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := .uv/bin/uv
RUN ?= runs/demo
CONFIG ?= configs/demo.toml
# uv does not read pip's settings: hand over the folders in which pip would look for wheels (a CPU torch, say)
FIND_LINKS := $(addprefix --find-links ,$(PIP_FIND_LINKS))
# two threads: more only spin on small layers
export OMP_NUM_THREADS ?= 2

.PHONY: help setup lock demo render prepare train export simulate profile test test-full check lint format bench clean

help: ## print the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

$(UV):
	$(PYTHON) -m venv .uv && .uv/bin/python -m pip install -q uv==0.13.9

$(VENV)/ready: requirements.txt requirements-lava.txt $(UV)
	$(UV) venv -q --clear --python 3.11 $(VENV) 2>/dev/null || $(UV) venv -q --clear --python $(PYTHON) $(VENV)
	$(UV) pip install -q --python $(BIN)/python $(FIND_LINKS) -r requirements.txt
	$(UV) pip install -q --python $(BIN)/python --no-deps -r requirements-lava.txt
	@touch $@

setup: $(VENV)/ready ## create .venv with pinned packages

lock: $(UV) ## compile requirements.in into requirements.txt
	$(UV) pip compile -q --python-version 3.11 $(FIND_LINKS) --no-emit-find-links requirements.in \
	  | sed -E 's/\+cpu$$//' > requirements.txt.tmp && mv requirements.txt.tmp requirements.txt

lint: setup ## ruff and mypy
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

format: setup ## let ruff format the code
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

test: setup ## the test suite
	$(BIN)/python -m pytest -m "not slow"
