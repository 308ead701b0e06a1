# One command from a fresh clone to music or to a test result; each makes its own .venv.
#
#   make music PROMPT="a relaxed bossa nova with nylon guitar and flute" ARGS="--seed 7 --takes 3"
#   make test
#
# On Linux without an NVIDIA GPU, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu in the
# environment picks PyTorch's CPU build and saves gigabytes.

PYTHON ?= python3
VENV ?= .venv
OLDEST_VENV ?= .venv-oldest
PROMPT ?= a relaxed bossa nova with nylon guitar and flute
ARGS ?=
PYTEST_ARGS ?=
CHECKPOINT ?= pocket
PACKAGING := setup.cfg pyproject.toml

# Compiling what is imported, when it is, takes half the time of compiling all that is installed.
INSTALL = install -q --no-compile

# Sampled instruments of the corpus; pyaudio, which it asks for, needs a compiler and is for live
# playing only.
SAMPLER = --no-deps tinysoundfont

# Two models in two processes run faster than one model on two threads, and results do not
# depend on the number of cores.
RUN_TESTS = OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1

.PHONY: help music demo screenshots test test-all test-browser test-oldest lint fix clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The prompt goes through the environment, so that quotes and dollars in it stay what they are.
export PROMPT := $(value PROMPT)
music: $(VENV)/.base  ## render PROMPT into outputs/ with the embedded checkpoint
	@$(VENV)/bin/musicgen-ldm generate $(ARGS) -- "$$PROMPT"

demo: $(VENV)/.demo  ## open the web page on this machine
	$(VENV)/bin/python app.py

screenshots: $(VENV)/.browser  ## docs/images/demo-*.png with CHECKPOINT
	$(VENV)/bin/python benchmarks/demo_screenshots.py "$(CHECKPOINT)"

test: $(VENV)/.dev  ## the tests; no GPU, no network once installed
	$(RUN_TESTS) $(VENV)/bin/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

test-all: $(VENV)/.dev  ## the slow ones too
	$(RUN_TESTS) $(VENV)/bin/python -m pytest -n auto --dist worksteal -m "not network and not browser" $(PYTEST_ARGS)

# The browser itself is the system's: apt install chromium, or CHROMIUM=/path/to/another.
test-browser: $(VENV)/.dev $(VENV)/.browser  ## the web page and the reports in headless Chromium
	$(RUN_TESTS) $(VENV)/bin/python -m pytest -m browser -rs $(PYTEST_ARGS)

test-oldest: $(OLDEST_VENV)/.dev  ## the tests with the oldest libraries that setup.cfg admits
	$(RUN_TESTS) $(OLDEST_VENV)/bin/python -m pytest -n auto --dist worksteal -W default $(PYTEST_ARGS)

lint: $(VENV)/.dev  ## style, types and the direction of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

fix: $(VENV)/.dev  ## mend what ruff can mend
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:  ## remove the virtual environments and caches
	rm -rf $(VENV) $(OLDEST_VENV) build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/.base: constraints/known-good.txt $(PACKAGING)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip $(INSTALL) -c $< -e .
	@touch $@

$(VENV)/.demo: constraints/known-good.txt $(PACKAGING)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip $(INSTALL) -c $< -e ".[demo,corpus]"
	$(VENV)/bin/pip $(INSTALL) -c $< $(SAMPLER)
	@touch $@

$(VENV)/.browser: constraints/known-good.txt $(PACKAGING)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip $(INSTALL) -c $< -e ".[browser]"
	@touch $@

$(VENV)/.dev: constraints/known-good.txt $(PACKAGING)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip $(INSTALL) -c $< -e ".[dev]"
	$(VENV)/bin/pip $(INSTALL) -c $< $(SAMPLER)
	@touch $@

$(OLDEST_VENV)/.dev: constraints/oldest.txt $(PACKAGING)
	$(PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/pip $(INSTALL) -c $< -e ".[dev]"
	$(OLDEST_VENV)/bin/pip $(INSTALL) -c $< $(SAMPLER)
	@touch $@
