# Recipes. `make check` is what continuous integration runs, and what a change must pass.

CARGO ?= cargo
# Where cargo puts what it builds, and how the short run of real faults is asked for: without root most of them cannot run.
BUILT ?= $(or $(CARGO_TARGET_DIR),target)
FAULTS ?= $(if $(filter 0,$(shell id -u)),,--allow-missing)
# The tests call a real image tool on real photographs; see `prepare`.
PHOTOGRAPHS ?= /usr/share/backgrounds/mate/nature

.PHONY: check fmt lint test docs prepare serve bench sim faults faults-quick

check: prepare fmt lint test faults-quick docs ## Everything a change must pass.

fmt: ## Formatting is rustfmt's.
	$(CARGO) fmt --all --check

lint: ## No warnings, in tests and examples either.
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

test: prepare ## Every test, documentation examples included.
	TIDEGATE_PHOTOGRAPHS=$(PHOTOGRAPHS) $(CARGO) test --workspace --locked

faults-quick: test ## Every real fault once, on what the tests were built with.
	$(BUILT)/debug/tidegate-faults --server $(BUILT)/debug/tidegate $(FAULTS)

docs: ## The reference builds without a broken link.
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

prepare: ## Installs, on Debian and its kin, what the tests call: photographs, an image tool, a mail server, a browser, tools for faults.
	@PATH=$$PATH:/usr/sbin:/sbin; export PATH; \
	if command -v gm >/dev/null && command -v strace >/dev/null && command -v faketime >/dev/null && \
	  command -v mkfs.ext4 >/dev/null && command -v losetup >/dev/null && command -v chromium >/dev/null && command -v chromedriver >/dev/null && \
	  [ -n "$$(ls $(PHOTOGRAPHS)/*.jpg 2>/dev/null)" ] && \
	  { /usr/bin/python3 -c 'import aiosmtpd' || python3 -c 'import aiosmtpd'; } 2>/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	  echo "The tests need a folder of JPEG photographs, GraphicsMagick (gm), Python with aiosmtpd,"; \
	  echo "Chromium with chromedriver, strace, faketime, e2fsprogs and util-linux. Install them, and run: make check PHOTOGRAPHS=/path/to/photographs"; exit 1; \
	fi; \
	SUDO=; [ "$$(id -u)" = 0 ] || SUDO=sudo; \
	$$SUDO apt-get update -qq && \
	$$SUDO apt-get install -y -qq --no-install-recommends graphicsmagick mate-backgrounds python3-aiosmtpd \
	  chromium chromium-driver gcc libc6-dev strace faketime e2fsprogs util-linux mount

serve: ## The server, on loopback:7420, with its data in ./tidegate-data.
	$(CARGO) run --release --locked -p tidegate-cli -- serve

bench: ## Every workload against a server of its own.
	$(CARGO) run --release --locked -p tidegate-cli -- bench

sim: ## Three hundred simulated worlds, SEED=n begins with another one; and every deliberate bug is found.
	$(CARGO) run --release --locked -p tidegate-sim -- --seed $(or $(SEED),1) --seeds $(or $(SEEDS),300)
	$(CARGO) test --release --locked -p tidegate-sim --features sabotage --test sabotage -- --nocapture

faults: ## Real faults at length, SEED=n draws others, ROUNDS=n kills more often; and deliberate bugs are found.
	$(CARGO) build --release --locked -p tidegate-cli -p tidegate-faults
	$(BUILT)/release/tidegate-faults --seed $(or $(SEED),1) --rounds $(or $(ROUNDS),300) $(FAULTS)
	$(CARGO) test --release --locked -p tidegate-faults --features sabotage --test sabotage -- --nocapture
