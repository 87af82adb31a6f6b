# `make` alone lists the targets. Everything is installed below this folder: .tools/ holds uv, .venv/ the environment.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

UV_VERSION := 0.13.8
UV := .tools/bin/uv
BIN := .venv/bin
# The newest lane that this machine can hold; `make PYTHON=3.10` takes the first, whatever there is.
ifndef PYTHON
PYTHON := $(shell .ci/lane)
endif
STAMP := .venv/.locked-$(PYTHON)
# Test processes side by side; a file stays in one, and so do the roots that its tests share. WORKERS=0 takes none.
# xdist would begin with the files of many tests; tests/conftest.py begins with those that take minutes.
WORKERS ?= 2
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_OPTIONS)

.PHONY: help run test fuzz test-kill test-at-once test-all test-lane2 test-kfp engines engines-up engines-down test-engines dist lint lock audit-deps bench bench-gpu bench-serve bench-pages bench-life bench-scale seeds handwriting docs image reference pictures size clean clean-image install

help:  ## List the targets.
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## Set up the locked environment in .venv/.

$(UV):
	python3 -m venv .tools
	.tools/bin/python -m pip install --quiet uv==$(UV_VERSION)

# Bytecode is written here: a command takes half as long again where every process compiles for itself, as it does under
# PYTHONDONTWRITEBYTECODE. Our own sources are compared by content, so that an edit counts however soon it follows.
$(STAMP): requirements.lock setup.py pyproject.toml | $(UV)
	@[ "$(PYTHON)" != "$$(.ci/lane)" ] || .ci/lane --why
	[ -x $(BIN)/python ] && [ -e $(STAMP) ] || $(UV) venv --quiet --clear --python $(PYTHON) .venv
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q --invalidation-mode checked-hash components mnist_tfx pipeline
	touch $@

run: $(STAMP)  ## Run the whole pipeline on the embedded digits, into runs/digits.
	$(BIN)/mnist-tfx run

test: $(STAMP)  ## Run the tests but for the slow ones; WORKERS processes, two unless told otherwise.
	$(PYTEST) -m "not slow"

test-kill: $(STAMP)  ## Send signals at POINTS=200 points of commands, from SEED=1, under a reader; ONLY=17 tries one again.
	cd tests && $(CURDIR)/$(BIN)/python -m kill --points $(or $(POINTS),200) --seed $(or $(SEED),1) --jobs $(or $(JOBS),2) \
	  $(if $(ONLY),--only $(ONLY))

test-at-once: $(STAMP)  ## Eight runs at once on one root, with everything else beside them, on SQLite and on MariaDB.
	MNIST_TFX_AT_ONCE="$(or $(STORES),sqlite mariadb)" $(BIN)/pytest -q -m slow tests/e2e/test_at_once.py

test-all: $(STAMP)  ## Run the slow ones too: fault injection, wheels, stock defects, the second lane and two engines in short.
	$(PYTEST)

test-lane2: $(STAMP)  ## Run all tests with TFX 1.21 in a Debian 13 root, for three quarters of an hour; needs root, debootstrap.
	$(BIN)/python tests/second_lane.py

test-kfp: $(STAMP)  ## Run the digits through the driver and launcher of Kubeflow Pipelines in KFP_BIN=FOLDER; needs root.
	$(BIN)/pytest -s -q tests/kubeflow/real

engines: $(STAMP)  ## Build Flink, Spark and Beam's job servers for them below .tools/; needs Java 17, Maven.
	cd tests && $(CURDIR)/$(BIN)/python -m engines.build

engines-up: engines  ## Start ENGINE=flink or spark with a worker pool, all on 127.0.0.1, and print the command for it.
	@cd tests && $(CURDIR)/$(BIN)/python -m engines.cluster up $(ENGINE)

engines-down: $(STAMP)  ## End what engines-up has started.
	@cd tests && $(CURDIR)/$(BIN)/python -m engines.cluster down

test-engines: engines  ## Run the digits on a real Flink and a real Spark, one after the other; ENGINE=flink for one.
	MNIST_TFX_ENGINES="$(or $(ENGINE),flink spark)" $(BIN)/pytest -q tests/engines

fuzz: $(STAMP)  ## Search for bytes over which the reader of TARGET="idx images" stumbles, for MINUTES=10, from SEED=1.
	[ -d .tools/fuzz ] || $(UV) pip install --quiet --python $(BIN)/python --only-binary :all: --target .tools/fuzz atheris
	cd tests && PYTHONPATH=$(CURDIR)/.tools/fuzz $(CURDIR)/$(BIN)/python -m fuzz.explore "$(TARGET)" \
	  --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

dist: $(STAMP)  ## Build sdist and wheel into dist/, the wheel from the sdist.
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist . > /dev/null
	@ls dist

lint: $(STAMP)  ## ruff, mypy --strict, import contracts.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: | $(UV)  ## Resolve requirements.in again, for both lanes.
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.10 \
	  --custom-compile-command "make lock" requirements.in --output-file requirements.lock

audit-deps: $(STAMP)  ## Ask OSV for known holes in what either lane takes from the lock; AUDIT_OPTIONS go to pip-audit.
	$(BIN)/python tests/audit_deps.py $(AUDIT_OPTIONS)

bench: $(STAMP)  ## Time the pipeline against the official TFX example; needs ../shared.
	$(BIN)/python tests/bench.py

bench-gpu: $(STAMP)  ## Time training on the GPU against the CPU, float32, mixed and by XLA; ten minutes at most, needs ../shared.
	$(BIN)/python tests/bench_gpu.py $(BENCH_OPTIONS)

bench-serve: $(STAMP)  ## Time the model server: start, latency, throughput with and without batching, memory.
	$(BIN)/python tests/bench_serve.py

bench-pages: $(STAMP)  ## Time the pages of a root of 200 runs: the first answer, those after it, and after another run.
	$(BIN)/python tests/bench_pages.py

bench-life: $(STAMP)  ## Run the digits 200 times unchanged and 30 times with another seed, on one root: time, disk, what gc brings back.
	$(BIN)/python tests/bench_life.py $(BENCH_OPTIONS)

bench-scale: $(STAMP)  ## Run MNIST grown SIZES="1 4 16" times, and print time and memory by node; needs ../shared.
	cd tests && $(abspath $(BIN))/python -m scale.bench $(or $(SIZES),1 4 16) $(BENCH_OPTIONS)

seeds: $(STAMP)  ## Run the recipes of the five seed systems, or ROWS="cnn mlp:paper", and write the table in docs/benchmarks.md.
	$(BIN)/python tests/seeds.py $(ROWS)

handwriting: $(STAMP)  ## Say how ROOT=runs/mnist reads pictures, and with LEAST=0.9 fail below it; needs ../shared for other people's.
	$(BIN)/python tests/handwriting.py $(ROOT) --least $(or $(LEAST),0)

docs: reference  ## Build the documentation into build/docs; a dead link or an unknown page fails.
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going \
	  -c docs -d build/doctrees . build/docs
	@echo build/docs/docs/index.html

image: $(STAMP)  ## Build kubeflow/Dockerfile by buildah, and its SBOM; GPU=1 the GPU image, BASE=IMAGE on another Debian 13.
	$(BIN)/python tests/build_image.py $(if $(GPU),--gpu) $(if $(TAG),--tag $(TAG)) $(if $(BASE),--base $(BASE)) $(IMAGE_OPTIONS)

reference: $(STAMP)  ## Write the generated pages of docs/reference/ again.
	cd tests && $(abspath $(BIN))/python -m docs.reference

pictures: $(STAMP)  ## Photograph report and lineage page of runs/digits for the documentation; needs Chromium.
	$(BIN)/python tests/docs/pictures.py runs/digits

size: $(STAMP)  ## Print lines of product code, Python and JSON, by room.
	$(BIN)/python tests/size.py

clean-image:  ## Remove what `make image` made, and what killed builds left mounted.
	awk -v under="$(CURDIR)/.tools/containers/" 'index($$2, under) == 1 { print $$2 }' /proc/self/mounts \
	  | sort --reverse | xargs --no-run-if-empty umount
	rm -rf .tools/containers build/image

clean: clean-image  ## Remove build products, images and caches; runs/ stays, and the environment.
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
