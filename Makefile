# The commands of this project. `make up` prepares a bare machine; its logic is in e2e/cluster.

export TENANTQUOTA_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tenantquota
export PATH := $(TENANTQUOTA_CACHE)/tools:$(PATH)

PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv/bin
SHELL_SCRIPTS := .ci/run e2e/cgroup2vm/init $(wildcard e2e/cluster/recipes/*.sh e2e/services/*/*.sh)

# make e2e CASES="2 5" TENANTS="2 20"
CASES ?=
TENANTS ?=
ROUNDS ?=
E2E := $(if $(CASES),$(foreach case,$(CASES),e2e/test_case_$(case)_*.py),e2e)

.DEFAULT_GOAL := help
.PHONY: help up down demo check test e2e bench crds tools lint

help: ## Show this.
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## Cluster `tenantquota` with the operator in it; installs what is missing. WORKERS=N adds nodes.
	@$(PYTHON) -m e2e.cluster up

demo: up ## What the operator does, on that cluster.
	@$(VENV)/python -m e2e.demo

down: ## Delete the cluster, stop what `make up` started.
	@$(PYTHON) -m e2e.cluster down

check: lint ## Linters, types and unit tests; no cluster.
	$(VENV)/pytest tests/unit --numprocesses 2

test: check up ## Everything: linters, set-up, all tests on the cluster.
	$(VENV)/pytest tests/integration -m "not exclusive" --numprocesses 4 --dist loadgroup
	$(VENV)/pytest tests/integration -m exclusive
	$(VENV)/python -m e2e.cgroup2vm
	$(VENV)/pytest e2e

e2e: up ## The isolation cases on the cluster. CASES="2 5" and TENANTS="2 20" choose, ROUNDS=100 is for case 7.
	$(VENV)/pytest $(E2E) $(addprefix --tenants=,$(TENANTS)) $(addprefix --rounds=,$(ROUNDS))

bench: up ## Figures of the operator on the cluster.
	@$(VENV)/python -m e2e.bench

crds: ## Write crds/ from the models.
	$(VENV)/python -m tenantquota.api.crd crds

tools:
	@$(PYTHON) -m e2e.cluster tools

lint: tools
	$(VENV)/ruff check
	$(VENV)/ruff format --check
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(VENV)/python -m tenantquota.api.crd --check crds
	helm lint --strict charts/tenantquota
	shellcheck $(SHELL_SCRIPTS)
