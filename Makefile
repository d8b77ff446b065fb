# From a clean clone `make demo` and `make test` do everything, and nothing twice; `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
PEER_VENV ?= .venv-mace
PYTEST_OPTIONS ?=
# Two environments are made at the same time; several goals (make distclean demo) one after the other.
ifeq ($(words $(MAKECMDGOALS)), 1)
MAKEFLAGS += --jobs=2
endif
# A file of tests is one process's: what it compiles once, it compiles once.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile

# Stamps: an environment is made again when what it was made from has changed.
INSTALLED := $(VENV)/.installed
PEER_INSTALLED := $(PEER_VENV)/.installed
PLUGIN_SOURCES := $(shell find pair_style -name "*.cpp" -o -name "*.h" -o -name "*.py")

# The second variable is for pip 25.3 and newer, which keeps the first from what a package is built with.
pip_with = PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=$(1) PIP_BUILD_CONSTRAINT=$(1) $(2)/bin/python -m pip install -q

.DEFAULT_GOAL := help
.PHONY: help demo test physics teeth venv peer bench gpu precision lint clean distclean check-system
.DELETE_ON_ERROR:

help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## compile the shipped water model, run it on two ranks for two minutes, draw the result
	@$(VENV)/bin/mlip-lammps demo

test: $(INSTALLED) $(PEER_INSTALLED) ## run the tests
	MLIP_LAMMPS_MACE_PYTHON="$(PEER_VENV)/bin/python" $(VENV)/bin/pytest $(SIDE_BY_SIDE) $(PYTEST_OPTIONS)

physics: $(INSTALLED) ## hold the shipped models to physics: dynamics, phonons, elastic constants, adsorption; minutes
	$(VENV)/bin/pytest -m "physics or not physics" tests/physics $(PYTEST_OPTIONS)

teeth: $(INSTALLED) ## plant every fault of tests/plants.py and show that mlip-lammps verify catches it: tens of minutes
	$(VENV)/bin/pytest -m "teeth or not teeth" tests/test_teeth.py $(PYTEST_OPTIONS)

venv: $(INSTALLED) ## make the virtual environment with the package and everything it needs

peer: $(PEER_INSTALLED) ## make the second environment, with mace-torch to compare with

bench: $(INSTALLED) $(PEER_INSTALLED) ## measure speed beside mace-torch, kernels, sizes, ranks and memory: 25 minutes
	MLIP_LAMMPS_MACE_PYTHON="$(PEER_VENV)/bin/python" $(VENV)/bin/python -m benchmarks

gpu: $(INSTALLED) ## on a machine with a GPU: check and time model files for it, beside mace-torch; ten minutes
	MLIP_LAMMPS_MACE_PYTHON="$${MLIP_LAMMPS_MACE_PYTHON:-$(PEER_VENV)/bin/python}" $(VENV)/bin/python -m benchmarks.gpu

precision: $(INSTALLED) ## measure what mixed and float32 cost in accuracy and drift: tens of minutes
	$(VENV)/bin/python -m benchmarks.precision

lint: $(INSTALLED) ## check the style of the Python code
	$(VENV)/bin/ruff check .

clean: ## remove results and what was built; the environments stay
	rm -rf out build dist ./*.egg-info tests/.cache .pytest_cache .ruff_cache
	find mlip_lammps tests pair_style -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## remove the environments and the built plugin too
	rm -rf $(VENV) $(PEER_VENV) pair_style/*.so pair_style/*.o

check-system:
	@PYTHON="$(PYTHON)" tools/check_system.sh

$(INSTALLED): pyproject.toml constraints.txt $(PLUGIN_SOURCES) | check-system
	@echo "Installing mlip-lammps and what it needs into $(VENV): minutes the first time, most of them for torch ..."
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	@$(call pip_with,constraints.txt,$(VENV)) -e '.[test]'
	@touch $@

$(PEER_INSTALLED): constraints-mace.txt | check-system
	@echo "Installing mace-torch into $(PEER_VENV), for tests alone: minutes the first time ..."
	@test -x $(PEER_VENV)/bin/pip || $(PYTHON) -m venv $(PEER_VENV)
	@$(call pip_with,constraints-mace.txt,$(PEER_VENV)) mace-torch safetensors
	@touch $@
