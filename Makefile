# make demo   sets everything up and shows conversion and parity on real photographs
# make test   sets everything up and runs the tests
# make lint   sets everything up and runs ruff and mypy --strict
# PYTHON, VENV and EXTRAS can be set.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV ?= .venv
EXTRAS ?= all
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALL = $(BIN)/python -m pip install -q --disable-pip-version-check

.PHONY: setup demo test lint clean
setup: $(READY)

# .started outlives a failed or interrupted set-up, and makes the next one start over.
$(READY): pyproject.toml constraints.txt
	@test ! -e $(VENV)/.started || rm -rf $(VENV)
	@echo "Setting up $(VENV): PyTorch and MindSpore are about 8 GB; this takes a few minutes, once."
	@mkdir -p $(VENV) && touch $(VENV)/.started
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -c constraints.txt -e ".[$(EXTRAS)]"
	@mv $(VENV)/.started $@

demo: $(READY)
	$(BIN)/twinzoo demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist
