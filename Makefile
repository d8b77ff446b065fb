# From a clean clone, `make demo` and `make test` install everything that they need, once. `make help` lists all targets.

PYTHON ?= python3
VENV ?= .venv
PEER_VENV ?= .venv-mace
SEVENN_VENV ?= .venv-sevenn
DOCS_VENV ?= .venv-docs
PYTEST_OPTIONS ?=
# A single goal may create two environments in parallel; several goals (make distclean demo) run sequentially.
ifeq ($(words $(MAKECMDGOALS)), 1)
MAKEFLAGS += --jobs=2
endif
# Each test file runs in one process, so that its models are compiled once.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile

# Stamp files: an environment is rebuilt when its inputs change.
INSTALLED := $(VENV)/.installed
PEER_INSTALLED := $(PEER_VENV)/.installed
SEVENN_INSTALLED := $(SEVENN_VENV)/.installed
DOCS_INSTALLED := $(DOCS_VENV)/.installed
PLUGIN_SOURCES := $(shell find pair_style -name "*.cpp" -o -name "*.h" -o -name "*.py")

# pip 25.3 and newer apply PIP_CONSTRAINT to installed packages only, and PIP_BUILD_CONSTRAINT to build requirements.
pip_with = PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=$(1) PIP_BUILD_CONSTRAINT=$(1) $(2)/bin/python -m pip install -q

.DEFAULT_GOAL := help
.PHONY: help demo test architectures slow physics mutations broken sizes soak venv peer peer-sevenn bench gpu precision docs lint clean distclean check-system
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## install, compile the shipped water model, run it on two ranks for half a minute, plot the result
	@$(VENV)/bin/mlip-lammps demo

test: $(INSTALLED) $(PEER_INSTALLED) ## install and run the tests
	MLIP_LAMMPS_MACE_PYTHON="$(PEER_VENV)/bin/python" $(VENV)/bin/pytest $(SIDE_BY_SIDE) $(PYTEST_OPTIONS)

architectures: $(INSTALLED) ## run the tests of the architectures besides MACE
	$(VENV)/bin/pytest tests/architectures $(SIDE_BY_SIDE) $(PYTEST_OPTIONS)

slow: $(INSTALLED) $(PEER_INSTALLED) ## run the variants that the targets above leave out (twenty minutes)
	MLIP_LAMMPS_MACE_PYTHON="$(PEER_VENV)/bin/python" $(VENV)/bin/pytest -m slow -o norecursedirs=data $(SIDE_BY_SIDE) $(PYTEST_OPTIONS)

physics: $(INSTALLED) ## check the shipped models against physics: dynamics, phonons, elastic constants, adsorption (tens of minutes)
	$(VENV)/bin/pytest -m "physics or not physics" tests/physics $(PYTEST_OPTIONS)

mutations: $(INSTALLED) ## mutation tests: mlip-lammps verify catches each planted fault (tens of minutes)
	$(VENV)/bin/pytest -m "mutations or not mutations" tests/test_mutations.py $(PYTEST_OPTIONS)

broken: $(INSTALLED) ## open a thousand mutations of each form of model file: clear errors, no crash (minutes)
	$(VENV)/bin/pytest -m "broken or not broken" tests/test_broken_files.py $(PYTEST_OPTIONS)

sizes: $(INSTALLED) ## export models of the size of foundation models within 3 minutes and 6 GB each (ten minutes)
	$(VENV)/bin/pytest -m "sizes or not sizes" tests/test_foundation_sizes.py $(PYTEST_OPTIONS)

soak: $(INSTALLED) ## kill runs of molecular dynamics at 20 random times and compare with runs left alone (ten minutes)
	$(VENV)/bin/pytest -m "soak or not soak" tests/test_dynamics.py -k 20_random_times $(PYTEST_OPTIONS)

venv: $(INSTALLED) ## create .venv with the package and its dependencies

peer: $(PEER_INSTALLED) ## create .venv-mace with mace-torch, for comparisons

peer-sevenn: $(SEVENN_INSTALLED) ## create .venv-sevenn with SevenNet and NequIP; make test then compares with them

bench: $(INSTALLED) $(PEER_INSTALLED) ## measure speed (with mace-torch), kernels, sizes, ranks and memory (25 minutes)
	MLIP_LAMMPS_MACE_PYTHON="$(PEER_VENV)/bin/python" $(VENV)/bin/python -m benchmarks

gpu: $(INSTALLED) ## check and time models on the GPU of this machine, with mace-torch (ten minutes)
	MLIP_LAMMPS_MACE_PYTHON="$${MLIP_LAMMPS_MACE_PYTHON:-$(PEER_VENV)/bin/python}" $(VENV)/bin/python -m benchmarks.gpu

precision: $(INSTALLED) ## measure errors and energy drift of each precision (tens of minutes)
	$(VENV)/bin/python -m benchmarks.precision

docs: $(DOCS_INSTALLED) ## build the documentation site in site/
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict --quiet
	@echo "site/index.html is the start page"

lint: $(INSTALLED) ## check the style of the Python code
	$(VENV)/bin/ruff check .

clean: ## remove results and build products; keep the environments
	rm -rf out build dist site ./*.egg-info tests/.cache .pytest_cache .ruff_cache
	find mlip_lammps tests pair_style -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## also remove the environments and the built plugin
	rm -rf $(VENV) $(PEER_VENV) $(SEVENN_VENV) $(DOCS_VENV) pair_style/*.so pair_style/*.o

check-system:
	@PYTHON="$(PYTHON)" tools/check_system.sh

$(INSTALLED): pyproject.toml constraints.txt $(PLUGIN_SOURCES) | check-system
	@echo "Installing mlip-lammps and its dependencies into $(VENV); the first time takes minutes, mostly for torch ..."
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	@$(call pip_with,constraints.txt,$(VENV)) -e '.[test]'
	@touch $@

$(PEER_INSTALLED): constraints-mace.txt | check-system
	@echo "Installing mace-torch, which only tests use, into $(PEER_VENV); the first time takes minutes ..."
	@test -x $(PEER_VENV)/bin/pip || $(PYTHON) -m venv $(PEER_VENV)
	@$(call pip_with,constraints-mace.txt,$(PEER_VENV)) mace-torch safetensors
	@touch $@

$(SEVENN_INSTALLED): constraints-sevenn.txt | check-system
	@echo "Installing SevenNet and NequIP, which only tests use, into $(SEVENN_VENV); the first time takes minutes ..."
	@test -x $(SEVENN_VENV)/bin/pip || $(PYTHON) -m venv $(SEVENN_VENV)
	@$(call pip_with,constraints-sevenn.txt,$(SEVENN_VENV)) sevenn nequip
	@touch $@

# The site needs neither the package nor torch, because mkdocs reads docstrings from the source.
DOCS_REQUIREMENTS = import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")

$(DOCS_INSTALLED): pyproject.toml | check-system
	@echo "Installing mkdocs into $(DOCS_VENV) ..."
	@test -x $(DOCS_VENV)/bin/pip || $(PYTHON) -m venv $(DOCS_VENV)
	@$(DOCS_VENV)/bin/python -c '$(DOCS_REQUIREMENTS)' > $(DOCS_VENV)/requirements.txt
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(DOCS_VENV)/bin/python -m pip install -q -r $(DOCS_VENV)/requirements.txt
	@touch $@
