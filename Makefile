# Everything a person does with this repository. `make demo` and `make test` set up all they need first.
PYTHON ?= python3
MINUTES ?= 5
SECONDS ?= 300
KILLS ?= 0
SEED ?= 20261122
PROTOCOL ?= classic
REPORT ?=
JOBS ?= 2
ONLY ?=
BIN := .venv/bin
export NO_MKDOCS_2_WARNING := 1
UV := $(BIN)/uv

.PHONY: help setup demo test lint bench bench-core bench-peers bench-console bench-growth bench-plots chaos matrix schemas reference dashboards drills pictures docs docs-serve audit clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: .venv/.ready  ## create .venv with the locked dependencies and the `credits` command

.venv/.ready: pyproject.toml uv.lock scripts/setup
	@$(PYTHON) scripts/setup

demo: setup  ## a real broker, worker, payment worker and telephony simulator, live; MINUTES=1 ends it by itself
	@$(BIN)/credits demo --minutes $(MINUTES)

test: setup lint  ## every check and test, on a real broker
	@scripts/debian-packages
	@$(BIN)/credits kafka fetch
	@$(BIN)/pytest --numprocesses 4 --dist worksteal

lint: setup  ## format, lint, types, dependency directions
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 4

bench: setup  ## what the README's figures come from
	@$(BIN)/python benchmarks/system.py

bench-core: setup  ## microseconds per event of every stage of the pure core
	@$(BIN)/python benchmarks/core.py

bench-peers: setup  ## the meter beside plain Faust, Quix Streams, a plain loop and Kafka Streams, on the same events
	@$(BIN)/python benchmarks/peers.py

bench-console: setup  ## ledger entries per second into the console's read model, and how fast it answers meanwhile
	@$(BIN)/python benchmarks/console.py

bench-growth: setup  ## rate, memory and latency along accounts, ids, partitions, prefixes and offered load (30 minutes)
	@$(BIN)/python benchmarks/growth.py

bench-plots: setup  ## draw what bench-growth has recorded, into docs/images/
	@$(BIN)/python benchmarks/plots.py

chaos: setup  ## kill, freeze and restart workers and broker for SECONDS, at least KILLS times, then prove the books
	@CREDITS_CHAOS_SECONDS=$(SECONDS) CREDITS_CHAOS_KILLS=$(KILLS) CREDITS_CHAOS_SEED=$(SEED) \
	CREDITS_CHAOS_PROTOCOL=$(PROTOCOL) CREDITS_CHAOS_REPORT=$(REPORT) $(BIN)/pytest tests/crash/test_chaos.py -x -s

matrix: setup  ## every step of the protocol, killed and frozen one by one, with both group protocols
	@$(BIN)/pytest tests/crash/test_failpoints.py -m "matrix or not matrix"

schemas: setup  ## write schemas/ again from the typed messages
	@$(BIN)/python -m processor.contracts.schemas

reference: setup  ## write the generated pages of docs/reference/ again from the code
	@$(BIN)/python scripts/reference
	@$(BIN)/python scripts/asyncapi
	@$(BIN)/python scripts/openapi
	@$(BIN)/python scripts/embed

dashboards: setup  ## write deploy/grafana/dashboards/ again from scripts/dashboards
	@$(BIN)/python scripts/dashboards

docs: setup  ## build the documentation into site/, warnings are errors; needs npm once
	@$(BIN)/mkdocs build

docs-serve: setup  ## the documentation on http://127.0.0.1:8000, built again at every change
	@$(BIN)/mkdocs serve --no-strict

drills: setup  ## cause the condition of every alert, see it fire and clear (20 minutes); ONLY=NAME for one
	@scripts/debian-packages
	@$(BIN)/python -m drills --jobs $(JOBS) $(if $(ONLY),--only $(ONLY),--record)

pictures: setup  ## draw the dashboards of a run with faults again, into docs/images/
	@scripts/debian-packages
	@$(BIN)/python -m drills.pictures

audit: setup  ## licences and known vulnerabilities of everything installed with the product; ADVISORIES=DIR looks there
	@$(BIN)/python scripts/audit $(ADVISORIES)

clean:  ## remove the environment and every cache of this checkout
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
