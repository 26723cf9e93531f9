# Recipes. `make check` is what continuous integration runs, and what a change must pass.

CARGO ?= cargo
# The tests call a real image tool on real photographs; see `prepare`.
PHOTOGRAPHS ?= /usr/share/backgrounds/mate/nature

# Seconds for each fuzzer, and examples for each call of the contract.
FUZZ_SECONDS ?= 60
CONTRACT_EXAMPLES ?= 100
CONTRACT_SEED ?= 1
# Where the contract's check has its own Python packages.
CONTRACT_PYTHON = $(or $(CARGO_TARGET_DIR),target)/contract

.PHONY: check fmt lint test docs prepare serve bench sim fuzz fuzz-corpus fuzz-short contract contract-short

check: prepare fmt lint test docs contract-short ## Everything a change must pass.

fmt: ## Formatting is rustfmt's.
	$(CARGO) fmt --all --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml

lint: ## No warnings, in tests and examples either.
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

test: prepare ## Every test, documentation examples included.
	TIDEGATE_PHOTOGRAPHS=$(PHOTOGRAPHS) $(CARGO) test --workspace --locked

docs: ## The reference builds without a broken link.
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

prepare: ## Installs, on Debian and its kin, what the tests call: photographs, an image tool, a mail server, a browser.
	@if command -v gm >/dev/null && command -v chromium >/dev/null && command -v chromedriver >/dev/null && \
	  [ -n "$$(ls $(PHOTOGRAPHS)/*.jpg 2>/dev/null)" ] && \
	  command -v c++ >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null && \
	  { /usr/bin/python3 -c 'import aiosmtpd' || python3 -c 'import aiosmtpd'; } 2>/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	  echo "The tests need a folder of JPEG photographs, GraphicsMagick (gm), Python with aiosmtpd,"; \
	  echo "Chromium with chromedriver, a C++ compiler, and Python's venv. Install them, and run: make check PHOTOGRAPHS=/path/to/photographs"; exit 1; \
	fi; \
	SUDO=; [ "$$(id -u)" = 0 ] || SUDO=sudo; \
	$$SUDO apt-get update -qq && \
	$$SUDO apt-get install -y -qq --no-install-recommends graphicsmagick mate-backgrounds python3-aiosmtpd \
	  chromium chromium-driver gcc g++ libc6-dev python3-venv

serve: ## The server, on loopback:7420, with its data in ./tidegate-data.
	$(CARGO) run --release --locked -p tidegate-cli -- serve

bench: ## Every workload against a server of its own.
	$(CARGO) run --release --locked -p tidegate-cli -- bench

sim: ## Three hundred simulated worlds, SEED=n begins with another one; and every deliberate bug is found.
	$(CARGO) run --release --locked -p tidegate-sim -- --seed $(or $(SEED),1) --seeds $(or $(SEEDS),300)
	$(CARGO) test --release --locked -p tidegate-sim --features sabotage --test sabotage -- --nocapture

fuzz: ## Every fuzzer for FUZZ_SECONDS, after its corpus.
	fuzz/run.sh $(FUZZ_SECONDS)

fuzz-short: ## Every corpus, and a few seconds for each fuzzer.
	fuzz/run.sh 8

fuzz-corpus: ## Writes the seeds anew, and adds what fuzzing has found since.
	fuzz/run.sh merge

contract: $(CONTRACT_PYTHON)/ready ## A real server against the OpenAPI document that it serves, CONTRACT_EXAMPLES for each call.
	$(CARGO) build --locked -p tidegate-cli
	$(CONTRACT_PYTHON)/bin/python contract/check.py $(dir $(CONTRACT_PYTHON))debug/tidegate $(CONTRACT_EXAMPLES) $(CONTRACT_SEED)

contract-short: ## The same with few examples.
	$(MAKE) contract CONTRACT_EXAMPLES=5

$(CONTRACT_PYTHON)/ready: contract/requirements.txt
	python3 -m venv $(CONTRACT_PYTHON)
	$(CONTRACT_PYTHON)/bin/pip install --quiet --disable-pip-version-check --requirement contract/requirements.txt
	touch $@
