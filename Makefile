# `make help` tells what there is.
.DEFAULT_GOAL := help
.PHONY: help setup build test lint

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: ## bring libtorch (once; checksums pinned)
	@deploy/setup/libtorch.sh

build: setup ## the release binary
	cargo build --release --locked

lint: setup ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings

test: setup ## every test
	@if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --locked --all-targets; else cargo test --locked --all-targets; fi
