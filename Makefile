# podledger. Two commands do everything on a fresh machine: make close, make test.

PYTHON ?= python3
MONTH  ?= 2026-10
PORT   ?= 3000
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode

export DAGSTER_HOME ?= $(CURDIR)/data/dagster

.DEFAULT_GOAL := help
.PHONY: help setup test-setup test-packages close test test-slow check format lock ui pictures docs bench bench-close clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(VENV)/.setup ## build .venv with the locked versions (skipped when nothing changed)

# uv installs the lock: pip 23, which Python 3.11 brings, cannot check hashes of extras.
# The kernel's machine code and dbt's manifest are made here, so that no close waits for them.
$(VENV)/.setup: requirements.lock pyproject.toml
	@echo "Setting up $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements-dev.lock)"
	@$(UV) --require-hashes -r requirements.lock
	@$(UV) --no-deps -e .
	@$(BIN)/python -m orchestration.split.compile
	@$(BIN)/python -c "from orchestration.engines.dbt.project import manifest_path; manifest_path()"
	@touch $@

test-setup: $(VENV)/.test-setup ## add what the tests and checks need

$(VENV)/.test-setup: $(VENV)/.setup requirements-dev.lock
	@echo "Adding what the tests need ..."
	@$(UV) --require-hashes -r requirements-dev.lock
	@touch $@

# Tests start these on loopback themselves, so their packages may start no service.
# Where apt may not install them, the tests that need them are skipped by name.
test-packages: ## install what tests run for real: Chromium, Prometheus, PostgreSQL
	@for package in chromium:chromium prometheus:prometheus postgresql:pg_ctlcluster; do \
	  command -v $${package#*:} >/dev/null || missing="$$missing $${package%:*}"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing$$missing ..."; \
	  policy=/usr/sbin/policy-rc.d; test -e $$policy && policy= \
	  || { printf '#!/bin/sh\nexit 101\n' >$$policy; chmod +x $$policy; }; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -qq -y --no-install-recommends $$missing; } >/dev/null 2>&1 \
	  || echo "apt could not; tests that need them are skipped"; \
	  test -z "$$policy" || rm -f $$policy; \
	fi

close: setup ## close a month: MONTH=2026-09 make close (default: the sample month, 2026-10)
	@$(BIN)/podledger close $(MONTH)

test: test-setup test-packages ## run the tests, in two processes
	@$(BIN)/python -m pytest -m "not slow" -n 2

test-slow: test-setup test-packages ## run the heavy tests
	@$(BIN)/python -m pytest -m slow

check: test-setup $(DAGSTER_HOME)/dagster.yaml ## format, lint, types, imports, dependencies, dead code, dbt parse, definitions load
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && echo "ruff: clean"
	@$(BIN)/mypy
	@mkdir -p data/warehouse data/check
	@$(BIN)/lint-imports >data/check/imports.txt && echo "imports: in order" || { cat data/check/imports.txt; exit 1; }
	@$(BIN)/deptry --no-ansi . >data/check/deptry.txt 2>&1 && echo "dependencies: declared and used" || { cat data/check/deptry.txt; exit 1; }
	@$(BIN)/vulture && echo "dead code: none"
	@cd dbt_project && PODLEDGER_HOME=$(CURDIR)/data DBT_PROFILES_DIR=. ../$(BIN)/dbt --quiet parse --no-partial-parse \
	  --target-path $(CURDIR)/data/check --warn-error-options '{"error": ["Deprecations"]}' && echo "dbt parse: clean"
	@PODLEDGER_HOME=$(CURDIR)/data $(BIN)/sqlfluff lint --processes 2 --disable-progress-bar dbt_project/models >data/check/sqlfluff.txt \
	  && echo "sqlfluff: clean" || { cat data/check/sqlfluff.txt; exit 1; }
	@$(BIN)/dagster definitions validate -w workspace.yaml --log-level warning && echo "definitions: load"

format: test-setup ## format Python and SQL
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: test-setup ## resolve the versions again
	@$(BIN)/uv pip compile pyproject.toml --extra collector --extra postgres --extra spark --group dev --group bench --python-version 3.11 --no-emit-index-url --no-header --generate-hashes --quiet -o requirements-dev.lock
	@$(BIN)/uv pip compile pyproject.toml -c requirements-dev.lock --python-version 3.11 --no-emit-index-url --no-header --generate-hashes --quiet -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --extra k8s --extra postgres -c requirements.lock --python-version 3.11 --no-emit-index-url --no-header --generate-hashes --quiet -o deploy/requirements-k8s.lock

# Dagster refuses an instance folder that does not exist; one that a team keeps is left as it is.
$(DAGSTER_HOME)/dagster.yaml:
	@mkdir -p $(@D) && cp dagster.yaml $@

ui: setup $(DAGSTER_HOME)/dagster.yaml ## Dagster, webserver and daemon, on http://127.0.0.1:3000 (PORT=...)
	@$(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p $(PORT)

pictures: test-setup ## take the pictures of docs/images again, in a browser
	@$(BIN)/python -W ignore -m tests.browser.pictures
	@$(BIN)/python -W ignore -m tests.docs.pictures

docs: setup ## dbt's documentation as one page, with the lineage through the Python assets
	@$(BIN)/python -W ignore -m orchestration.cli.dbt_docs

bench: test-setup test-packages ## measure the split against other ways to do it: SIZE=S|M|L make bench
	@$(BIN)/python -m bench --size $(or $(SIZE),S)
	@$(BIN)/python -m bench.reading
	@if command -v prometheus >/dev/null; then $(BIN)/python -m bench.sources; \
	  else echo "bench.sources: skipped, no prometheus"; fi

bench-close: test-setup ## measure a whole close, step by step: SIZE=S|M make bench-close
	@$(BIN)/python -m bench.close --size $(or $(SIZE),S)

clean: ## remove what was built and made; published months stay
	@rm -rf $(VENV) dbt_project/target dbt_project/logs data/lake data/warehouse data/scratch data/sample data/check data/bench
