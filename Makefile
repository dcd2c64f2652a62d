FUZZTIME ?= 20s

.PHONY: help demo deps test lint tidy fuzz bench chaos vuln release-check rename-check

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: ## the whole of it over real HTTP, as a table
	go run ./examples/demo

deps: ## install the servers that the tests start, or say which to install
	@tools/deps

test: deps ## every test of every module, with the race detector; TESTFLAGS=-count=1 to repeat what has passed
	@go test -run TestOneRunAtATime $(TESTFLAGS) . # with more events than the race detector allows
	@tools/test $(TESTFLAGS)

# The tools have their own module, so that nobody who imports the package gets
# their dependencies.
lint: ## gofumpt, go vet, staticcheck, go mod tidy, actionlint, shellcheck, and the checks in tools/
	@cd tools && GOWORK=off go build -o ../bin/ ./calls mvdan.cc/gofumpt honnef.co/go/tools/cmd/staticcheck github.com/rhysd/actionlint/cmd/actionlint
	@unformatted=$$(bin/gofumpt -l .); test -z "$$unformatted" || { echo "not gofumpt-clean:"; echo "$$unformatted"; exit 1; }
	@cd tools && GOWORK=off go test -count=1
	@tools/each go vet ./...
	@tools/each -public go vet -vettool=$(CURDIR)/bin/calls ./...
	@tools/each $(CURDIR)/tools/staticcheck
	@tools/tidy -diff
	@bin/actionlint
	@! command -v shellcheck >/dev/null || shellcheck tools/deps tools/each tools/*.sh tools/release tools/release-check tools/rename tools/rename-check tools/staticcheck tools/test tools/tidy .ci/run

tidy: ## go mod tidy in every module
	@tools/tidy

fuzz: ## each fuzz target for a while; FUZZTIME=10m for longer
	@set -e; export GOWORK=off; for d in . ./webhooktest; do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z]*' $$d/*_test.go | cut -c6-); do \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$d; done; done

bench: ## beside its peers, and the stores; writes the tables and plots in docs/
	cd bench && GOWORK=off go run . -out ../docs

chaos: deps ## kill receivers and stores at random for minutes; a short run is part of test
	PROMISE_EVENTS=10000 go test -count=1 -run TestOneRunAtATime .
	cd chaos && GOWORK=off CHAOS_EVENTS=2000 CHAOS_KILLS=60 go test -count=1 -v -run TestChaos -timeout 30m .
	cd chaos && GOWORK=off STORM_EVENTS=20000 STORM_OUTAGE=20s go test -count=1 -v -run TestRetryStorm -timeout 30m .
	cd examples/orm && GOWORK=off ORM_KILLS=60 go test -count=1 -v -run TestEngines/.*/kill -timeout 30m .
	cd examples/queue && GOWORK=off QUEUE_KILLS=60 go test -count=1 -v -run TestKill -timeout 30m .

vuln: ## known vulnerabilities in what the modules call; needs the network
	@cd tools && GOWORK=off go build -o ../bin/ golang.org/x/vuln/cmd/govulncheck
	@tools/each $(CURDIR)/bin/govulncheck ./...

release-check: ## rehearse a release: fetch, build and run each public module as its users would
	@tools/release-check

rename-check: ## give a copy another module path, and build and vet it
	@tools/rename-check
