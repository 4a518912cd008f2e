# The two commands of the README are `make rehearse` and `make test`.

GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0

# What smart cards need: to build for them, to run with them, and to test with
# programs that nobody here wrote.
PACKAGES = gcc libc6-dev pkg-config libpcsclite-dev pcscd vsmartcard-vpcd \
	opensc yubico-piv-tool ykcs11 yubikey-manager age openssl nodejs iproute2 util-linux

.PHONY: build packages rehearse test check race torture fuzz vuln bench second-opinions matrix pictures

# Without pcsc-lite's headers the packages that need them are left out.
CGO_ENABLED ?= $(shell pkg-config --exists libpcsclite 2>/dev/null && echo 1 || echo 0)
export CGO_ENABLED

# Where the second machine and the auditor's may run.
SYSTEMS = linux darwin windows freebsd

# The programs, in bin/. Without cgo they need no system package; rootceremony
# then has no smart cards.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...
	@if test $(CGO_ENABLED) = 1; \
	then $(GO) build -trimpath -o bin/ ./cmd/rootceremony; \
	else echo "rootceremony is built without smart cards (hint: make packages)"; fi

# Debian's packages for smart cards, where one is missing.
packages:
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	test -z "$$missing" || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; }

# A guided rehearsal on virtual tokens.
rehearse: build
	bin/rootceremony rehearse || test $$? = 3 # left early: to be gone on with

# Everything. What is missing is installed first, so the tests are run by
# another make, which sees it. That make vets.
test: packages second-opinions
	$(MAKE) check
	CGO_ENABLED=1 $(GO) test -vet=off -timeout 30m ./...

# Form, vet, staticcheck, who may import what, and rootverify for every system.
# It needs neither root nor Debian.
check:
	@unformatted=$$(gofmt -l cmd ceremony keys ui); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -run TestImports ./cmd/rootceremony
	@for os in $(SYSTEMS); do for arch in amd64 arm64; do \
	CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -o /dev/null ./cmd/rootverify || exit 1; \
	done; done

# The engine under the race detector, and nothing that counts the time.
race: packages
	CGO_ENABLED=1 $(GO) test -race -timeout 60m ./ceremony/... ./keys/... ./ui/...

# Every operation on a file of a job crashes and fails in every way, a token tells
# every lie and is pulled out at every command, the power fails before every event,
# rehearsals are killed more often, and each fuzz target has ten minutes: for hours, of
# which test has a sample. JOB=restore, or JOB=create_with_backups, is the crashes of one job alone.
torture: packages
	ROOTCEREMONY_TORTURE=1 $(GO) test -run '^TestEvery(Crash|Error)$$/$(if $(JOB),^$(JOB)$$)' -v -timeout 0 ./ceremony | \
	awk '!/^ *(===|--- PASS)/ {print; fflush()} /^FAIL/ {failed = 1} END {exit failed}'
	test -n "$(JOB)" || ROOTCEREMONY_TORTURE=1 $(GO) test -run '^Test(LyingToken|PowerFails.*|NoTwoDraftsOfOneVersion)$$' -timeout 0 ./ceremony
	test -n "$(JOB)" || ROOTCEREMONY_TORTURE=1 CGO_ENABLED=1 $(GO) test -run '^Test(Killed(AtRandomMoments|WhatFollows)|TokenPulledOut.*)$$' -timeout 0 ./cmd/rootceremony
	test -n "$(JOB)" || $(MAKE) fuzz FUZZTIME=10m

# A minute for each fuzz target, or what FUZZTIME says. Inputs that are kept are not
# made smaller first, which would take most of it.
FUZZTIME = 1m
fuzz:
	@for p in $$($(GO) list ./...); do \
	for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$p || exit 1; \
	done; done

# Known holes in what the programs call, where the list of them can be reached.
vuln:
	@out=$$($(GO) run $(GOVULNCHECK) ./... 2>&1); status=$$?; echo "$$out"; \
	case "$$out" in *"fetching vulnerabilities"*) echo "the list of known holes can't be reached from here: nothing was checked"; exit 0;; esac; exit $$status

# tuf-js, which the tests ask for its opinion, in the user's cache folder.
second-opinions:
	ceremony/tuf/testdata/second/install

# What other clients say of our outputs and of the test vectors, into docs/.
matrix: second-opinions
	$(GO) test ./ceremony/tuf -run TestSecondOpinions -update

# Figures: nothing asserts them.
bench: packages
	$(GO) test -run '^$$' -bench . -benchmem ./...

# The pictures in docs/, from a real run. It needs chromium and DejaVu Sans Mono.
pictures:
	docs/pictures.sh
