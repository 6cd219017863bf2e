# `make help` lists the targets. Everything happens in .venv; nothing needs root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup test check lint types imports coverage demo bench bench-setup up clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.complete ## Create .venv with outhaul and everything its tests need

$(VENV)/.complete: pyproject.toml daemon/outhaul/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "outhaul needs Python 3.11 or newer; try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "python3 cannot make virtual environments; run: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,mysql,postgresql]'
	@touch $@

test: setup ## Run every test; what is not installed is skipped and counted
	$(PYTEST) -n 2 --dist loadfile

check: lint types imports ## Everything that CI checks besides the tests

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy --strict
	$(BIN)/mypy

imports: setup ## The arrows between modules
	$(BIN)/lint-imports

coverage: setup ## Branch coverage of the pure core: 100 % or red
	$(PYTEST) tests/unit -q --cov --cov-report=term-missing:skip-covered \
		--cov-config=pyproject.toml --cov-fail-under=100

demo: setup ## Run the main job for real: S3 well, S3 down, both clouds down
	$(BIN)/python -m demo

bench: bench-setup ## Measure beside the peers (25 minutes; QUICK=1 ends within 45 s)
	$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

bench-setup: setup .bench/complete ## Install the peers that are measured against, into .bench

.bench/complete: bench/requirements.txt bench/package.json
	test -x .bench/venv/bin/python || $(PYTHON) -m venv .bench/venv
	.bench/venv/bin/python -m pip install --quiet --disable-pip-version-check \
		-r bench/requirements.txt
	mkdir -p .bench/npm && cp bench/package.json .bench/npm/
	npm install --prefix .bench/npm --silent --no-audit --no-fund || \
		echo "without npm, graphile-worker is left out"
	@touch $@

up: setup ## Run the daemon with the settings of .env
	@test -f .env || { echo "no .env: copy systemd/outhaul.env.example to .env and fill it in"; exit 1; }
	set -a && . ./.env && set +a && $(BIN)/outhaul db upgrade && exec $(BIN)/outhaul run

clean: ## Remove what the other targets made
	rm -rf $(VENV) .bench .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
