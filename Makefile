# Two commands for a newcomer; both make .venv and install what they need first:
#   make demo    train a small model on this machine's CPU and watch it solve puzzles it has never seen
#   make test    install what the tests need and run them all
# and three for people who change the code:
#   make check   format, lint, types, import contract        make slow   the tests that take minutes
#   make clean   remove .venv and the caches

SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
# The first Python that is new enough; `make demo PYTHON=/path/to/python` chooses another.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(if $(shell $(p) -c \
	'import sys; print("ok" * (sys.version_info >= (3, 11)))' 2>/dev/null),$(p))) python3)
# Tests run in parallel processes of one thread each: on small models that beats one process with many threads.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n > 8 ? 8 : n)))
PYTEST  := OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n $(WORKERS)
PIP     := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: demo test slow check clean

demo: $(VENV)/.installed
	$(BIN)/thinkling demo

test: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow" --cov --cov-report=term --durations=10

slow: $(VENV)/.installed-dev
	$(PYTEST) -m slow

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage*

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Thinkling needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo not there)." \
	    "Install a newer one, then: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python has no venv module (Debian and Ubuntu ship it apart)." \
	    "Install it with: sudo apt install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..."
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# Without an NVIDIA GPU the CPU build of PyTorch is enough, and a tenth of the download. Whoever has told pip to use
# another index keeps it; where PyTorch's own index cannot be reached, the next step installs from the default one.
$(VENV)/.torch: $(VENV)/.python constraints.txt
	@if [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null \
	    && ! $(BIN)/python -m pip config list | grep -qiE 'index|find.links'; then \
	  echo "Installing the CPU build of PyTorch ..."; \
	  $(PIP) torch --index-url https://download.pytorch.org/whl/cpu --retries 1 --timeout 15 >/dev/null 2>&1 || true; fi
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml constraints.txt
	@echo "Installing Thinkling ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.torch pyproject.toml constraints.txt
	@echo "Installing Thinkling and what its tests need ..."
	@$(PIP) -e '.[dev]'
	@echo "Building llama.cpp, which exported models are compared with (six minutes on two cores, once) ..."
	@$(PIP) -e '.[gguf]' || { \
	  echo "llama-cpp-python could not be built: it needs a C++ compiler (Debian and Ubuntu: sudo apt install g++)." \
	    "Without it the tests that open a file in llama.cpp are skipped." >&2; test -z "$$CI"; }
	@command -v chromium chromium-browser google-chrome >/dev/null || { test "$$(id -u)" = 0 \
	  && (apt-get update && apt-get install -y --no-install-recommends chromium) >/dev/null 2>&1; } \
	  || $(BIN)/playwright install chromium >/dev/null 2>&1 || { \
	  echo "There is no Chromium (Debian: sudo apt install chromium)." \
	    "Without it the tests that look at the web page are skipped." >&2; test -z "$$CI"; }
	@$(BIN)/python -c 'from thinkling.serving.web_runtime import runtime_files; runtime_files()' || { \
	  echo "Without onnxruntime-web the test of an exported page is skipped." >&2; test -z "$$CI"; }
	@touch $@ $(VENV)/.installed
