# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
#
# `make help` lists what there is to call. The recipes are short: what takes more than a line is
# a script in build-tools/. Stamps in .make/ say what has been done, so that a second `make run`
# does nothing but run.

SHELL := /bin/sh
.SHELLFLAGS := -euc
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/pydriver
PIP_CACHE_DIR ?= $(CACHE)/pip
PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_CACHE_DIR PIP_DISABLE_PIP_VERSION_CHECK QEMU_SRC

OUT := pydriver/_build
QEMU := $(OUT)/qemu-system-x86_64

# What `make run` streams, and what is passed on to the commands.
INPUT ?= $(QEMU)
ARGS ?=

.DEFAULT_GOAL := help

help: ## show this list
	@echo 'make TARGET [INPUT=FILE] [ARGS="..."] [QEMU_SRC=DIR | QEMU_SUITE=NAME]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16

run: ready ## stream INPUT through the emulated system; ARGS go to `pydriver run`
	@.venv/bin/pydriver run "$(INPUT)" $(ARGS)

test: ready .make/host-test ## run the tests on all cores; ARGS go to pytest
	@.venv/bin/pytest -n auto --dist worksteal $(ARGS)

test-asan: ready .make/qemu-asan ## test the device in a QEMU with AddressSanitizer and UBSan
	@build-tools/with-asan.sh $(QEMU)-asan .venv/bin/pytest -o timeout=300 tests/device $(ARGS)

coverage: ready .make/qemu-gcov ## measure the lines of mqdma.c that its tests reach (at least 90 %)
	@.venv/bin/python build-tools/device_coverage.py $(QEMU)-gcov .venv/bin/pytest tests/device $(ARGS)

bench: ready ## measure interrupts, NVMe, processors; ARGS go to `pydriver bench`
	@.venv/bin/pydriver bench $(ARGS)

soak: ready ## load the shipped driver for ten minutes; ARGS go to tests/soak/soak.py
	@.venv/bin/python -m tests.soak.soak $(ARGS)

docs: .make/venv .make/native ## build the pages in build/docs, and the lists that they have
	@.venv/bin/python build-tools/ddi_reference.py
	@rm -rf build/docs # pages of modules that are gone would stay
	@.venv/bin/sphinx-build -q -W --keep-going -d build/doctrees docs build/docs
	@.venv/bin/python build-tools/check_pages.py build/docs

lint: .make/host-lint .make/venv .make/native .make/qemu ## check the style and the types of all sources
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/lint-imports
	@.venv/bin/mypy
	@.venv/bin/mypy --strict build-tools/*.py qemu-device/*.py
	@.venv/bin/python build-tools/lint_c.py $(QEMU)
	@.venv/bin/python build-tools/ddi_reference.py --check

qemu: .make/qemu ## build QEMU with the mqdma device
	@echo '$(QEMU) is ready'

guest: $(OUT)/guest.elf ## build the guest
	@echo '$< is ready'

clean: ## remove what make made here; the cache, which other clones share, stays
	rm -rf .venv .make build $(OUT) *.egg-info .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -f pydriver/abi/_native*.so pydriver/abi/_native.c
	find . -name __pycache__ -prune -exec rm -rf {} +
	@echo 'the cache was left: $(CACHE)'

ready: .make/venv .make/native .make/qemu $(OUT)/guest.elf

# --- what this machine lacks ------------------------------------------------------------------

.make/host: build-tools/host.sh
	@build-tools/host.sh build
	@mkdir -p $(@D) && touch $@

.make/host-lint .make/host-test: .make/host-%: build-tools/host.sh | .make/host
	@build-tools/host.sh $*
	@mkdir -p $(@D) && touch $@

# --- Python -----------------------------------------------------------------------------------

# The stamp holds where it was made, because an environment does not survive being moved.
ifneq ($(shell test -x .venv/bin/pydriver && cat .make/venv 2>/dev/null),$(CURDIR))
.make/venv: FORCE
endif
.make/venv: pyproject.toml setup.py build-tools/venv.sh | .make/host
	@build-tools/venv.sh
	@echo '$(CURDIR)' > $@

NATIVE := $(wildcard pydriver/abi/*.c pydriver/abi/*.h) pydriver/abi/build_native.py \
          $(wildcard qemu-device/mqdma_regs.h)

ifeq ($(wildcard pydriver/abi/_native*.so),)
.make/native: FORCE
endif
.make/native: $(filter-out pydriver/abi/_native.c,$(NATIVE)) build-tools/native.sh | .make/venv
	@build-tools/native.sh
	@touch $@

# --- the guest --------------------------------------------------------------------------------

# Its own Makefile knows what it depends on.
$(OUT)/guest.elf: FORCE | .make/host
	@mkdir -p .make && flock .make/guest.lock $(MAKE) -s -C guest

# --- QEMU -------------------------------------------------------------------------------------

DEVICE := $(wildcard qemu-device/*.[ch] qemu-device/*.py) qemu-device/Kconfig \
          qemu-device/meson.build qemu-device/trace-events
BUILD_QEMU := $(patsubst %,build-tools/%.py,build_qemu apt_source cache command_log progress)

# A stamp is not enough: the cache may have been emptied since, and QEMU_SRC and QEMU_SUITE may
# ask for another QEMU than last time. The stamp therefore holds the choice it was made for.
QEMU_CHOICE := $(QEMU_SRC):$(QEMU_SUITE)
define qemu-variant
ifneq ($$(if $$(QEMU_SRC),always)$$(shell test -x $(2) && cat .make/$(1) 2>/dev/null),$$(QEMU_CHOICE))
.make/$(1): FORCE
endif
.make/$(1): $$(DEVICE) $$(BUILD_QEMU) | .make/venv
	@.venv/bin/python build-tools/build_qemu.py --variant $(3) \
	    $$(if $$(QEMU_SUITE),--suite '$$(QEMU_SUITE)') $(2)
	@echo '$$(QEMU_CHOICE)' > $$@
endef
$(eval $(call qemu-variant,qemu,$(QEMU),normal))
$(eval $(call qemu-variant,qemu-asan,$(QEMU)-asan,asan))
$(eval $(call qemu-variant,qemu-gcov,$(QEMU)-gcov,gcov))

FORCE:

.PHONY: help run test test-asan coverage bench soak docs lint qemu guest clean ready FORCE
