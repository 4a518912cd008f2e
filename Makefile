# The two commands of the README are `make rehearse` and `make test`.

GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build rehearse test check bench second-opinions pictures

# The programs, in bin/. Without cgo they need no system package.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

# A guided rehearsal on virtual tokens.
rehearse: build
	bin/rootceremony rehearse || test $$? = 3 # left early: to be gone on with

# Everything. What is missing is installed first.
test: check second-opinions
	$(GO) test -timeout 30m ./...

# Form, vet, staticcheck, and who may import what.
check:
	@unformatted=$$(gofmt -l cmd ceremony keys ui); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -run TestImports ./cmd/rootceremony

# tuf-js, which the tests ask for its opinion, in the user's cache folder.
second-opinions:
	ceremony/tuf/testdata/second/install

# Figures: nothing asserts them.
bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# The pictures in docs/, from a real run. It needs chromium and DejaVu Sans Mono.
pictures:
	docs/pictures.sh
