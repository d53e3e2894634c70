# Thin: each target is one line into scripts/. `make` prints this menu.
.PHONY: menu run test check fmt conformance simulate crash bench bench-peers bench-mqtt bench-grpc openapi long fuzz soak docc tsan asan dist deb deb-test testssl slowhttp

SEEDS ?= 200000
ROUNDS ?= 500
SECONDS ?= 600
SOAK_MINUTES ?= 30

menu: ## print this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*##/ { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: ## build a release (needs Swift), start in dev mode: make run PORT=9000 MQTT_PORT=1884 GRPC_PORT=9091, make run ARGS='--log-level debug'
	@scripts/run $(if $(PORT),--listen 127.0.0.1:$(PORT)) $(ARGS)

test: ## everything: unit, simulation, conformance, real processes and clients
	@scripts/test

check: ## format lint, the structure rules, whether Fuzz/ compiles
	@scripts/check

fmt: ## format all Swift code
	@scripts/fmt

conformance: ## Autobahn|Testsuite against /dev/echo (needs Python 2.7)
	@scripts/conformance

simulate: ## more random histories: make simulate SEEDS=200000
	@scripts/simulate $(SEEDS)

crash: ## a longer kill -9 run: make crash ROUNDS=500
	@scripts/crash $(ROUNDS)

bench: ## durable publishes, latency and memory of inboxes (docs/performance.md)
	@scripts/bench/run

bench-peers: ## Martlet beside nchan, about ten minutes: .build-bench/peers.md and .json
	@scripts/bench-peers

bench-mqtt: ## MQTT of Martlet beside mosquitto, about fifteen minutes: .build-bench/mqtt.md and .json
	@scripts/bench-mqtt

bench-grpc: ## gRPC beside WebSocket and SSE, about eight minutes: .build-bench/grpc.md and .json
	@scripts/bench-grpc

docc: ## the Swift client's documentation as .build/docc, which any web server shows
	@scripts/docc

dist: ## a binary that needs no Swift, as dist/martlet-….tar.gz
	@scripts/dist

deb: ## a Debian package of it, as dist/martlet_….deb (builds it first: minutes)
	@scripts/deb

deb-test: ## install that package here, use it, remove it (needs root)
	@scripts/deb-test

long: ## process tests that make test leaves out: everything in Firefox, a network gone for 30 s
	@scripts/long

openapi: ## a longer check of api/openapi.yaml against the server: make openapi SECONDS=600
	@scripts/openapi check $(SECONDS)

testssl: ## testssl.sh against the built server (about 3 minutes)
	@scripts/testssl

slowhttp: SECONDS = 60
slowhttp: ## slowhttptest's three modes, with bystanders timed: make slowhttp SECONDS=60
	@scripts/slowhttp $(SECONDS)

fuzz: ## libFuzzer on every decoder, FUZZ_SECONDS=60 each
	@scripts/fuzz

soak: ## half an hour of churn, kills, slow clients and tokens that end: make soak SOAK_MINUTES=30
	@scripts/soak $(SOAK_MINUTES)

tsan: ## tests under Thread Sanitizer, in .build-tsan
	@scripts/sanitize thread

asan: ## tests under Address Sanitizer, leaks included, in .build-asan
	@scripts/sanitize address
