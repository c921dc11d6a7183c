# make demo: the main job on real hosts, made by the lab.  make test: everything but the soak.
# Both work on a fresh Debian 12 machine as root with nothing else done before.

VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
SOAK ?=

.PHONY: help install packages demo test lint unit lab-test soak bench-lb clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make install   a virtual environment with fleetctl and all it is tested with
install: $(READY)

$(READY): pyproject.toml
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; }
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# Debian's sshd, HAProxy, container engine and compiler, which tests use; no service is started.
packages: install
	@$(PYTHON) -c 'from fleetctl.lab import packages as p; m = p.missing(); m and p.install(m)'

## make demo      three hosts, one balancer, four deploys under load: 0 failed requests
demo: install
	$(PYTHON) -m fleetctl.lab.demo

## make test      lint, types, import rules, and all tests but the soak
test: lint packages
	$(PYTHON) tests/run_all.py

## make unit      the tests that need no lab
unit: packages
	$(PYTHON) -m pytest -m 'not soak and not lab'

## make lab-test  the tests on real hosts (root)
lab-test: packages
	$(PYTHON) -m pytest -m 'lab and not soak'

## make lint      formatting, ruff, mypy strict on model and planner, the import table
lint: install
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

## make soak      the long proofs, with their table (docs/reliability.md)
##                SOAK='-k rolls' takes one part; SOAK_DEPLOYS=4 and others its size
soak: packages
	$(PYTHON) -m pytest -m soak -s $(SOAK)

## make bench-lb  what changes of a balancer cost (docs/benchmarks.md)
bench-lb: packages
	$(PYTHON) tests/bench/bench_lb.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
