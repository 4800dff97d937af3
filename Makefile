# 好店. `make run` starts everything, `make test` checks everything; both install what is missing first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test test-pg18 setup build sqlx doctor audit clean-data

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## install what is missing, build, start everything with the demo, and print the addresses
	@exec target/release/haodian up

test: ## formatting, lints, Rust tests on a private PostgreSQL and Redis, page and browser tests
	@exec scripts/test

test-pg18: ## all Rust tests on PostgreSQL 18, which is fetched when it is missing
	@exec scripts/test --postgres18

setup: ## install what is missing: packages, Node, ONNX Runtime and models, pages
	@scripts/setup

build: setup ## the release binary, target/release/haodian
	@. scripts/lib.sh; require_rust; step "building haodian (release)" cargo build --locked --release -p api --bin haodian

sqlx: ## refresh .sqlx after a change of a query or a migration
	@scripts/sqlx

doctor: ## say what this machine lacks, and the line that repairs it
	@bin=$$(ls -t target/release/haodian target/debug/haodian 2>/dev/null | head -1); \
	if [ -z "$$bin" ]; then $(MAKE) --no-print-directory build && bin=target/release/haodian; fi && exec $$bin doctor

audit: ## licences, advisories and banned crates (needs cargo-deny)
	@cargo deny --version >/dev/null 2>&1 || { echo "haodian: cargo-deny is missing; run: cargo install --locked cargo-deny"; exit 1; }
	@cargo deny check

clean-data: ## remove the demo's database, keys, files and logs
	@scripts/clean-data
