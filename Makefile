# What one types: `make run` to see it work, `make test` before a change lands, `make help` for the rest.
# Recipes longer than a few lines are scripts in scripts/.

PREFIX ?= /usr/local
CONFDIR ?= /etc/redis
DESTDIR ?=
export PREFIX CONFDIR DESTDIR
FUZZ_SECONDS ?= 600

CARGO ?= cargo
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

# In the order of installation; programs that do not exist yet are not named.
BINARIES := $(notdir $(wildcard bins/*))
RELEASE_DIR := $(CARGO_TARGET_DIR)/release

.DEFAULT_GOAL := help

.PHONY: build
build: ## Build every binary, optimised, into target/release
# The makes of C libraries inside would install where we do.
	env -u MAKEFLAGS -u DESTDIR $(CARGO) build --release --locked $(BINARIES:%=-p %)

.PHONY: run
run: build ## Build, start a master and a replica on this host, show both; Ctrl-C stops both
	scripts/run.sh $(RELEASE_DIR)

.PHONY: test
test: ## Everything CI runs: tools, format, lints, all tests
	scripts/test.sh

.PHONY: install
install: ## Install binaries, units, installer, manual pages to PREFIX, templates of configs to CONFDIR
	@MAKE="$(MAKE)" scripts/build-if-stale.sh $(RELEASE_DIR) $(BINARIES)
	scripts/install.sh $(RELEASE_DIR) $(BINARIES)

.PHONY: uninstall
uninstall: ## Remove what `make install` installed; edited configs, instances and data stay
	scripts/uninstall.sh

.PHONY: deb
deb: build ## Make Debian packages in target/deb (needs dpkg-dev)
	scripts/deb.sh $(RELEASE_DIR) $(CARGO_TARGET_DIR)/deb $(BINARIES)

.PHONY: hosts
hosts: build ## Install on three hosts in containers and do there what operators do (root; systemd-container, debootstrap)
	scripts/hosts.sh $(RELEASE_DIR) $(BINARIES)

.PHONY: containers
containers: build ## Build the container image and do with it what people do (root; docker.io, docker-compose, debootstrap)
	scripts/containers.sh $(RELEASE_DIR) $(BINARIES)

.PHONY: bench
bench: build ## Measure against Debian's redis-server, side by side; prints ratios
	$(CARGO) build --release --locked -p tandem-benches
	TANDEM_BIN_DIR="$(abspath $(RELEASE_DIR))" $(RELEASE_DIR)/bench $(BENCH_ARGS)

SIM_SEEDS ?= 50000

.PHONY: sim
sim: ## Run SIM_SEEDS simulated clusters, from SIM_SEED on, on both processors
	scripts/sim.sh $(SIM_SEEDS)

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZ_SECONDS (needs cargo-fuzz)
	scripts/fuzz.sh $(FUZZ_SECONDS)

MUTANTS ?= 0/9

.PHONY: mutants
mutants: ## Break repl and node in many ways, a sample K/N of all; list what no test notices (needs cargo-mutants)
	scripts/mutants.sh $(MUTANTS)

.PHONY: asan
asan: ## Run the tests of store, persist and engine under AddressSanitizer
	scripts/asan.sh

.PHONY: conformance
conformance: build ## Run Redis's own Tcl suite (Debian's source package) against our server, then over TLS
	scripts/conformance.sh $(RELEASE_DIR) $(UNITS)
	CONFORMANCE_TLS=1 scripts/conformance.sh $(RELEASE_DIR) $(UNITS)

.PHONY: alerts
alerts: ## Check the alert rules and run their tests (promtool, fetched from Debian where it is missing)
	scripts/alerts.sh

COUNT ?= 5000000
SEED ?= 1
PEER ?=

.PHONY: differential
differential: ## Send COUNT random commands from SEED on to Tandem and to redis-server (or PEER), compare replies and data
	$(CARGO) build --locked --workspace --bins --profile test
	TANDEM_BIN_DIR="$(abspath $(CARGO_TARGET_DIR)/debug)" DIFFERENTIAL_COUNT=$(COUNT) DIFFERENTIAL_SEED=$(SEED) \
		$(if $(PEER),TANDEM_PEER_SERVER="$(abspath $(PEER))") $(CARGO) test --locked -p tandem-tests --test differential -- --nocapture

.PHONY: clients
clients: build ## Run jobs of RQ, Celery and BullMQ and sessions of connect-redis through a failover (pip, npm)
	scripts/clients.sh $(RELEASE_DIR)

.PHONY: deny
deny: ## Check licences and advisories of the dependencies (needs cargo-deny)
	$(CARGO) deny --all-features check

.PHONY: fmt
fmt: ## Format the sources
	$(CARGO) fmt --all

.PHONY: lint
lint: ## Check format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

.PHONY: clean
clean: ## Remove what was built; the data of `make run` stays
	$(CARGO) clean

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
