# Two commands do everything: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# what is compiled is kept, even where the shell says otherwise: tests start some hundred processes
unexport PYTHONDONTWRITEBYTECODE

# the cohort of the demo: empty means the embedded simulated one
COHORT ?=
LABEL ?= cancer_type
OUT ?= runs/demo
ifeq ($(COHORT),)
DEMO = -p normal_class true
else
DEMO = -p cohort "$(abspath $(COHORT))" -p label "$(LABEL)"
endif
ifneq ($(NORMAL_CLASS),)
DEMO += -p normal_class $(NORMAL_CLASS)
endif

.PHONY: help demo test test-all lint coverage docs bench clean

help:
	@echo "make demo                          train on the simulated cohort; results in runs/demo"
	@echo "make demo COHORT=path LABEL=column  the same on your cohort (NORMAL_CLASS=true pools normals)"
	@echo "make test                          lint, then all tests: notebooks and pytest"
	@echo "make test-all                      the same with tutorials, recipes at full size and slow tests (an hour)"
	@echo "make lint                          ruff and mypy, in seconds"
	@echo "make coverage                      pytest, and which lines it never reaches"
	@echo "make docs                          build the site into _docs"
	@echo "make bench                         measure speed (bench/speed.py)"
	@echo "PYTHON=python3.12 chooses the Python that makes .venv"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "cancer_dl needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --upgrade pip || true  # the pip of Python 3.11 takes half as long again

# the package and what it needs, at the versions it was tested with
INSTALL = $(BIN)/pip install --quiet --constraint constraints.txt --editable
$(VENV)/installed: settings.ini setup.py constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV); the first time takes a few minutes."
	@$(INSTALL) .
	@touch $@

# the same and what changing it needs, in one go; Python compiles what is imported, when it first is
$(VENV)/installed-dev: settings.ini setup.py constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV); the first time takes a few minutes."
	@$(INSTALL) ".[dev]" --no-compile
	@touch $(VENV)/installed $@

demo: $(VENV)/installed
	@$(BIN)/cancer_dl run train $(DEMO) --out "$(OUT)" --overwrite
	@echo "Open $(OUT)/train.html in a browser."

# two processes, with a thread each: more threads only wait for one another
TEST := PATH="$(CURDIR)/$(BIN):$$PATH" TQDM_DISABLE=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1

# names, lines and types
lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(TEST) $(BIN)/python tests/chapters.py --n_workers 2 --do_print
	$(TEST) $(BIN)/python -m pytest tests -q --numprocesses 2 --dist worksteal --durations=8

# also recipes and tutorials, at the size of their committed outputs, and the tests that are marked slow
test-all: lint
	$(TEST) $(BIN)/nbdev_test --n_workers 2 --do_print --ignore_fname .none --flags slow
	$(TEST) $(BIN)/python -m pytest tests -q --slow --numprocesses 2 --dist worksteal --durations=8

coverage: $(VENV)/installed-dev
	COVERAGE_CORE=$$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")') $(TEST) $(BIN)/python -m pytest tests -q --numprocesses 2 --dist worksteal --cov=cancer_dl --cov-report=term:skip-covered

docs: $(VENV)/installed-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/build_docs.py

bench: $(VENV)/installed-dev
	$(BIN)/python bench/speed.py

clean:
	rm -rf $(VENV) _docs build dist *.egg-info
