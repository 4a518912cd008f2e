package ceremony_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/remote"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
)

// Anyone who has the SHA-256 of the first root from elsewhere types as much of it as
// is asked for, or all of it. That of what is signed is called that, and is not
// taken; nor is too little, or another.
func TestAnchorIsTyped(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	file, err := os.ReadFile(filepath.Join(first.dir, state.PublishDir, "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	sum, signed := sha256Of(file), desk.State().Draft.Digest
	wrong := "0" + sum[1:]
	if wrong == sum {
		wrong = "1" + sum[1:]
	}
	last := sum[:63] + "0"
	if last == sum {
		last = sum[:63] + "1"
	}
	for typed, refusal := range map[string]string{
		sum[:16]: "", sum: "", strings.ToUpper(sum[:4]) + " " + sum[4:]: "",
		signed: "of what is signed in 1.root.json", signed[:16]: "of what is signed in 1.root.json",
		"": "has 64", sum[:15]: "has 64", sum[:40]: "has 64", sum + "0": "has 64",
		wrong: "not what lies in trusted", wrong[:16]: "not what lies in trusted", last: "not what lies in trusted",
	} {
		_, desk := first.follow(following(agreed.Rotate, "", people...))
		if err := desk.Run(t.Context(), "preflight", &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
		err := desk.Run(t.Context(), "agree", &prompt.Script{Answers: map[string]string{"trusted.how": "typed", "trusted.sha256": typed}})
		if refusal == "" && err != nil || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
			t.Errorf("%q: %v, want %q", typed, err, refusal)
		}
	}
}

// What leads PINs elsewhere is in this process and stays there: with it nothing
// else that fails is waived either, and a rehearsal alone goes on.
func TestVariablesAreNotWaived(t *testing.T) {
	waive := &prompt.Script{Answers: map[string]string{"preflight.failed": "waive", "preflight.why": "it is a test"}}
	for _, name := range []string{"LD_PRELOAD", "PCSCLITE_CSOCK_NAME", "PCSCLITE_DEBUG", "LIBPCSCLITE_DELEGATE"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "/nonexistent")
			for _, real := range []bool{true, false} {
				s := newStage(t)
				s.real = real
				_, desk := s.opened()
				err := desk.Run(t.Context(), "preflight", waive)
				if real != (err != nil) || real && !strings.Contains(err.Error(), name+" is set") {
					t.Errorf("real: %v, %v", real, err)
				}
				if now := desk.State(); real && (now.Preflight != nil || now.Exceptions != 0) {
					t.Errorf("it goes on: %+v, %d exceptions", now.Preflight, now.Exceptions)
				}
			}
		})
	}
}

// A key signs one root of a version on one laptop, in whatever ceremony, and in
// the room as for others elsewhere.
func TestSignOnceOnOneLaptop(t *testing.T) {
	first := newStage(t)
	first.real, first.memory = true, filepath.Join(t.TempDir(), "state", "signed.jsonl")
	_, desk := first.opened()
	waive := &prompt.Script{Answers: map[string]string{"preflight.failed": "waive", "preflight.why": "it is a test",
		"carry.how 1": "none", "carry.why": "it is a test"}}
	if err := runAll(desk, waive); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	dirA, a := first.follow(following(agreed.Rotate, "", people...))
	dirB, b := first.follow(following(agreed.Rotate, "[root]\nexpires = \"2028-01-01T00:00:00Z\"", people...))
	for _, desk := range []*ceremony.Desk{a, b} {
		if err := desk.Run(t.Context(), "preflight", waive); err != nil {
			t.Fatal(err)
		}
		runTo(t, desk, "sign alice")
	}
	draft := func(s *stage) string {
		files, _ := filepath.Glob(filepath.Join(s.dir, "metadata", "*", "2.root.unsigned.json"))
		if len(files) != 1 {
			t.Fatalf("drafts: %v", files)
		}
		return files[0]
	}
	elsewhere := func(s *stage, desk *ceremony.Desk, holder, sticker string) error {
		out := filepath.Join(t.TempDir(), "out.json")
		c, err := remote.OpenCountersigning(remote.CountersignSettings{File: draft(s), Trusted: filepath.Join(s.dir, agreed.TrustedDir), Out: out,
			Memory: first.memory, Tokens: desk.Tokens(), Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		script := &prompt.Script{Answers: map[string]string{"sign.token": sticker, "sign.pin": ceremony.RehearsalPIN(holder)}}
		for _, task := range []string{"review", "sign"} {
			if err := c.Run(t.Context(), task, script); err != nil {
				if _, there := os.Stat(out); there == nil {
					t.Errorf("%s has signed, and then: %v", holder, err)
				}
				return err
			}
		}
		return nil
	}
	inTheRoom := func(desk *ceremony.Desk, holder string, a prompt.Room) error {
		return desk.Run(t.Context(), "sign "+holder, a)
	}
	refused := func(err error, why string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "this key was used on this laptop on 2026-11-22T12:00:00Z to sign another root v2") {
			t.Errorf("%s: %v", why, err)
		}
	}
	good := func(err error, why string) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", why, err)
		}
	}
	good(inTheRoom(a, "alice", &prompt.Script{}), "the first root, in the room")
	refused(elsewhere(dirB, b, "alice", "A-01"), "the other, elsewhere")
	refused(inTheRoom(b, "alice", &prompt.Script{Answers: map[string]string{"sign.words alice": "not asked for"}}), "the other, in another room")
	if sigs := b.State().Signatures(); len(sigs) != 0 {
		t.Errorf("signed: %+v", sigs)
	}
	good(elsewhere(dirA, a, "alice", "A-01"), "the same root elsewhere")

	good(elsewhere(dirB, b, "bruno", "B-02"), "another key, elsewhere")
	refused(inTheRoom(a, "bruno", &prompt.Script{}), "the other, in the room")
	good(inTheRoom(b, "bruno", &prompt.Script{}), "the same root in the room")

	// What is known not to have been signed is no obstacle.
	untouched := &answered{touch: func() error { return keys.ErrNotTouched }}
	if err := inTheRoom(a, "chen", untouched); !errors.Is(err, keys.ErrNotTouched) {
		t.Fatal(err)
	}
	good(elsewhere(dirB, b, "chen", "C-03"), "after nothing was signed")

	// What may have been signed is.
	dirA.die = "after Sign"
	if err := inTheRoom(a, "dana", &prompt.Script{}); !errors.As(err, new(*keys.EndedError)) {
		t.Fatal(err)
	}
	dirA.die = ""
	refused(elsewhere(dirB, b, "dana", "D-04"), "after the token's process ended")
	good(inTheRoom(a, "dana", &prompt.Script{}), "the same root again")

	// Where nothing can be remembered, nothing is signed.
	if err := os.WriteFile(first.memory, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := inTheRoom(b, "emil", &prompt.Script{}); err == nil || !strings.Contains(err.Error(), "line 1 cannot be read") {
		t.Errorf("with a damaged memory: %v", err)
	}
	if sigs := b.State().Signatures(); len(sigs) != 1 {
		t.Errorf("signed: %+v", sigs)
	}
}

// What lies in the place of the memory, and is none, lets nobody sign, and
// nobody wait.
func TestMemoryThatIsNoFile(t *testing.T) {
	d := newDesktop(t)
	d.rotation()
	set := d.settings()
	for kind, lay := range map[string]func() error{
		"a pipe":             func() error { return unix.Mkfifo(set.Memory, 0o600) },
		"a folder":           func() error { return os.Mkdir(set.Memory, 0o700) },
		"a device":           func() error { return os.Symlink("/dev/zero", set.Memory) },
		"too many levels of": func() error { return os.Symlink("elsewhere", set.Memory) },
		"has more than 16777216 bytes": func() error {
			return errors.Join(os.WriteFile(set.Memory, nil, 0o600), os.Truncate(set.Memory, 300<<30))
		},
	} {
		if err := errors.Join(os.RemoveAll(set.Memory), os.MkdirAll(filepath.Dir(set.Memory), 0o700), lay()); err != nil {
			t.Fatal(err)
		}
		c, err := d.signs(set, d.person("both"))
		if err == nil || !strings.Contains(err.Error(), kind) || !strings.Contains(err.Error(), set.Memory) {
			t.Errorf("%s: %v", kind, err)
		}
		if c != nil && c.Written() != "" {
			t.Errorf("%s: signed", kind)
		}
	}
}
