# gate5: `make release` and `make test` are all that a new user needs; both set everything up themselves.
PYTHON ?= python3.11
CHECKPOINT ?= examples/checkpoints/good
CONFIG ?= config/release.yaml
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.gate5-installed

.PHONY: help setup release check test test-cluster ui lint format bench bench-gpu validate-plant clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

setup: $(STAMP)  ## make .venv and install everything (a second when nothing changed)

$(STAMP): requirements.txt requirements-rtx.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not on the PATH: install Python 3.11, or say which with make PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of requirements.txt into $(VENV) (about two minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt 2>$(VENV)/pip.log || { tail -20 $(VENV)/pip.log; exit 3; }
	@case "$$(uname -s)-$$(uname -m)" in Linux-x86_64|Linux-aarch64) \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-rtx.txt 2>$(VENV)/pip.log || { tail -20 $(VENV)/pip.log; exit 3; };; esac
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . 2>$(VENV)/pip.log || { tail -20 $(VENV)/pip.log; exit 3; }
	@touch $@

release: setup  ## run the release DAG on CHECKPOINT=examples/checkpoints/good
	@$(BIN)/python -m local_airflow.release --checkpoint "$(CHECKPOINT)" --config "$(CONFIG)"

ui: setup  ## leave Airflow running with the DAG; prints address and login
	@$(BIN)/python -m local_airflow.ui

check: setup  ## lint, types and a quick test of every room: a minute
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy & types=$$!; $(BIN)/python -m pytest $$(cat tests/quick.txt); tests=$$?; wait $$types && exit $$tests

test: setup  ## run all tests
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

test-cluster: setup  ## the compose file's services on this machine, without containers, and faults (SHORT=1: five minutes)
	@$(BIN)/python -m local_cluster $(if $(SHORT),--short) $(CLUSTER_OPTIONS)

lint: setup  ## ruff and mypy alone
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup  ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup  ## measure; writes docs/results/
	@$(BIN)/python -m benchmarks

bench-gpu: setup  ## measure TensorRT on this machine's GPU; writes docs/results/ (GPU_OPTIONS="--tactic-sources 0")
	@$(BIN)/python -m benchmarks.gpu all --peers-python "$(abspath $(BIN)/python)" $(GPU_OPTIONS)

validate-plant: setup  ## compare the sCO2 plant with CoolProp; writes docs/results/
	@$(BIN)/python -m gate5.plant.sco2.validate --out docs/results

clean:  ## remove .venv and var/ (the local store with its releases too)
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis
