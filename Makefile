# Two commands matter: `make demo` and `make test`. Everything they need, they install into .venv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# Certificates of the system, as pip uses them: needed behind a company's proxy.
export UV_SYSTEM_CERTS := true
PYTEST_ARGS ?=
# Much of the whole suite is waiting, so it runs in two processes; with three, a slow machine is too slow for what they start.
# A part of it starts sooner in one.
PROCESSES ?= 2

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-23s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(VENV)/.installed  ## make .venv from locks/dev.txt

$(VENV)/.installed: locks/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; '$(PYTHON)' is older or missing. Choose one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "'$(PYTHON) -m venv' failed: install your system's venv package (Debian: apt-get install python3-venv)"; exit 1; }
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  --requirement <(awk '/^[^ ]/ {wanted = /^uv==/} wanted' locks/dev.txt)
	$(UV) pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python locks/dev.txt
	$(UV) pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

lock:  ## resolve all of locks/ again from pyproject.toml (needs .venv)
	for side in airflow worker dev; do \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --custom-compile-command "make lock" --extra $$side $$(test $$side != worker || echo --extra cost) --no-emit-package airflow-provider-langgraph \
	    $(if $(UPGRADE),--upgrade) --constraints locks/pins.txt pyproject.toml --output-file locks/$$side.txt || exit 1; done
	$(BIN)/python -m devtools.compat $(if $(UPGRADE),--upgrade)

demo: env  ## an agent's answer through a real Airflow and a Kafka broker, then clean up
	@$(BIN)/python -m devtools.demo

dev: env  ## the same, left running until Ctrl-C
	@$(BIN)/python -m devtools.demo --keep

test: env  ## the whole test suite; chooses a broker and prints which
	$(BIN)/python -m pytest $(or $(PYTEST_ARGS),--numprocesses=$(PROCESSES))

test-pythons: env  ## the unit tests on Python 3.12 and 3.13, where this machine has them
	timeout --signal=INT --kill-after=60 25m $(BIN)/python -m devtools.pythons

test-compat: env  ## waiting, cancelling, the examples and packaging with Airflow 3.1, 3.2, 3.3, and with the lowest versions
	COMPAT="$(or $(VERSIONS),all)" timeout --signal=INT --kill-after=60 50m $(BIN)/python -m pytest tests/compat $(PYTEST_ARGS)

test-crash-windows: env  ## kill a worker in every window, on every store
	CRASH_WINDOWS=all $(BIN)/python -m pytest tests/integration -k crash_windows $(PYTEST_ARGS)

test-state-machines: env  ## a long hunt by the state machines of run store and listener
	STATE_MACHINE_EXAMPLES=$(or $(EXAMPLES),500) $(BIN)/python -m pytest tests/property -k machine -s $(PYTEST_ARGS)

test-random-graphs: env  ## random LangGraph graphs, whose workers are killed at random puts
	$(BIN)/python -m tests.random_graphs $(RANDOM)

test-storm: env  ## a consumer group and a fleet whose members never rest, by both group protocols
	$(BIN)/python -m tests.storm $(STORM)

test-triggerer-outages: env  ## triggerers killed, frozen and restarted while 200 tasks wait
	WAITING_TASKS=$(or $(TASKS),200) $(BIN)/python -m pytest tests/system/test_crowd.py tests/system/test_steering.py -s $(PYTEST_ARGS)

test-failover: env  ## the primary of the run store dies under load, and a replica takes over
	FAILOVER=1 timeout --signal=INT --kill-after=60 15m $(BIN)/python -m pytest tests/chaos/test_failover.py -s $(PYTEST_ARGS)

test-model-limits: env  ## three workers share 60 requests a minute of one model, and one is killed
	MODEL_LIMIT_MINUTES=$(or $(MINUTES),4) timeout --signal=INT --kill-after=60 15m $(BIN)/python -m pytest tests/integration/test_model_limits.py -k sixty -s $(PYTEST_ARGS)

test-upgrade: env  ## workers of a version of this repository's history (FROM) are replaced one by one under load
	UPGRADE_FROM=$(or $(FROM),d7d77a0) timeout --signal=INT --kill-after=60 15m $(BIN)/python -m pytest tests/chaos/test_upgrade.py -s $(PYTEST_ARGS)

chaos: env  ## workers, broker and database under fire, for 30 minutes
	timeout --signal=INT --kill-after=60 90m $(BIN)/python -m tests.chaos $(CHAOS)

soak: env  ## mixed load for 30 minutes (MINUTES): nothing grows, and every figure is true
	timeout --signal=INT --kill-after=60 $$(($(or $(MINUTES),30) + 20))m $(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30) $(SOAK)

fuzz: env  ## 100,000 mutated events through codec and acceptance, 10,000 of them through Kafka
	$(BIN)/python -m tests.fuzz $(FUZZ)

mutants: env  ## break each rule on purpose, in a copy; the suite has to notice each
	@$(BIN)/python -m devtools.mutants $(MUTANTS)

check: env  ## everything a reviewer would run: format, lint, spelling, types, import contracts, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build

docs: env  ## build the pages: docs/_build/index.html
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build
	@echo "open docs/_build/index.html"

bench-runs: env  ## runs per second beside the stock savers; needs an idle machine
	$(BIN)/python -m benchmarks.runs

bench-watched: env  ## what traces, metrics, progress and masks cost; needs an idle machine
	$(BIN)/python -m benchmarks.watched

bench-waiting: env  ## what 1 to 10,000 waiting tasks cost, beside the official trigger; needs an idle machine
	$(BIN)/python -m benchmarks.waiting

bench-short-agents: env  ## what a deferral costs agents of 0.2, 2 and 20 s; needs an idle machine
	$(BIN)/python -m benchmarks.short_agents

fmt: env  ## format, and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: help env lock demo dev test test-pythons test-compat test-crash-windows test-state-machines \
  test-random-graphs test-storm test-triggerer-outages test-failover test-model-limits test-upgrade chaos soak fuzz mutants check docs \
  bench-runs bench-watched bench-waiting bench-short-agents fmt
