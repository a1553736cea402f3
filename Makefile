# make demo: set up and run the main job. make test: set up and pass the tests.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test lint slow nightly hostile bench docs

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[all,dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/storelab demo

test: $(VENV)/installed lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile  # two processes, a thread each

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python  # pyright in one wheel: its own package downloads it at the first run

slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow

nightly: $(VENV)/installed  # a seventh of the slow tests, by the day of the week
	$(BIN)/python -m pytest -m slow --part $(shell date +%u)/7

hostile: $(VENV)/installed
	STORELAB_FULL=1 $(BIN)/python -m pytest -k hostile

bench: $(VENV)/installed
	$(BIN)/python -P bench/speed.py

docs: $(VENV)/installed
	$(BIN)/mkdocs build --strict
