# `make talk` and `make test` need Python 3.11 or newer and make; each makes what else it needs, in .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: talk test mutate rules fuzz coverage lint bench spec clean

talk: $(VENV)/.talk
	$(BIN)/antiphon talk

test: $(VENV)/.test
	$(BIN)/python -m pytest $(PYTEST)

# Each row of each table is taken away in turn, and a test has to fail
mutate: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python -m mutation.rows

# docs/rules-coverage.md: which tests fail when a rule is taken away
rules: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python -m mutation.rules

# Every door is fed for ten minutes, led by coverage; FUZZ='--seconds 3600 snapshot' for something else
FUZZ ?= --seconds 600
fuzz: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python -m fuzz $(FUZZ)

# The branches of src that no test takes: there are to be none
coverage: $(VENV)/.test
	$(BIN)/python -m coverage run -m pytest tests/unit tests/tables tests/traces tests/traps tests/toolkit
	$(BIN)/python -m coverage report

lint: $(VENV)/.lint
	$(BIN)/ruff check src adapters tests spec
	$(BIN)/ruff format --check src adapters tests spec
	$(BIN)/mypy
	$(BIN)/python spec/generate.py --check

bench: $(VENV)/.bench
	$(BIN)/python tests/bench/run.py

# The tables and the machine pages, from spec/*.toml
spec:
	$(PYTHON) spec/generate.py

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "antiphon needs Python 3.11 or newer; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	touch $@

$(VENV)/.talk: $(VENV)/.made pyproject.toml
	$(PIP) install --editable '.[cli]'
	touch $@

$(VENV)/.test: $(VENV)/.talk pyproject.toml
	$(PIP) install --editable '.[all]' --group test
	touch $@

$(VENV)/.lint: $(VENV)/.test pyproject.toml
	$(PIP) install --group lint
	touch $@

$(VENV)/.bench: $(VENV)/.test pyproject.toml
	$(PIP) install --group bench
	touch $@

clean:
	rm -rf $(VENV) .coverage fuzz-* .mypy_cache .ruff_cache .pytest_cache .hypothesis
