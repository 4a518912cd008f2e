//go:build cgo

package yubikey_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"rootceremony/keys"
	"rootceremony/keys/session"
	"rootceremony/keys/yubikey/pcsctest"
)

// enrol prepares a token, makes its root key, and signs with it.
func enrol(t testing.TB, s *session.Session, serial uint32) error {
	if err := s.Select(serial); err != nil {
		return err
	}
	if _, err := s.Prepare(pin(t, holderPIN)); err != nil {
		return err
	}
	root, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: keys.FromToken}, nil)
	if err != nil {
		return err
	}
	message := make([]byte, 600) // several fragments
	signature, err := s.Sign(t.Context(), keys.SlotRoot, pin(t, holderPIN), message, noTouch)
	if err != nil {
		return err
	}
	return root.Verify(message, signature)
}

// A token that is pulled out at any command, before or after it was carried
// out, is said to be gone; no try of the PIN or PUK is lost by that; and after
// a reset the same can be done to its end.
func TestPulledOutAtEveryCommand(t *testing.T) {
	t.Parallel()
	const serial, workers = 5, 12
	service := pcsctest.Start(t, 1)
	counted := service.Plug(t, 0, "--serial", fmt.Sprint(serial), "--touch", "auto")
	s := start(t, service)
	before := counted.Commands(t)
	if err := enrol(t, s, serial); err != nil {
		t.Fatal(err)
	}
	total := counted.Commands(t) - before
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	counted.Do(t, "quit")
	step := 1
	if testing.Short() {
		step = 9
	}
	t.Logf("%d commands", total)

	var next atomic.Int64
	for w := range workers {
		t.Run(fmt.Sprintf("reader %d", w), func(t *testing.T) {
			t.Parallel()
			// Each has a pcscd of its own: who looks for a token gives
			// commands to all of them, and they are counted here.
			service := pcsctest.Start(t, 1)
			for i := int(next.Add(1)-1) * step; i < 2*total; i = int(next.Add(1)-1) * step {
				kind := "remove"
				if i%2 == 1 {
					kind = "remove-after"
				}
				pulledOut(t, service, uint32(100+i), kind, i/2+1)
			}
		})
	}
}

// pulledOut enrols a token that is pulled out at its n-th command.
func pulledOut(t *testing.T, service *pcsctest.Service, serial uint32, kind string, n int) {
	file := filepath.Join(service.Dir, fmt.Sprintf("%d.token", serial))
	token := service.Plug(t, 0, "--serial", fmt.Sprint(serial), "--touch", "auto", "--state", file)
	defer func() {
		token.Do(t, "quit")
		_ = os.Remove(file)
	}()
	s := selected(t, service, serial)
	at := token.Commands(t)
	fault := fmt.Sprintf("%s@%d", kind, n)
	token.Do(t, fmt.Sprintf("fault %s@%d", kind, at+n))
	err := enrol(t, s, serial)
	if !errors.Is(err, keys.ErrRemoved) && !is[*keys.NotFoundError](err) {
		t.Errorf("%s: %v", fault, err)
	}
	// Every session ends with its child: piv-go may have kept the reader.
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	token.Replug(t)
	s = selected(t, service, serial)
	defer s.Close()
	info, err := s.Info()
	if err != nil {
		t.Errorf("%s: afterwards: %v", fault, err)
		return
	}
	if info.PINTries != 3 && info.PINTries != 5 || info.PUKTries != info.PINTries {
		t.Errorf("%s: afterwards %d tries of the PIN, %d of the PUK", fault, info.PINTries, info.PUKTries)
	}
	if err := s.Reset(); err != nil {
		t.Errorf("%s: reset: %v", fault, err)
		return
	}
	if err := enrol(t, s, serial); err != nil {
		t.Errorf("%s: enrolling again: %v", fault, err)
	}
}
