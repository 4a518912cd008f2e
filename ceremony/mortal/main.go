// Command mortal is the child process of the token sessions that package
// ceremony's tests begin, thousands of them. It is no bigger than that takes,
// as most of such a process's time is its start: the test program, with all
// that it links, would need three times as long. It ends at a command of the
// token, or lies at one, where it is told to.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"syscall"

	"rootceremony/keys"
	"rootceremony/keys/backup"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
)

// dieAt names, in the environment, the command of the token before or after
// which the process ends: "before ChangePUK".
const dieAt = "CEREMONY_TEST_DIE"

// signsTo names a file that gets a line for every root that a token has signed: the
// SHA-256 of what was signed.
const signsTo = "CEREMONY_TEST_SIGNS"

// lieAt has a lie of virtual.Liars, which all tokens tell.
const lieAt = "CEREMONY_TEST_LIE"

// maxSeconds is how many seconds of the processor a session has whose tokens lie,
// before it is killed.
const maxSeconds = 10

func main() {
	backup.WorkFactor = 4
	if err := session.Serve(os.Stdin, os.Stdout, openMortal, backup.InSession()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// openMortal is virtual.Open, but for tokens whose process ends.
func openMortal(b session.Backend) (session.Opener, error) {
	opener, err := virtual.Open(b)
	if at := os.Getenv(dieAt); err == nil && (at != "" || os.Getenv(signsTo) != "") {
		return mortals{opener, at}, nil
	}
	if lie := os.Getenv(lieAt); err == nil && lie != "" {
		// Whatever tokens say, a session needs no more processor time than this.
		err := syscall.Setrlimit(syscall.RLIMIT_CPU, &syscall.Rlimit{Cur: maxSeconds, Max: maxSeconds})
		return virtual.Liars(opener, lie), err
	}
	return opener, err
}

type mortals struct {
	session.Opener
	at string
}

func (m mortals) Open(serial uint32) (session.Token, error) {
	token, err := m.Opener.Open(serial)
	if err != nil {
		return nil, err
	}
	return &mortal{token.(*virtual.Token), m.at}, nil
}

// mortal is a token whose process ends at a command.
type mortal struct {
	*virtual.Token
	at string
}

func (m *mortal) step(command string, do func() error) error {
	if m.at == "before "+command {
		os.Exit(9)
	}
	err := do()
	if m.at == "after "+command {
		os.Exit(9)
	}
	return err
}

func (m *mortal) ChangePUK(old, new *secret.Buffer) error {
	return m.step("ChangePUK", func() error { return m.Token.ChangePUK(old, new) })
}

func (m *mortal) SetManagement(old, new *secret.Buffer) error {
	return m.step("SetManagement", func() error { return m.Token.SetManagement(old, new) })
}

func (m *mortal) Generate(management *secret.Buffer, s keys.Slot, algorithm keys.Algorithm, policy keys.Policy) (public keys.PublicKey, err error) {
	err = m.step("Generate", func() error {
		public, err = m.Token.Generate(management, s, algorithm, policy)
		return err
	})
	return public, err
}

func (m *mortal) Import(management *secret.Buffer, s keys.Slot, algorithm keys.Algorithm, seed *secret.Buffer, policy keys.Policy) error {
	return m.step("Import", func() error { return m.Token.Import(management, s, algorithm, seed, policy) })
}

func (m *mortal) Sign(slot keys.Slot, pin *secret.Buffer, message []byte, touch func()) (signature []byte, err error) {
	err = m.step("Sign", func() error {
		signature, err = m.Token.Sign(slot, pin, message, touch)
		if witness := os.Getenv(signsTo); err == nil && witness != "" && bytes.HasPrefix(message, []byte(`{"_type":"root"`)) {
			err = witnessed(witness, message)
		}
		return err
	})
	return signature, err
}

func witnessed(file string, message []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%x\n", sha256.Sum256(message))
	return errors.Join(err, f.Close())
}
