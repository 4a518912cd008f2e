//go:build cgo

package yubikey_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"filippo.io/age"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/keys/yubikey/pcsctest"
)

// backups seal to one age recipient, and open by its identity. With a token
// there is nothing to open: the secret that it agrees on is shown.
var backups = session.Backups{
	Seal: func(order json.RawMessage, _ []*secret.Buffer, what string, plaintext *secret.Buffer) ([]session.SealedFile, error) {
		var text string
		if err := json.Unmarshal(order, &text); err != nil {
			return nil, err
		}
		to, err := age.ParseX25519Recipient(text)
		if err != nil {
			return nil, err
		}
		var sealed bytes.Buffer
		w, err := age.Encrypt(&sealed, to)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(plaintext.Bytes()); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		return []session.SealedFile{{Name: what, Data: sealed.Bytes()}}, nil
	},
	Open: func(_ json.RawMessage, secrets []*secret.Buffer, token *session.AgeToken, ciphertext []byte) (session.Unsealed, error) {
		if token != nil {
			shared, err := token.ECDH(ciphertext)
			if err != nil {
				return session.Unsealed{}, err
			}
			defer shared.Wipe()
			return session.Unsealed{Public: bytes.Clone(shared.Bytes())}, nil
		}
		identity, err := age.ParseX25519Identity(string(secrets[0].Bytes()))
		if err != nil {
			return session.Unsealed{}, err
		}
		text, err := decrypted(ciphertext, identity)
		if err != nil {
			return session.Unsealed{}, err
		}
		opened, err := secret.Take(text)
		return session.Unsealed{Secret: opened}, err
	},
}

func decrypted(ciphertext []byte, identity age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(ciphertext), identity)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// safe keeps the sealed files of one token, and opens them.
type safe struct {
	identity *age.X25519Identity
	files    map[string][]byte
}

func newSafe(t testing.TB) *safe {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return &safe{identity, map[string][]byte{}}
}

func (s *safe) store(sealed session.Sealed) error {
	s.files[sealed.What] = sealed.Files[0].Data
	return nil
}

func (s *safe) order(from keys.Origin, algorithm keys.Algorithm) session.RootKeyOrder {
	return session.RootKeyOrder{Algorithm: algorithm, Touch: keys.TouchAlways, From: from, Seal: json.RawMessage(`"` + s.identity.Recipient().String() + `"`)}
}

func (s *safe) backup(t testing.TB, what string) session.BackupOrder {
	return session.BackupOrder{Ciphertext: s.files[what], Secrets: []*secret.Buffer{pin(t, s.identity.String())}}
}

// A root key is made in the child and imported through piv-go, on a spare token
// and, from its backup, on a third one; each signs with it, and what was sealed
// of PUK and management key opens them.
func TestBackedUp(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P256, keys.P384} {
		t.Run(string(algorithm), func(t *testing.T) {
			t.Parallel()
			service := pcsctest.Start(t, 3)
			safes := map[uint32]*safe{}
			for i := range 3 {
				serial := uint32(31 + i)
				service.Plug(t, i, "--serial", fmt.Sprint(serial), "--touch", "auto")
				safes[serial] = newSafe(t)
			}
			s := start(t, service)
			put := func(serial uint32, from keys.Origin) keys.PublicKey {
				t.Helper()
				if err := s.Select(serial); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Prepare(pin(t, holderPIN)); err != nil {
					t.Fatal(err)
				}
				public, err := s.MakeRootKey(safes[serial].order(from, algorithm), safes[serial].store)
				if err != nil {
					t.Fatal(err)
				}
				return public
			}
			public := put(31, keys.FromSession)
			if spare := put(32, keys.FromHeld); spare != public {
				t.Errorf("the spare has %v", spare)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = start(t, service)
			if opened, err := s.OpenBackup(t.Context(), safes[31].backup(t, keys.BackupKey), nil); err != nil || opened.Public != public {
				t.Errorf("the backup: %+v, %v", opened, err)
			}
			if restored := put(33, keys.FromHeld); restored != public {
				t.Errorf("restored is %v", restored)
			}
			for serial, kept := range safes {
				if err := s.Select(serial); err != nil {
					t.Fatal(err)
				}
				info, err := s.Info()
				want := keys.SlotKey{Slot: keys.SlotRoot, Public: public, Policy: keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways}}
				if k, _ := info.Key(keys.SlotRoot); err != nil || k != want || info.PUKDefault || info.ManagementDefault {
					t.Errorf("token %d: %+v, %v", serial, info, err)
				}
				signature, err := s.Sign(t.Context(), keys.SlotRoot, pin(t, holderPIN), []byte("m"), noTouch)
				if err != nil {
					t.Fatal(err)
				}
				if err := public.Verify([]byte("m"), signature); err != nil {
					t.Errorf("token %d: %v", serial, err)
				}
				if _, err := s.OpenBackup(t.Context(), kept.backup(t, keys.BackupToken), nil); err != nil {
					t.Error(err)
				}
				if err := s.UnblockFromBackup(pin(t, "591604")); err != nil {
					t.Errorf("token %d: the sealed PUK: %v", serial, err)
				}
				if err := s.CheckPIN(pin(t, "591604")); err != nil {
					t.Errorf("token %d: %v", serial, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if algorithm == keys.Ed25519 {
				text, err := decrypted(safes[31].files[keys.BackupToken], safes[31].identity)
				if err != nil {
					t.Fatal(err)
				}
				management := strings.TrimSpace(string(text[bytes.LastIndexByte(text, ' ')+1:]))
				says(t, service, nil, "ykman", "--device", "31", "piv", "access", "change-management-key", "-m", management, "-n", strings.Repeat("cd", 32), "-a", "AES256")
			}
		})
	}
}

// Wherever the token is pulled out: no PUK that is set and not sealed, no key
// that is imported and not backed up, and the next attempt comes to its end
// without a reset.
func TestPulledOutDuringBackup(t *testing.T) {
	t.Parallel()
	const workers = 12
	service := pcsctest.Start(t, 1)
	snapshot := filepath.Join(service.Dir, "6.token")
	token := service.Plug(t, 0, "--serial", "6", "--touch", "auto", "--state", snapshot)
	s := selected(t, service, 6)
	if _, err := s.Prepare(pin(t, holderPIN)); err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	before, kept := token.Commands(t), newSafe(t)
	if _, err := s.MakeRootKey(kept.order(keys.FromSession, keys.Ed25519), kept.store); err != nil {
		t.Fatal(err)
	}
	total := token.Commands(t) - before
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	token.Do(t, "quit")
	step := 1
	if testing.Short() {
		step = 7
	}
	t.Logf("%d commands", total)
	var next atomic.Int64
	for w := range workers {
		t.Run(fmt.Sprintf("reader %d", w), func(t *testing.T) {
			t.Parallel()
			service := pcsctest.Start(t, 1)
			for i := int(next.Add(1)-1) * step; i < 2*total; i = int(next.Add(1)-1) * step {
				kind := "remove"
				if i%2 == 1 {
					kind = "remove-after"
				}
				file := filepath.Join(service.Dir, "6.token")
				if err := os.WriteFile(file, state, 0o600); err != nil {
					t.Fatal(err)
				}
				pulledOutDuringBackup(t, service, file, kind, i/2+1)
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func pulledOutDuringBackup(t *testing.T, service *pcsctest.Service, file, kind string, n int) {
	token := service.Plug(t, 0, "--serial", "6", "--touch", "auto", "--state", file)
	defer token.Do(t, "quit")
	s := selected(t, service, 6)
	fault := fmt.Sprintf("%s@%d", kind, n)
	token.Do(t, fmt.Sprintf("fault %s@%d", kind, token.Commands(t)+n))
	kept := newSafe(t)
	if _, err := s.MakeRootKey(kept.order(keys.FromSession, keys.Ed25519), kept.store); !errors.Is(err, keys.ErrRemoved) && !is[*keys.NotFoundError](err) {
		t.Errorf("%s: %v", fault, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	token.Replug(t)
	s = selected(t, service, 6)
	defer s.Close()
	info, err := s.Info()
	if err != nil {
		t.Errorf("%s: afterwards: %v", fault, err)
		return
	}
	if info.PINTries != 5 || info.PUKTries != 5 {
		t.Errorf("%s: afterwards %d tries of the PIN, %d of the PUK", fault, info.PINTries, info.PUKTries)
	}
	if k, found := info.Key(keys.SlotRoot); found {
		opened, err := s.OpenBackup(t.Context(), kept.backup(t, keys.BackupKey), nil)
		if err != nil || opened.Public != k.Public || info.PUKDefault || info.ManagementDefault {
			t.Errorf("%s: %+v, and in the backup %+v, %v", fault, info, opened, err)
		}
	}
	if !info.PUKDefault {
		if _, err := s.OpenBackup(t.Context(), kept.backup(t, keys.BackupToken), nil); err != nil {
			t.Errorf("%s: %v", fault, err)
		}
		if err := s.UnblockFromBackup(pin(t, holderPIN)); err != nil {
			t.Errorf("%s: the sealed PUK: %v", fault, err)
		}
	}
	from := keys.FromSession
	if _, found := info.Key(keys.SlotRoot); found {
		return
	} else if !info.PUKDefault {
		if _, err := s.OpenBackup(t.Context(), kept.backup(t, keys.BackupKey), nil); err != nil {
			t.Errorf("%s: %v", fault, err)
		}
		from = keys.FromHeld
	}
	if _, err := s.MakeRootKey(kept.order(from, keys.Ed25519), kept.store); err != nil {
		t.Errorf("%s: the next attempt: %v", fault, err)
	}
}
