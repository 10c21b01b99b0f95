# `make` shows what there is. CI only ever calls these targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXAMPLE ?= examples/flights
ROOMS := protos services/chassis services/catalog services/training services/cli services/gateway services/features services/inference \
	services/retrieval services/monitoring services/control
PYPROJECTS := $(addsuffix /pyproject.toml,$(ROOMS))
EDITABLE := $(addprefix -e ./,$(ROOMS))
UV_PIN := $(shell sed -n 's/^uv==/uv==/p' constraints.txt)
# On a terminal uv shows its progress; in a log it would list each package.
QUIET := $(shell test -t 2 || echo --quiet)
# Every install goes through this: nothing is taken at a version that no file names, build tools included.
INSTALL := $(BIN)/uv pip install $(QUIET) --constraints constraints.txt --build-constraints constraints.txt

# uv does not read pip's settings: hand on where wheels are kept on this machine.
ifneq ($(PIP_FIND_LINKS),)
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
ifneq ($(PIP_INDEX_URL),)
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
export UV_HTTP_TIMEOUT ?= 180

.PHONY: images images-check sboms e2e help setup up down status test check train train-check charts-check crds bench bench-features bench-predict chaos-edge demo-drift protos fmt lint types imports lock-check clean FORCE

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed .venv-triton/.installed ## what `make up` and `make test` need, into .venv and .venv-triton

# A folder that is already a venv is kept: the stamp alone says whether its content is the wanted one.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 12) else "Mizzen needs Python 3.11 or 3.12, and $(PYTHON) is %d.%d: try make setup PYTHON=python3.11" % v)'
	@echo "[1/3] $(VENV): an environment of $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make environments: on Debian and Ubuntu, apt-get install -y python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(UV_PIN)

$(VENV)/.installed: $(PYPROJECTS) constraints.txt requirements-dev.txt | $(BIN)/uv
	@echo "[2/3] $(VENV): the rooms and what their tests need"
	@$(INSTALL) --python $(BIN)/python $(EDITABLE) -r requirements-dev.txt
	@touch $@

.venv-triton/.installed: services/inference/requirements-triton.txt | $(BIN)/uv
	@echo "[3/3] .venv-triton: tritonserver, apart because it cannot share an environment with numpy 2"
	@test -x .venv-triton/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-triton
	@$(BIN)/uv pip install $(QUIET) --python .venv-triton/bin/python --no-deps -r services/inference/requirements-triton.txt
	@touch $@

up: setup ## start everything, predict a flight's delay, answer from the documents
	@$(BIN)/mizzen up --detach -f $(EXAMPLE)

down: ## drain everything and leave nothing running
	@if test -x $(BIN)/mizzen; then $(BIN)/mizzen down; else echo "nothing was set up"; fi

status: setup ## what runs
	@$(BIN)/mizzen status

test: setup ## unit, contract, integration on the real engines, end to end
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: lint types imports protos-check lock-check charts-check test train-check ## what CI runs: everything

lint: setup ## ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

fmt: setup ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

types: setup ## mypy, strict
	@$(BIN)/mypy $(foreach room,$(filter-out protos,$(ROOMS)),$(room)/src) bench docs/relink.py $(EXAMPLE) tests

imports: setup ## the architecture of .importlinter
	@$(BIN)/lint-imports --no-cache

protos: setup ## generate protos/python anew
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python protos/generate.py

protos-check: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python protos/check.py

lock-check: setup ## nothing is installed at a version that no file names
	@$(BIN)/python -m pytest -q tests/architecture/test_pins.py

.venv-checkov/.installed: charts/requirements-checkov.txt | $(BIN)/uv
	@echo "[charts] .venv-checkov: checkov, whose own pins are older than ours"
	@test -x .venv-checkov/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-checkov
	@$(BIN)/uv pip install $(QUIET) --python .venv-checkov/bin/python --no-deps -r charts/requirements-checkov.txt
	@touch $@

charts-check: setup .venv-checkov/.installed ## checkov on every preset of the chart; charts/checkov.yaml has a reason for each skip
	@$(BIN)/python -m tests.charts.look_with_checkov .venv-checkov/bin/checkov

.venv-train/.installed: $(PYPROJECTS) constraints.txt constraints-train.txt requirements-train.txt | $(BIN)/uv
	@echo "[train] .venv-train: torch, for training only"
	@test -x .venv-train/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-train
	@$(INSTALL) --constraints constraints-train.txt --python .venv-train/bin/python $(EDITABLE) -r requirements-train.txt pytest
	@touch $@

train: setup .venv-train/.installed ## train the flights model anew and write its package
	@$(BIN)/mizzen train -f $(EXAMPLE) --python .venv-train/bin/python

train-check: setup .venv-train/.installed ## train anew, and compare with the committed package
	@.venv-train/bin/python -m pytest -q -c /dev/null -p no:cacheprovider -W error $(EXAMPLE)
	@.venv-train/bin/python $(EXAMPLE)/train.py --check --root $${MIZZEN_STATE:-.mizzen}/volumes/offline

e2e: setup images ## eleven steps on the cluster of KUBECONFIG; tests/e2e/README.md has its variables
	@E2E_TAG=$(TAG) $(BIN)/python -m tests.e2e $(E2E_ARGS)

crds: setup ## generate k8s/crds and what the chart is made with anew
	@$(BIN)/python -m catalog.crds k8s/crds
	@$(BIN)/python charts/generate.py

.venv-feast/.installed: bench/requirements-feast.txt | $(BIN)/uv
	@echo "[bench] .venv-feast: Feast, which Mizzen is compared with"
	@test -x .venv-feast/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-feast
	@$(BIN)/uv pip install $(QUIET) --python .venv-feast/bin/python --no-deps -r bench/requirements-feast.txt
	@.venv-feast/bin/python -c 'import feast, grpc, pandas'
	@touch $@

bench: bench-features bench-predict ## every benchmark, against its peers

.venv-kserve/.installed: bench/requirements-kserve.txt constraints.txt | $(BIN)/uv
	@echo "[bench] .venv-kserve: KServe, which Mizzen is compared with"
	@test -x .venv-kserve/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-kserve
	@$(INSTALL) --python .venv-kserve/bin/python -r bench/requirements-kserve.txt
	@$(BIN)/uv pip check $(QUIET) --python .venv-kserve/bin/python
	@.venv-kserve/bin/python -c 'import httpx, kserve, numpy'
	@touch $@

bench-features: setup .venv-feast/.installed ## online features against Feast
	@$(BIN)/python -m bench.features --json bench/results/features.json

bench-predict: setup .venv-feast/.installed .venv-kserve/.installed ## predict against KServe with Feast, and the gateway's own cost
	@$(BIN)/python -m bench.predict --json bench/results/predict.json
	@$(BIN)/python -m bench.gateway_own_cost

chaos-edge: setup ## the edge under load and attack: figures into docs/promises.md (EDGE_ARGS="--only NAME" for one probe)
	@$(BIN)/python -m bench.edge $(EDGE_ARGS)

demo-drift: up ## replay the year through the API: drift and quality as time goes by
	@$(BIN)/python $(EXAMPLE)/drift.py $(DRIFT_ARGS)

# Images: `make images BASE=… TAG=…`. One after another: each is small, and what they share is built once.
BASE ?= python:3.11-slim-bookworm
TAG ?= dev
DOCKER ?= $(or $(wildcard /usr/bin/docker),docker)
IMAGES := gateway features retrieval monitoring control triton-cpu jobs valkey postgresql
REVISION := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
DOCKER_BUILD = DOCKER_BUILDKIT=1 $(DOCKER) build --network=host $(if $(V),,--quiet) --build-arg BASE=$(BASE) \
	--build-arg BASE_IMAGE=mizzen/base:$(TAG) --build-arg VERSION=$(TAG) --build-arg REVISION=$(REVISION)
DOCKERFILE = $(or $(wildcard services/$(1)/Dockerfile),$(wildcard k8s/images/$(1).Dockerfile),$(if $(filter triton-cpu,$(1)),services/inference/Dockerfile))

images: $(addprefix image-,$(IMAGES)) ## every image: make images BASE=python:3.11-slim-bookworm TAG=dev
	@$(DOCKER) images --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep '^mizzen/.*:$(TAG) ' | sort

# uv and wheels that no index has reach the builder through the context.
build/images: $(BIN)/uv FORCE
	@mkdir -p $@/wheels
	@cmp -s $(BIN)/uv $@/uv || cp $(BIN)/uv $@/uv
	@for wheel in $(foreach place,$(PIP_FIND_LINKS),$(wildcard $(place)/torch-*.whl)); do \
		test -e $@/wheels/$$(basename $$wheel) || cp $$wheel $@/wheels/; done

image-base: build/images
	@echo "mizzen/base:$(TAG)"
	@$(DOCKER_BUILD) -f Dockerfile.base -t mizzen/base:$(TAG) . > /dev/null

image-%: image-base
	@echo "mizzen/$*:$(TAG)"
	@$(DOCKER_BUILD) -f $(call DOCKERFILE,$*) -t mizzen/$*:$(TAG) . > /dev/null

images-check: ## start every image read-only and without rights, and ask it for a sign of life
	@$(PYTHON) k8s/images/check.py $(TAG)

sboms: ## the CycloneDX SBOM of every image, into build/sboms
	@mkdir -p build/sboms
	@for image in base $(IMAGES); do \
		$(DOCKER) run --rm --network=none --entrypoint cat mizzen/$$image:$(TAG) /opt/mizzen/sbom.json > build/sboms/$$image.json || exit 1; \
		echo build/sboms/$$image.json; done

clean: ## remove environments, state and caches
	@if test -x $(BIN)/mizzen; then $(BIN)/mizzen down --delete-state; fi
	@rm -rf $(VENV) .venv-triton .venv-train .venv-checkov .venv-feast .venv-kserve build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
