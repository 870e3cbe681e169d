# Sets up a virtual environment of its own from `python3` alone, and calls through it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test chaos bench lint lock clean

help:
	@echo "make demo   run a whole campaign against the stand-in for Vapi: CSV in, outcomes out"
	@echo "make test   lint, types, import contracts and every test"
	@echo "make chaos  the fault matrix, about an hour; CASE=name,name N=people FULL=1 RESUME=1; writes build/chaos.json"
	@echo "make bench  the benchmarks, each beside its limit or its peer; NAME=lines for one of them"
	@echo "make lock   resolve the dependencies anew (needs uv)"
	@echo "make clean  remove the environment, the embedded servers' data and build output"

.venv/installed: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: .venv/installed
	@$(BIN)/outbound demo

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -n 4 --dist loadscope --no-loadscope-reorder

bench: .venv/installed
	@$(BIN)/python -m tests.benchmarks $(NAME)

chaos: .venv/installed
	@$(BIN)/python -m tests.chaos $(if $(N),--prospects $(N)) $(if $(CASE),--case "$(CASE)") $(if $(FULL),--full) $(if $(RESUME),--resume)

lock:
	uv pip compile pyproject.toml --extra embedded --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -o requirements.lock
	uv pip compile pyproject.toml --extra embedded --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf .venv .data build
