# Recipes. `make check` is what continuous integration runs, and what a change must pass.

CARGO ?= cargo
# The tests call a real image tool on real photographs; see `prepare`.
PHOTOGRAPHS ?= /usr/share/backgrounds/mate/nature

.PHONY: check fmt lint test docs prepare serve bench sim peers peers-check

check: prepare fmt lint test docs ## Everything a change must pass.

fmt: ## Formatting is rustfmt's.
	$(CARGO) fmt --all --check

lint: ## No warnings, in tests and examples either.
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

test: prepare ## Every test, documentation examples included.
	TIDEGATE_PHOTOGRAPHS=$(PHOTOGRAPHS) $(CARGO) test --workspace --locked

docs: ## The reference builds without a broken link.
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

prepare: ## Installs, on Debian and its kin, what the tests call: photographs, an image tool, a mail server, a browser.
	@if command -v gm >/dev/null && command -v chromium >/dev/null && command -v chromedriver >/dev/null && \
	  [ -n "$$(ls $(PHOTOGRAPHS)/*.jpg 2>/dev/null)" ] && \
	  { /usr/bin/python3 -c 'import aiosmtpd' || python3 -c 'import aiosmtpd'; } 2>/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	  echo "The tests need a folder of JPEG photographs, GraphicsMagick (gm), Python with aiosmtpd,"; \
	  echo "and Chromium with chromedriver. Install them, and run: make check PHOTOGRAPHS=/path/to/photographs"; exit 1; \
	fi; \
	SUDO=; [ "$$(id -u)" = 0 ] || SUDO=sudo; \
	$$SUDO apt-get update -qq && \
	$$SUDO apt-get install -y -qq --no-install-recommends graphicsmagick mate-backgrounds python3-aiosmtpd \
	  chromium chromium-driver gcc libc6-dev

serve: ## The server, on loopback:7420, with its data in ./tidegate-data.
	$(CARGO) run --release --locked -p tidegate-cli -- serve

bench: ## Every workload against a server of its own.
	$(CARGO) run --release --locked -p tidegate-cli -- bench

sim: ## Three hundred simulated worlds, SEED=n begins with another one; and every deliberate bug is found.
	$(CARGO) run --release --locked -p tidegate-sim -- --seed $(or $(SEED),1) --seeds $(or $(SEEDS),300)
	$(CARGO) test --release --locked -p tidegate-sim --features sabotage --test sabotage -- --nocapture

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
	  --only lists,singles,life,latency,backlog --peers tidegate,redis-stream,redis-list,beanstalkd \
	  --tidegate target/debug/tidegate --data target/peers/data --markdown target/peers/smoke.md
