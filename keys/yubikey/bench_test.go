//go:build cgo

package yubikey_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/keys"
	"rootceremony/keys/session"
	"rootceremony/keys/yubikey"
	"rootceremony/keys/yubikey/pcsctest"
)

// benchService is a service with a token whose root key wants no touch.
func benchService(b *testing.B) *pcsctest.Service {
	service := pcsctest.Start(b, 1)
	service.Plug(b, 0, "--serial", "77", "--touch", "auto")
	s := selected(b, service, 77)
	if _, err := s.Prepare(pin(b, holderPIN)); err != nil {
		b.Fatal(err)
	}
	if _, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchNever, From: keys.FromToken}, nil); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return service
}

// median runs one again and again, and reports the median in milliseconds.
func median(b *testing.B, one func()) {
	one()
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		one()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
}

// A session: a child that opens the token, signs 2,000 bytes, and ends.
func BenchmarkSession(b *testing.B) {
	service := benchService(b)
	holder := pin(b, holderPIN)
	message := make([]byte, 2000)
	median(b, func() {
		s := start(b, service)
		if err := s.Select(77); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Sign(b.Context(), keys.SlotRoot, holder, message, noTouch); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

// The same in this process, without a child.
func BenchmarkInProcess(b *testing.B) {
	service := benchService(b)
	for _, entry := range service.Env() {
		name, value, _ := strings.Cut(entry, "=")
		if err := os.Setenv(name, value); err != nil {
			b.Fatal(err)
		}
	}
	opener, err := yubikey.Open(session.Backend{Kind: yubikey.Kind})
	if err != nil {
		b.Fatal(err)
	}
	holder := pin(b, holderPIN)
	message := make([]byte, 2000)
	median(b, func() {
		token, err := opener.Open(77)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := token.Info(); err != nil { // as a session does
			b.Fatal(err)
		}
		if _, err := token.Sign(keys.SlotRoot, holder, message, func() {}); err != nil {
			b.Fatal(err)
		}
		if err := token.Close(); err != nil {
			b.Fatal(err)
		}
	})
}
