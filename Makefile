# The two commands: `make demo` and `make test`. Each does all of its own set-up.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python

.PHONY: help
help: ## Show the commands.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: demo
demo: ## From nothing to a working tunnel on a kind cluster, and a look at it.
	kind-tests/demo

.PHONY: test
test: ## Everything: lint, types, unit, component, kernel and kind tests.
	tools/test

.PHONY: check
check: .venv/ready ## The quick part: lint, types and unit tests; no cluster, no root.
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	tools/shellcheck
	tools/promtool
	$(PYTHON) -m pytest -q operator/tests --ignore=operator/tests/component

.PHONY: component
component: .venv/ready ## The parts in real network namespaces; needs root.
	tools/component-tests

.PHONY: kernel
kernel: ## Some of these on a kernel with WireGuard, in an emulated machine; needs root.
	tools/kernel-tests

.PHONY: packaging
packaging: .venv/ready ## What users install: chart, release workflow, health in GitOps tools.
	tools/packaging-tests

.PHONY: kind
kind: .venv/ready ## The promises, on a real cluster.
	kind-tests/run

.PHONY: test-live
test-live: .venv/ready ## Opt-in: PIA itself, with PIA_USERNAME and PIA_PASSWORD of yours; no part of test.
	@: "$${PIA_USERNAME:?name your PIA account}" "$${PIA_PASSWORD:?and its password}"
	$(PYTHON) -m pytest -q live-tests

.PHONY: bench
bench: .venv/ready ## Measure data path, control path, scale and idle cost on the kind cluster: one table of all.
	kind-tests/bench/run

.PHONY: profile
profile: .venv/ready ## Show where the operator's passes and the node agent's spend their time; needs root.
	tools/profile

.PHONY: reference
reference: .venv/ready ## Write docs/reference.md anew, from the CRDs.
	PYTHONPATH=tools $(PYTHON) -m generate.reference

.PHONY: format
format: .venv/ready ## Format the Python sources.
	$(PYTHON) -m ruff check --fix-only .
	$(PYTHON) -m ruff format .

.PHONY: clean
clean: ## Remove the cluster, the images, all that was built, and the tools that were installed.
	kind-tests/fakepia/down
	kind-tests/cluster/down --all
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache artifacts

.venv/ready: pyproject.toml operator/requirements.txt operator/requirements-dev.txt tools/python-environment
	tools/python-environment
