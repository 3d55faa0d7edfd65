# Every verb makes the environment that it needs: .venv, from the hash-pinned lock files.
.PHONY: help demo test test-integration lint format compile locks bench bench-peers bench-data bench-faults images clean
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
ENGINE := $(or $(shell command -v podman),$(shell command -v docker))
IMAGE_NAME = $(BIN)/python -c "from rfdetr_pipelines.components.images import *; print($(1))"
UV_COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

help:
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(READY) ## train and evaluate a small detector on the CPU, through the real pipeline (about 4 minutes)
	$(BIN)/rfdetr-pipelines demo

test: $(READY) ## run the tests (no GPU, no cluster)
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

test-integration: $(READY) ## run the store and fault tests against Ceph's S3 gateway, from Debian's packages
	$(BIN)/pytest -n 0 -m integration tests/integration

lint: $(READY) ## check style, types and generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check

format: $(READY) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

compile: $(READY) ## write the generated files: the compiled pipeline and the parts of the documentation
	env -u RFDETR_PIPELINES_CPU_IMAGE -u RFDETR_PIPELINES_GPU_IMAGE $(BIN)/rfdetr-pipelines compile
	$(BIN)/python docs/generate.py

locks: $(READY) ## resolve the dependencies of pyproject.toml anew
	$(UV_COMPILE) --all-extras pyproject.toml -o requirements.lock
	printf 'setuptools\nuv\n' | $(UV_COMPILE) -c requirements.lock -o requirements-build.lock -
	$(UV_COMPILE) --extra pipelines -c requirements.lock pyproject.toml -o images/cpu/requirements.lock
	$(UV_COMPILE) --extra train --extra pipelines -c requirements.lock pyproject.toml -o images/gpu/requirements.lock

bench: $(READY) ## run the benchmarks, ours and the peer side by side
	$(BIN)/python benchmarks/detect.py
	$(BIN)/python benchmarks/checkpoint_stall.py
	$(BIN)/python benchmarks/checkpoint_overhead.py
	$(BIN)/python benchmarks/goodput_trace.py
	$(BIN)/python benchmarks/restart.py
	$(BIN)/python benchmarks/transfer.py

bench-peers: $(READY) ## install what the dataset benchmarks compare with into .venv-peers
	$(PYTHON) -m venv .venv-peers
	$(BIN)/uv pip install --quiet --python .venv-peers/bin/python --require-hashes -r benchmarks/peers/requirements.lock
	realpath $(BIN)/../lib/python3*/site-packages > "$$(echo .venv-peers/lib/python3*/site-packages)/torch-of-venv.pth"

bench-data: $(READY) ## run the dataset benchmarks; SCALE=20k or 118k (as COCO)
	for name in coco_to_yolo yolo_to_coco detection inspection; do \
		$(BIN)/python benchmarks/datasets/$$name.py $(if $(SCALE),--scale $(SCALE)) || exit; done
	$(BIN)/python benchmarks/datasets/bytes_moved.py
	$(BIN)/python benchmarks/staging.py

bench-faults: $(READY) ## kill trainings at random moments, KILLS=50 times, and count wrong results
	$(BIN)/python benchmarks/faults.py $(or $(KILLS),50) $(or $(SEED),0)

images: $(READY) ## build the cpu and the gpu image with podman or docker; BUILD_ARGS adds options
	@test -n "$(ENGINE)" || { echo "Neither podman nor docker is on the PATH."; exit 1; }
	$(ENGINE) build $(BUILD_ARGS) --build-arg IMAGE=cpu -f images/Dockerfile -t "$$($(call IMAGE_NAME,CPU_IMAGE))" .
	$(ENGINE) build $(BUILD_ARGS) --build-arg IMAGE=gpu -f images/Dockerfile -t "$$($(call IMAGE_NAME,GPU_IMAGE))" .

clean: ## remove the environment and what the demo made
	rm -rf .venv .venv-peers .demo

$(READY): pyproject.toml requirements.lock requirements-build.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is $$($(PYTHON) --version); Python 3.11 or newer is wanted. Run: make PYTHON=python3.11 …"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-build.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
