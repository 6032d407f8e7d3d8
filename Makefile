# Every task of the repository. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv lock generate lint unit test test-faults test-restarts coverage checked prepared mutation cluster cluster-down cluster-clean demo demo-down bench judge agreement images push

PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
RUN := PYTHONPATH=tests $(VENV)/bin/python
VENV_READY := $(VENV)/.ready

help: ## this list
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "  make %-14s %s\n", $$1, $$2}'

venv: $(VENV_READY) ## .venv with everything pinned by requirements.lock, and the batchedllm command
$(VENV_READY): requirements.lock operator/pyproject.toml engine_image/pyproject.toml
	@echo "==> $(VENV): installing the pinned packages (about half a minute the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version). Set PYTHON=python3.x"; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(VENV)/bin/uv pip sync --quiet --python $(VENV)/bin/python --require-hashes requirements.lock
	@$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --no-deps --no-build-isolation --editable operator --editable engine_image
	@touch $@

lock: venv ## pin the newest versions that requirements.in allows (hashes, no addresses)
	@$(VENV)/bin/uv pip compile requirements.in --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements.lock

HELM = $$($(RUN) -c "from testbed import tools; print(tools.helm())")

generate: venv ## write every generated file again: CRD, references, chart, plain manifest, engine metrics
	@$(RUN) crds/generate.py
	@$(RUN) -m batchedllm_engine.middleware --reference > docs/admission-reference.md
	@$(RUN) helm/generate.py --helm "$(HELM)"
	@$(RUN) engine_image/generate.py

lint: venv ## formatting, lint, types, import contracts, and that generated files are current
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy --no-error-summary
	@PYTHONPATH=operator:engine_image $(VENV)/bin/lint-imports --no-logo | tail -n 20
	@$(RUN) crds/generate.py --check
	@$(RUN) helm/generate.py --check --helm "$(HELM)"
	@$(RUN) engine_image/generate.py --check

unit: venv ## tests that need no cluster
	@$(VENV)/bin/pytest tests -m 'not cluster and not engine and not chart' -q

# Most tests of a cluster wait for it rather than compute, so three run at once even on two cores. Those that start a
# real vLLM are one group (xdist_group), which one worker runs: two engines would starve each other. What measures time
# itself, or works on the whole cluster, is marked `alone` and runs afterwards, by itself. The longest come first.
# Images are loaded before, so that no test's time limit has to allow for a build.
TEST_WORKERS ?= 3
# `make coverage` has run them already, under coverage.
SCALING_TESTS := tests/unit/core/scaling
ALL_TESTS := tests/engine tests/cluster tests/chart tests/properties tests/unit

coverage: venv ## that the unit tests of scaling take every branch of it
	@$(VENV)/bin/coverage run -m pytest $(SCALING_TESTS) -q
	@$(VENV)/bin/coverage report

mutation: venv ## what these tests notice of changes to scaling: nightly, a quarter of an hour; MODULES="capacity limits" for some
	@nice -n 15 $(VENV)/bin/python tests/bench/mutation.py $(MODULES)

checked: lint coverage

prepared: venv
	@$(RUN) -m testbed up
	@test -n "$${KUBECONFIG:-}" || $(RUN) -m testbed load-image operator engine-sim engine-cpu

test: venv ## everything CI runs; brings its own cluster (the first time some 25 minutes, most of it builds)
	@$(MAKE) --no-print-directory -j 2 checked prepared
	@$(VENV)/bin/pytest $(ALL_TESTS) --ignore=$(SCALING_TESTS) -m 'not alone' -n $(TEST_WORKERS) --dist loadgroup -q --durations=20
	@$(VENV)/bin/pytest tests/chart tests/cluster -m alone -q --durations=5

test-faults: venv ## of these only: the operator killed, doubled, cut off and misled
	@$(RUN) -m testbed up
	@$(VENV)/bin/pytest tests/cluster/test_operator_faults.py -q --durations=10

test-restarts: venv ## 50 rolling restarts under load that lose no accepted request; RESTARTS=5 for fewer, ENGINE=cpu for a real vLLM
	@$(RUN) -m testbed up
	@RESTARTS=$(or $(RESTARTS),50) $(VENV)/bin/pytest tests/engine/test_admission.py -q -s -k "restarts and $(or $(ENGINE),sim)" --timeout 14400

cluster: venv ## start the testbed's cluster, or repair it
	@$(RUN) -m testbed up

cluster-down: venv ## remove the cluster and all that it left
	@$(RUN) -m testbed down

cluster-clean: venv ## remove the cluster and its cached images too
	@$(RUN) -m testbed down --images

demo: venv ## a model on a real cluster under a real burst; ENGINE=vllm for a real vLLM on the CPU
	@$(RUN) -m testbed up
	@$(RUN) -m demo --engine $(or $(ENGINE),sim)

demo-down: cluster-down ## remove the demo and its cluster

bench: venv ## the numbers of docs/performance.md: some 12 minutes, best on an idle machine; INDEX=1 for another cluster
	@PYTHONPATH=tests:operator:engine_image $(VENV)/bin/python -m bench.operator_numbers --index $(or $(INDEX),0)
	@PYTHONPATH=operator:tests $(VENV)/bin/python tests/bench/decide_time.py
	@PYTHONPATH=operator $(VENV)/bin/python tests/bench/engine_accuracy.py
	@PYTHONPATH=operator:engine_image $(VENV)/bin/python tests/bench/engine_simulation.py

judge: venv ## the tables of docs/scaling.md: TRACES=folder [PROCESSES=2]; long the first time, then only what has changed
	@PYTHONPATH=$$($(VENV)/bin/python tests/bench/compiled.py):tests $(VENV)/bin/python -m bench.scaling_judge --traces "$(TRACES)" --processes $(or $(PROCESSES),1) --write

agreement: venv ## the same burst on a cluster and in the simulator, for docs/scaling.md: 5 minutes; INDEX=1 for another cluster
	@PYTHONPATH=tests:operator:engine_image $(VENV)/bin/python -m bench.scaling_agreement --index $(or $(INDEX),0) --write

images: venv ## build the project's images into archives (docker, or buildah where there is none)
	@$(RUN) -m testbed build-image operator engine-sim engine-cpu

IMAGES ?= operator engine-gpu
push: venv ## build images and push them: REGISTRY=registry.example.com/team [IMAGES="operator engine-gpu"] [PLAIN_HTTP=1]
	@$(RUN) -m testbed push $(IMAGES) --registry "$(REGISTRY)" $(if $(PLAIN_HTTP),--plain-http)
	@echo "Install with: helm upgrade --install batchedllm helm/batchedllm -n batchedllm-system --create-namespace" \
	  "--set image.repository=$(REGISTRY)/operator --set engine.image.repository=$(REGISTRY)/engine"
