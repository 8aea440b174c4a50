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
# one thread: the layers are small, and two threads that wait for each other are slower than one
export OMP_NUM_THREADS ?= 1

.PHONY: help setup lock demo render prepare train export simulate profile test test-full crosscheck crosscheck-netx check lint format bench ablation clean

help: ## print the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

# some distributions ship python3 without venv: pip alone will do
$(UV):
	($(PYTHON) -m venv .uv && .uv/bin/python -m pip install -q --disable-pip-version-check uv==0.13.9) \
	  || (rm -rf .uv && $(PYTHON) -m pip install -q --disable-pip-version-check --target .uv uv==0.13.9)

$(VENV)/ready: requirements.txt requirements-lava.txt $(UV)
	$(UV) venv -q --clear --python 3.11 $(VENV) 2>/dev/null || $(UV) venv -q --clear --python $(PYTHON) $(VENV)
	$(UV) pip install -q --python $(BIN)/python $(FIND_LINKS) -r requirements.txt
	$(UV) pip install -q --python $(BIN)/python --no-deps -r requirements-lava.txt
	@touch $@

setup: $(VENV)/ready ## create .venv with pinned packages

lock: $(UV) ## compile requirements.in into requirements.txt
	$(UV) pip compile -q --python-version 3.11 $(FIND_LINKS) --no-emit-find-links requirements.in \
	  | sed -E 's/\+cpu$$//' > requirements.txt.tmp && mv requirements.txt.tmp requirements.txt

TEST_GROUPS := --group test_seen --group test_unseen
NETWORK := training.model.mdst:make_deployment
DATASET := $(RUN)/dataset/dataset.h5
INPUT := --input $(DATASET) $(TEST_GROUPS)
CHECKPOINT := $(RUN)/training/checkpoint.safetensors

demo: profile ## video to joules on the rendered benchmark: runs/demo/report/report.html (minutes; reuses what is current)
	@echo "open $(RUN)/report/report.html"

render: setup ## render the benchmark as video files
	$(BIN)/python -m training render --config $(CONFIG) --out $(RUN)/videos

prepare: render ## videos to events and features
	$(BIN)/python -m training prepare --config $(CONFIG) --videos $(RUN)/videos --out $(RUN)/dataset

train: prepare ## train the MDST in snnTorch
	$(BIN)/python -m training fit --config $(CONFIG) --data $(RUN)/dataset --out $(RUN)/training

export: train ## NIR, integers, ONNX, float parity
	$(BIN)/python -m export $(NETWORK) --checkpoint $(CHECKPOINT) --example $(DATASET) $(TEST_GROUPS) \
	  --config $(CONFIG) --out $(RUN)/export

simulate: export ## run the test clips on Lava, fused and one Process per node
	$(BIN)/python -m lava_runtime $(RUN)/export $(INPUT) --config $(CONFIG) --out $(RUN)/simulation
	$(BIN)/python -m training score $(RUN)/export/outputs_float.h5 $(RUN)/export/outputs_integer.h5 \
	  $(RUN)/simulation/outputs_fixed_pt.h5 $(RUN)/simulation/outputs_floating_pt.h5 \
	  --training $(RUN)/training --data $(RUN)/dataset --out $(RUN)/scores

profile: simulate ## price the run and write the report
	$(BIN)/python -m hardware_profiles reference $(NETWORK) --checkpoint $(CHECKPOINT) $(INPUT) --config $(CONFIG) \
	  --out $(RUN)/reference
	$(BIN)/python -m hardware_profiles report --simulation $(RUN)/simulation --export $(RUN)/export \
	  --scores $(RUN)/scores --training $(RUN)/training --reference $(RUN)/reference --config $(CONFIG) --out $(RUN)/report

lint: setup ## ruff and mypy
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

format: setup ## let ruff format the code
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

test: setup ## the test suite
	$(BIN)/python -m pytest

bench: setup ## timings of both sides, interleaved, with ratios
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.export_scale
	$(BIN)/python -m benchmarks.parity_at_scale
	$(BIN)/python -m benchmarks.conv_vs_sparse

ABLATION ?= runs/ablation
ABLATION_CONFIG ?= configs/ablation.toml

ablation: setup ## MDST++ without each of its blocks, over seeds, on the rendered benchmark: runs/ablation/table (half an hour)
	$(BIN)/python -m training render --config $(ABLATION_CONFIG) --out $(ABLATION)/videos
	$(BIN)/python -m training prepare --config $(ABLATION_CONFIG) --videos $(ABLATION)/videos --out $(ABLATION)/dataset
	$(BIN)/python -m training ablation --config $(ABLATION_CONFIG) --data $(ABLATION)/dataset --out $(ABLATION)/table

test-full: setup ## the test suite with ten times as many random graphs
	AXONPORT_FULL=1 $(BIN)/python -m pytest

crosscheck-netx: .venv-netx/ready ## exported netx files in lava-dl's own reader, on stock Lava
	.venv-netx/bin/python -m pytest tests/crosscheck/test_netx.py

.venv-netx/ready: requirements.txt requirements-netx.txt $(UV)
	$(UV) venv -q --clear --python 3.11 .venv-netx 2>/dev/null || $(UV) venv -q --clear --python $(PYTHON) .venv-netx
	$(UV) pip install -q --python .venv-netx/bin/python $(FIND_LINKS) -r requirements.txt
	$(UV) pip install -q --python .venv-netx/bin/python --no-deps -r requirements-netx.txt
	@touch $@

.venv-crosscheck/ready: requirements-crosscheck.txt requirements-crosscheck-peers.txt $(UV)
	$(UV) venv -q --clear --python 3.11 .venv-crosscheck
	$(UV) pip install -q --python .venv-crosscheck/bin/python $(FIND_LINKS) -r requirements-crosscheck.txt
	$(UV) pip install -q --python .venv-crosscheck/bin/python --no-deps -r requirements-crosscheck-peers.txt
	@touch $@

.venv-crosscheck-spyx/ready: requirements-crosscheck-spyx.txt $(UV)
	$(UV) venv -q --clear --python 3.11 .venv-crosscheck-spyx
	$(UV) pip install -q --python .venv-crosscheck-spyx/bin/python -r requirements-crosscheck-spyx.txt
	@touch $@

crosscheck: setup .venv-crosscheck/ready .venv-crosscheck-spyx/ready ## NIR files to and from SpikingJelly, Norse, Sinabs, Spyx
	AXONPORT_CROSSCHECK=1 $(BIN)/python -m pytest -s tests/crosscheck/test_peers.py

check: lint test ## what CI runs

clean: ## remove runs and caches, keep .venv
	rm -rf runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
