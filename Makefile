# Everything happens inside .venv, which is made on demand; a stamp file remembers what is installed in it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
JOBS ?= 2

# one thread a test worker: two workers on two cores do not slow each other down;
# bytecode is kept, or each of a hundred processes would compile the package for itself
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=
# each worker keeps to its own folders, whose runs are then made once, and helps the other at the end
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --durations=5

.DEFAULT_GOAL := help
.PHONY: help install demo test slow check bare bench docs catalog clean

help: ## show these lines
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'archwright needs Python 3.11 or newer; name one: make PYTHON=python3.11 ...' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'installing archwright into $(VENV); torch is large, so the first time takes minutes'
	$(PIP) install --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'installing archwright and its development tools into $(VENV); torch is large, so the first time takes minutes'
	$(PIP) install --constraint constraints.txt --editable '.[demo,dev]'
	@touch $@ $(VENV)/demo.stamp

$(VENV)/docs.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable '.[docs]'
	@touch $@

install: $(VENV)/demo.stamp ## install into .venv

demo: $(VENV)/demo.stamp ## a real search on 5,000 MNIST images (a second call continues or shows it)
	$(BIN)/archwright search auto --data mnist5k --preset quick --max-macs 4.7M --seed 0 --out runs/demo --resume

test: $(VENV)/dev.stamp ## run the tests
	$(TEST_ENV) $(PYTEST)

slow: $(VENV)/dev.stamp ## run the long tests too
	$(TEST_ENV) $(PYTEST) -m 'not gpu'

check: $(VENV)/dev.stamp ## style, types, import order, catalogue, links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py
	$(BIN)/python tools/catalog.py --check
	$(BIN)/python tools/check_links.py

bare: $(VENV)/dev.stamp ## install without extras beside .venv and search there
	$(BIN)/python tools/bare_install.py

bench: $(VENV)/dev.stamp ## measure, one file after the other; let no other job run
	@set -e; for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

docs: $(VENV)/docs.stamp ## build the documentation into site/ (warnings are errors) and check its links
	$(BIN)/python tools/check_links.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo 'open site/index.html'

catalog: $(VENV)/dev.stamp ## write src/archwright/catalog.json anew
	$(BIN)/python tools/catalog.py

clean: ## remove .venv, site/ and caches; runs/ stays
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
