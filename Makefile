# Every module of the repository: the root first.
MODULES = $(dir $(shell find . -name go.mod -not -path './tools/*' | sort))
FUZZTIME ?= 20s

.PHONY: demo test lint fuzz bench chaos

demo:
	go run ./examples/demo

test:
	@set -e; for m in $(MODULES); do echo "== $$m"; (cd $$m && go test -race ./...); done

# The tools have a module of their own, so that nobody who imports the package
# gets their dependencies.
lint:
	@cd tools && go build -o ../bin/ mvdan.cc/gofumpt honnef.co/go/tools/cmd/staticcheck
	@unformatted=$$(bin/gofumpt -l .); test -z "$$unformatted" || { echo "not gofumpt-clean:"; echo "$$unformatted"; exit 1; }
	@set -e; for m in $(MODULES); do echo "== $$m"; \
		(cd $$m && go vet ./... && $(CURDIR)/bin/staticcheck -checks all ./... && go mod tidy -diff); done

fuzz:
	@set -e; for d in . ./webhooktest; do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z]*' $$d/*_test.go | cut -c6-); do \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$d; done; done

# This package beside its peers, and the stores: the tables of docs and README.
bench:
	cd bench && go run . -out ../docs -readme ../README.md

# Kills receivers and stores at random; a short one is part of test.
chaos:
	cd chaos && CHAOS_KILLS=60 go test -count=1 -v -run TestChaos -timeout 30m .
	cd examples/queue && QUEUE_KILLS=60 go test -count=1 -v -run TestKill -timeout 30m .
