# The commands of this project. `make up` prepares a bare machine; its logic is in e2e/cluster.

export TENANTQUOTA_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tenantquota
export PATH := $(TENANTQUOTA_CACHE)/tools:$(PATH)

PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv/bin
SHELL_SCRIPTS := .ci/run e2e/cgroup2vm/init $(wildcard e2e/cluster/recipes/*.sh e2e/services/*/*.sh)

# make e2e CASES="2 5" TENANTS="2 20" VARIANTS=1
CASES ?=
TENANTS ?=
ROUNDS ?=
VARIANTS ?=
RUNS ?=
# make e2e CONTEXT=staging ALLOW_CONTEXT=staging: a cluster of yours. Only from the command line: a KUBECONFIG or CONTEXT
# that happens to be exported must not lead the suite's load to another cluster.
given = $(if $(filter command,$(firstword $(origin $(1)))),$($(1)))
TARGET := $(call given,CONTEXT)$(call given,KUBECONFIG)
CLUSTER_OPTIONS := $(addprefix --context=,$(call given,CONTEXT)) $(addprefix --kubeconfig=,$(call given,KUBECONFIG)) \
  $(addprefix --allow-context=,$(call given,ALLOW_CONTEXT)) $(addprefix --image-registry=,$(call given,IMAGE_REGISTRY))
NIGHTLY ?=
E2E := $(if $(CASES),$(foreach case,$(CASES),e2e/test_case_$(case)_*.py),e2e)

.DEFAULT_GOAL := help
.PHONY: help up down demo check test e2e e2e-nightly bench crds tools lint

help: ## Show this.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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
	$(VENV)/pytest e2e --variants

e2e: $(if $(TARGET),tools,up) ## The isolation cases; reports/e2e.html. CASES="2 5" TENANTS="2 20" choose, VARIANTS=1 adds, RUNS=20 repeats; on a cluster of yours: CONTEXT=NAME.
	$(if $(RUNS),$(VENV)/python -m e2e.series $(RUNS),$(VENV)/pytest) $(E2E) $(addprefix --tenants=,$(TENANTS)) $(addprefix --rounds=,$(ROUNDS)) $(if $(VARIANTS),--variants) $(if $(NIGHTLY),--nightly) $(CLUSTER_OPTIONS)

e2e-nightly: ## The same in its long form, variants too, an hour and more.
	@$(MAKE) e2e NIGHTLY=1

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
