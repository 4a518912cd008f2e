# The two commands of the README are `make rehearse` and `make test`.

GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

# What smart cards need: to build for them, to run with them, and to test with
# programs that nobody here wrote.
PACKAGES = gcc libc6-dev pkg-config libpcsclite-dev pcscd vsmartcard-vpcd \
	opensc yubico-piv-tool ykcs11 yubikey-manager age openssl iproute2 util-linux

.PHONY: build packages rehearse test check bench second-opinions pictures

# The programs, in bin/. Without cgo they need no system package; rootceremony
# then has no smart cards.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...
	@if pkg-config --exists libpcsclite 2>/dev/null; \
	then CGO_ENABLED=1 $(GO) build -trimpath -o bin/ ./cmd/rootceremony; \
	else echo "rootceremony is built without smart cards (hint: make packages)"; fi

# Debian's packages for smart cards, where one is missing.
packages:
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	test -z "$$missing" || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; }

# A guided rehearsal on virtual tokens.
rehearse: build
	bin/rootceremony rehearse || test $$? = 3 # left early: to be gone on with

# Everything. What is missing is installed first.
test: packages check second-opinions
	$(GO) test -timeout 30m ./...

# Form, vet, staticcheck, and who may import what.
check: packages
	@unformatted=$$(gofmt -l cmd ceremony keys ui); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -run TestImports ./cmd/rootceremony

# tuf-js, which the tests ask for its opinion, in the user's cache folder.
second-opinions:
	ceremony/tuf/testdata/second/install

# Figures: nothing asserts them.
bench: packages
	$(GO) test -run '^$$' -bench . -benchmem ./...

# The pictures in docs/, from a real run. It needs chromium and DejaVu Sans Mono.
pictures:
	docs/pictures.sh
