# `make help` tells what there is.
.DEFAULT_GOAL := help
.PHONY: help setup build demo clean-demo test lint fuzz supply-chain advisories sbom chaos chaos-memory chaos-disk rules dashboard-picture bench instructions soak bench-claim bench-completion bench-store bench-gazetteer clean-bench

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 20

demo: build ## see it work, from nothing, on a private PostgreSQL
	@python3 deploy/demo/demo.py

clean-demo: ## remove what the demo made
	@[ ! -d .demo/postgres ] || deploy/setup/postgres.sh remove .demo/postgres
	@rm -rf .demo

setup: ## bring libtorch (checksums pinned) and, if there is none, PostgreSQL's server
	@deploy/setup/libtorch.sh
	@deploy/setup/postgres.sh ensure

build: setup ## the release binary
	cargo build --release --locked

# In the profile of the tests, so that what is compiled from C and C++ is compiled once.
lint: setup ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --release --locked --all-targets -- -D warnings

# Optimised: the kernels of the int8 network take minutes a text without inlining.
test: setup rules ## every test, on a real PostgreSQL, the real model and a real browser (NERD_WITHOUT_CHROMIUM=1: without that)
	@deploy/setup/chromium.sh ensure
	cargo build --release --locked --bins --examples
	@if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --release --locked --lib --bins --tests; else cargo test --release --locked --lib --bins --tests --no-fail-fast; fi

# CHAOS_SEED in the environment of `make test` gives its short form a seed too.
chaos: setup ## kill, cut, stop and fill up everything for long, count what was lost: MINUTES=10 ARTICLES=20000 PROCESSES=3 SEED=n
	cargo build --release --locked --bin nerd --example faulty_nerd
	CHAOS_MINUTES=$(or $(MINUTES),10) CHAOS_ARTICLES=$(or $(ARTICLES),20000) CHAOS_PROCESSES=$(or $(PROCESSES),3) CHAOS_SEED=$(SEED) cargo test --release --locked --test chaos every_article -- --nocapture

chaos-memory: setup ## a real control group, its limit approached and exceeded; needs the rights to make one
	cargo test --release --locked --test control_group -- --ignored --nocapture --test-threads 1

chaos-disk: setup ## a disk that is really full under the tables; needs the rights to mount one
	cargo test --release --locked --test full_disk -- --ignored --nocapture

# What the fuzzer finds goes to target/fuzz/; an input worth keeping is copied to tests/fuzz/corpus/TARGET/, which `make test` replays.
# The lock file is the daemon's. cargo-fuzz sets flags of its own in place of .cargo/config.toml's, so libtorch is named here.
fuzz: setup ## look for input that does harm, by cargo-fuzz: TARGET=window MINUTES=5 (targets: tests/fuzz/fuzz_targets/)
	@cargo fuzz --version >/dev/null 2>&1 || { echo "make fuzz needs cargo-fuzz: cargo install cargo-fuzz --locked" >&2; exit 1; }
	@[ -f "tests/fuzz/fuzz_targets/$(TARGET).rs" ] || { echo "TARGET is one of: $(notdir $(basename $(wildcard tests/fuzz/fuzz_targets/*.rs)))" >&2; exit 1; }
	@cp Cargo.lock tests/fuzz/Cargo.lock && mkdir -p target/fuzz/corpus/$(TARGET)
	RUSTC_BOOTSTRAP=1 LD_LIBRARY_PATH="$(CURDIR)/.deps/libtorch/lib" cargo fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none $(TARGET) \
		target/fuzz/corpus/$(TARGET) tests/fuzz/corpus/$(TARGET) -- -max_total_time=$$(($(or $(MINUTES),5) * 60)) -max_len=4096 -timeout=20 -rss_limit_mb=4096

DENY = cargo deny --version >/dev/null 2>&1 || { echo "make $@ needs cargo-deny: cargo install cargo-deny --locked" >&2; exit 1; }; \
	cargo deny --locked --config deploy/supply-chain/deny.toml check

# tests/supply_chain.rs asks the same of this machine's crates without the tool.
supply-chain: ## licences, sources and duplicates of every crate, by cargo-deny
	@$(DENY) licenses bans sources

advisories: ## known faults in any crate, by cargo-deny; asks the network
	@$(DENY) advisories

sbom: setup ## what the daemon is made of (crates, libtorch, models), as CycloneDX, by cargo-cyclonedx: target/sbom/nerd.cdx.json
	@deploy/supply-chain/sbom.py target/sbom/nerd.cdx.json

rules: ## check the alerts and run their tests (brings promtool)
	@deploy/setup/prometheus.sh rules

# Node.js and npm are needed for this alone; what npm brings lies in target/picture/, and the files it wrote are to be looked at.
dashboard-picture: build ## draw dashboards/nerd.json by Grafana's own components, over a real daemon and Prometheus: MINUTES=10
	@python3 dashboards/picture/picture.py $(if $(MINUTES),--minutes $(MINUTES))

# With an empty value the program's own default holds.
bench: build ## measure against rivals and promises: DATA=corpus QUICK=1 ARTICLES=400 ROUNDS=5 ONLY=row; report in target/bench/
	cargo build --release --locked --examples
	@"$$(benches/peers/setup.sh)" benches/bench.py $(if $(DATA),--data "$(DATA)") $(if $(QUICK),--quick) $(if $(ARTICLES),--articles $(ARTICLES)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(foreach row,$(ONLY),--only $(row))

instructions: setup ## instructions of the pure parts under callgrind, against their bounds
	@cargo bench --locked --bench instructions

soak: build ## memory over articles on a private PostgreSQL, judged: MINUTES=10 or ARTICLES=100000, PROFILE=fast
	@"$$(benches/peers/setup.sh)" benches/soak.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ARTICLES),--articles $(ARTICLES)) $(if $(PROFILE),--profile $(PROFILE))

bench-claim: setup ## p50 and p99 of a claim, and its plan (ARTICLES=5000000 PENDING=1000000 LIMIT=500 CLAIMS=300)
	cargo bench --locked --bench claim

bench-completion: setup ## p50 and p99 of a completion, its write-ahead log (the same variables)
	cargo bench --locked --bench completion

bench-store: setup ## a claim and a completion by criterion, of 64 and of 500 articles (the same variables)
	cargo bench --locked --bench store

bench-gazetteer: setup ## indexing, memory and matching of gazetteers, and the same step in Python (SCOPES=300 ROWS=8500)
	@kept=0; cargo bench --locked --bench gazetteer || kept=$$?; "$$(benches/peers/setup.sh)" benches/peers/gazetteer_step.py && exit $$kept

clean-bench: ## remove the benchmarks' database
	@[ ! -d .bench/postgres ] || deploy/setup/postgres.sh remove .bench/postgres
	@rm -rf .bench
