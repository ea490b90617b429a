# Each target sets up what it needs: a virtual environment in .venv with the exact versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint bench readme agreement clean
.DELETE_ON_ERROR:

demo: .venv/.stamp
	$(BIN)/holdfast compare examples/transcripts/*.jsonl.gz

test: lint
	$(BIN)/pytest -n auto --dist loadgroup

lint: .venv/.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/.stamp
	$(BIN)/python -m benchmarks

readme: .venv/.stamp
	$(BIN)/python benchmarks/readme_table.py

agreement: .venv/.stamp
	$(BIN)/python -m benchmarks.agreement

.venv/.stamp: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; say PYTHON=python3.x")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) hatchling editables # first and by themselves, so that the build backend has its exact version too
	$(PIP) --no-build-isolation -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
