# Every target does its own set-up: a fresh Debian with python3, make and a package mirror is enough.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
TOOLS := .venv/tools

# Each process of the product would compile what it imports again: four seconds of its start instead of two.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-long screenshots test-tryton check bench capabilities lock clean

demo: $(READY)
	$(BIN)/tallytrace demo

test: $(READY) $(TOOLS)
	$(BIN)/pytest -m "not long" --numprocesses 3 --dist loadfile --no-loadscope-reorder

test-long: $(READY) $(TOOLS)
	$(BIN)/pytest -m long

screenshots: $(READY)
	SCREENSHOTS=dashboards/screenshots $(BIN)/pytest -m long tests/browser/test_screenshots.py

test-tryton: $(READY)
	$(BIN)/pytest -m tryton

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_tidy.py

bench: $(READY)
	$(BIN)/tallytrace bench

# Reads what the last `make test` and `make test-long` saw; runs nothing itself.
capabilities: $(READY)
	@$(BIN)/python -m tests.capabilities

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	    --generate-hashes --no-header --quiet --output-file requirements.lock
	$(BIN)/uv pip compile tests/tryton/requirements.in --universal --python-version 3.11 \
	    --generate-hashes --no-header --quiet --output-file tests/tryton/requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

$(READY): requirements.lock pyproject.toml .ci/set-up-python
	@PYTHON=$(PYTHON) .ci/set-up-python
	@touch $@

$(TOOLS): $(READY) .ci/set-up-tools
	@.ci/set-up-tools
	@touch $@
