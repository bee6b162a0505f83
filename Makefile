# Every target does the set-up that it needs: `make demo` and `make test` work on a fresh clone.
.DEFAULT_GOAL := help
SHELL := /bin/bash -euo pipefail
PYTHON ?= $(shell .ci/python)
MINUTES ?= 30
export EDGEWISE_NODE_MODULES ?= $(CURDIR)/.venv/npm
BIN := .venv/bin
RUST := Cargo.toml Cargo.lock $(shell find core/Cargo.toml core/src binding -name '*.rs' -o -name Cargo.toml)

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

setup: .venv/.dev ## .venv with the built core, the package and the development tools

demo: .venv/.built ## the demo model answers a prompt, with its speeds
	$(BIN)/edgewise run demo -p "What is a language model?"

test: .venv/.dev .venv/.clients ## Rust and Python tests
	cargo test --workspace --quiet
	$(BIN)/pytest

test-long: .venv/.dev .venv/.clients ## the tests that take minutes, and those of the llama.cpp backend, too
	$(BIN)/pip install --quiet xllamacpp
	cargo test --workspace --quiet -- --include-ignored
	$(BIN)/pytest -m ''

lint: .venv/.dev ## ruff, mypy, stub check, clippy, rustfmt; warnings are errors
	$(BIN)/ruff check && $(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=python $(BIN)/python -m mypy.stubtest edgewise._core
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo fmt --all --check

format: .venv/.dev ## rewrite the sources the way lint wants them
	$(BIN)/ruff check --fix-only && $(BIN)/ruff format
	cargo fmt --all

bench: .venv/.dev $(if $(PEERS),,.venv/.peer) ## every target beside llama.cpp, recorded in docs/benchmarks.md; half an hour
	$(BIN)/python benchmarks/bench.py --record docs/benchmarks.md $(PEERS:%=--peer %)

fuzz: ## 60 seconds of each fuzz target
	scripts/fuzz

wheel: .venv/.wheel-tools ## manylinux wheel for this architecture, checked, in dist/
	scripts/wheel

arm-setup: ## the Debian packages for the Arm targets below
	scripts/arm-setup

wheel-arm: .venv/.wheel-tools ## aarch64 wheel, cross-built, installed and run under qemu
	scripts/wheel-arm

test-arm: ## the Arm kernels under qemu
	scripts/test-arm

test-asan: ## the core's tests under the address sanitizer
	scripts/test-asan

endurance: .venv/.dev ## generate for MINUTES (30) minutes; fails if memory grows
	$(BIN)/python benchmarks/endurance.py --minutes $(MINUTES)

count-arm: ## instructions per weight and token of the Arm kernels, and of llama.cpp's
	scripts/count-arm
	scripts/count-arm-llamacpp

server-load: .venv/.dev ## 64 clients, well-behaved and not, for five minutes; fails if anything of the server grows
	$(BIN)/python benchmarks/server_load.py

clean: ## remove everything that was built
	rm -rf .venv build dist target python/edgewise/_core*.so

# Stamps: a target is remade only when what it was made from has changed.
.venv/.tools:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet 'maturin>=1.9,<2'
	touch $@

# zig links against an old C library; auditwheel checks that nothing newer is asked for.
.venv/.wheel-tools: .venv/.tools
	$(BIN)/pip install --quiet 'ziglang>=0.14' 'auditwheel>=6'
	touch $@

.venv/.built: .venv/.tools pyproject.toml $(RUST)
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --release --quiet
	touch $@

.venv/.dev: .venv/.built pyproject.toml
	[ $@ -nt pyproject.toml ] || VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --release --quiet --extras dev
	touch $@

# Clients of others, as acceptance tests of the server: pip's from pyproject.toml, npm's where there is npm.
.venv/.clients: .venv/.tools pyproject.toml
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --group clients
	! command -v npm >/dev/null || npm install --silent --no-audit --no-fund --ignore-scripts --prefix .venv/npm openai ollama
	touch $@

.venv/.peer: .venv/.tools
	CMAKE_ARGS=-DGGML_NATIVE=ON $(BIN)/pip install --quiet llama-cpp-python && touch $@ || echo "bench: no llama-cpp-python beside it"

.PHONY: help setup demo test test-long lint format bench fuzz wheel arm-setup wheel-arm test-arm count-arm test-asan endurance server-load clean
