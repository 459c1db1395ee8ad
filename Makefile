# `make run` opens the terminal UI, `make test` runs everything that must pass. Both set up what they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test compat lint types imports format fuzz bench docs audit clean

help: ## Show what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "error: no virtual environment could be made; on Debian: apt-get install python3-venv" >&2; exit 2; }
	@$(PIP) install --quiet --upgrade 'pip>=25.1'
	@touch $@

# --no-deps would hide a missing requirement, so the plain install is what a user gets.
$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing gpudoctor into $(VENV) …" >&2
	@$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	@echo "Installing what the tests need into $(VENV) (torch among it) …" >&2
	@$(PIP) install --quiet --constraint constraints.txt --group dev
	@touch $@

# A look at the style and the site need no torch, which is gigabytes where it comes with CUDA.
$(VENV)/.linted: $(VENV)/.installed
	@$(PIP) install --quiet --constraint constraints.txt --group lint
	@touch $@

$(VENV)/.documented: $(VENV)/.installed
	@$(PIP) install --quiet --constraint constraints.txt --group docs
	@touch $@

run: $(VENV)/.installed ## Open the terminal UI (on a simulated machine where there is no NVIDIA driver)
	@GPUDOCTOR_OR_DEMO=1 $(BIN)/gpudoctor $(ARGS)

test: $(VENV)/.tested lint types imports ## Lint, types, import contracts and all tests
	@$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.linted ## Style and likely mistakes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.tested ## Strict types
	@$(BIN)/mypy

imports: $(VENV)/.tested ## Who may import whom
	@$(BIN)/lint-imports

format: $(VENV)/.linted ## Put the code into its form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

compat: $(VENV)/.installed ## The tests that start no programs, on every other Python here, with the oldest requirements too
	@$(BIN)/python -m tools.compat $(ARGS)

fuzz: $(VENV)/.tested ## Feed hostile input to every reader, each for SECONDS (30)
	@GPUDOCTOR_FUZZ_TIMES=10 $(BIN)/python -m pytest -q tests/fuzz
	@$(PYTHON) -m venv build/fuzz && build/fuzz/bin/pip install --quiet --constraint constraints.txt atheris --editable .
	@build/fuzz/bin/python -m tests.fuzz.atheris_targets $(or $(SECONDS),30) $(ARGS)

bench: $(VENV)/.tested ## Measure against the peers, side by side
	@$(BIN)/python -m benchmarks.run $(ARGS)
	@$(BIN)/python -m tools.performance

docs: $(VENV)/.documented ## Build the documentation as a site, into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open build/site/index.html" >&2

audit: $(VENV)/.tested ## Ask PyPI for known vulnerabilities of what is installed
	@$(PYTHON) -m venv build/audit && build/audit/bin/pip install --quiet pip-audit
	@build/audit/bin/pip-audit --skip-editable --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

clean: ## Remove what was made
	rm -rf $(VENV) .compat build dist .mypy_cache .ruff_cache tests/nvml_sim/build
