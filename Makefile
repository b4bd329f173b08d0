# make demo   fit a model to this machine, start to end
# make test   everything that CI runs
# make venv   only install; both of the above do it when it is missing
# make clean  remove .venv, runs and caches
#
# PYTHON=...    the interpreter for .venv (>= 3.11); found by itself when not given
# PIP_ARGS=...  more options for pip, as in PIP_ARGS="--extra-index-url https://..."

PYTHON ?=
PIP_ARGS ?=

BIN := .venv/bin
STAMP := .venv/.installed
PACKAGES := fleetfit supernet exporters devices profiler predictors search
CODE := $(PACKAGES) benchmarks examples tests

.PHONY: venv test demo clean
.DELETE_ON_ERROR:

venv: $(STAMP)

# Editable by path (compat), so that a clone named fleetfit hides nothing from the folder above it.
# torch comes first, at its pinned version: whatever build is installed then stays. Where pip knows
# only PyPI, the build for Linux on x86-64 brings CUDA; PIP_ARGS can name an index of CPU builds.
$(STAMP): pyproject.toml constraints.txt
	@set -eu; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  python="$(PYTHON)"; \
	  for name in $${python:-python3.11 python3.12 python3.13 python3.14 python3 python}; do \
	    if "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	        >/dev/null 2>&1; then python="$$name"; found=1; break; fi; \
	  done; \
	  if [ -z "$${found:-}" ]; then \
	    echo "Python must be >= 3.11 with its venv module, but $${python:-none on the path} is" \
	      "not; install one or name it: make PYTHON=/path/to/python3" >&2; exit 4; \
	  fi; \
	  echo "Creating .venv with $$("$$python" --version) ($$python)" >&2; \
	  "$$python" -m venv --clear .venv; \
	fi
	@echo "Installing the pinned dependencies (some minutes the first time)" >&2
	@$(BIN)/python -m pip install --no-input -q $(PIP_ARGS) \
	  "$$(grep '^torch==' constraints.txt)" -c constraints.txt >&2
	@$(BIN)/python -m pip install --no-input -q $(PIP_ARGS) -c constraints.txt \
	  --config-settings editable_mode=compat -e ".[all]" >&2
	@touch $@

test: $(STAMP)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy --strict $(CODE)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

demo: $(STAMP)
	@$(BIN)/python -m examples.demo

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build runs *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
