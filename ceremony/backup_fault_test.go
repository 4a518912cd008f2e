package ceremony_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
	"rootceremony/keys/session"
)

// dieAt names, in the environment of a session's child, the command of the token
// before or after which it ends: "before ChangePUK". Program mortal reads it.
const dieAt = "CEREMONY_TEST_DIE"

// checkSealed compares Alice's token with what can be opened: no PUK, management
// key or root key is on it that the log does not say is backed up.
func (s *stage) checkSealed(where string) tokenSecrets {
	s.t.Helper()
	puks, managements, roots := []string{session.DefaultPUK}, []string{session.DefaultManagement}, []keys.PublicKey{}
	for _, b := range s.backups() {
		for _, f := range b.Files {
			text := s.openFile(f.Name)
			if b.What == keys.BackupKey {
				roots = append(roots, publicOf(s.t, text))
				continue
			}
			_, puk, management := linesOf(s.t, text)
			puks, managements = append(puks, puk), append(managements, management)
		}
	}
	there := s.tokenSecrets("A-01")
	if !slices.Contains(puks, there.puk) || !slices.Contains(managements, there.management) && !isDefaultManagement(there.management) {
		s.t.Errorf("%s: PUK or management key of the token are in no backup", where)
	}
	if there.root != nil && !there.root.Generated && !slices.Contains(roots, there.root.Public) {
		s.t.Errorf("%s: the root key of the token is in no backup", where)
	}
	return there
}

func isDefaultManagement(text string) bool {
	return strings.Contains(text, "010203040506070801020304050607080102030405060708")
}

// The power fails before each event of a ceremony with backups. What is on the
// token then is always backed up, and the next start comes to the end.
func TestPowerFailsBeforeEveryEventWithBackups(t *testing.T) {
	whole := newAlone(t)
	left := whole.powerFailures(func(clock func() time.Time) {
		desk, err := whole.open(clock, "A-01")
		if err != nil {
			t.Fatal(err)
		}
		defer desk.Close()
		if err := runAll(desk, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
	})
	if len(left) < 20 {
		t.Errorf("only %d events", len(left)-1)
	}
	for n, s := range left {
		t.Run(fmt.Sprint("before event ", n+1), func(t *testing.T) {
			t.Parallel()
			s.t = t
			desk, err := s.open(clock, "A-01")
			if err != nil {
				t.Fatal(err)
			}
			there := s.checkSealed("before")
			// The token stays as it was until both of its backups are stored.
			if stored := s.backups(); len(stored)%2 == 1 && (there.puk != session.DefaultPUK || there.root != nil) {
				t.Error("the token was changed before its key was sealed")
			}
			if err := runAll(desk, &prompt.Script{}); err != nil {
				t.Fatal(err)
			}
			desk.Close()
			checkSigned(t, s.dir, 1)
			if there := s.checkSealed("at the end"); there.root == nil || there.puk == session.DefaultPUK {
				t.Errorf("at the end: %+v", there)
			}
		})
	}
}

// The process that speaks to the token is killed while a root key is made. What
// is on the token is backed up. A token that has its PUK and no key is opened by
// a quorum, and goes on: it keeps its PIN and its keys in 9a and 82.
func TestKeyIsCutOff(t *testing.T) {
	for custody, command := range map[string]string{"backed-up": "Import", "on-token": "Generate"} {
		for _, c := range []struct{ at, found string }{
			{"before ChangePUK", "nothing of it is on the token"},
			{"after ChangePUK", "which is sealed, and no root key yet"},
			{"before SetManagement", "which is sealed, and no root key yet"},
			{"after SetManagement", "which is sealed, and no root key yet"},
			{"before " + command, "which is sealed, and no root key yet"},
			{"after " + command, "the root key was made"},
		} {
			t.Run(custody+" "+c.at, func(t *testing.T) {
				s, desk := newAlone(t, `custody = "backed-up"`, `custody = "`+custody+`"`).opened()
				runTo(t, desk, "key alice")
				age := desk.State().Holders["alice"].Prepared.Age
				s.die = c.at
				var ended *keys.EndedError
				if err := desk.Run(t.Context(), "key alice", &prompt.Script{}); !errors.As(err, &ended) {
					t.Fatalf("cut off: %v", err)
				}
				s.checkSealed("cut off")
				// Once more at the same place, after the quorum has come.
				var said []string
				say := func(m prompt.Message) { said = append(said, strings.Join(m.Text, " ")) }
				again := desk.Run(t.Context(), "key alice", &prompt.Script{Say: say})
				if !slices.ContainsFunc(said, func(text string) bool { return strings.Contains(text, c.found) }) {
					t.Errorf("found: %q", said)
				}
				if found := strings.HasPrefix(c.at, "after "+command); found != (again == nil) {
					t.Errorf("cut off again: %v", again)
				}
				s.checkSealed("cut off again")
				s.die = ""
				desk.Close()
				desk, err := s.open(clock, "A-01")
				if err != nil {
					t.Fatal(err)
				}
				if err := runAll(desk, &prompt.Script{}); err != nil {
					t.Fatal(err)
				}
				desk.Close()
				checkSigned(t, s.dir, 1)
				if there := s.checkSealed("at the end"); there.age != age || s.count(state.TypeWiped) != 0 {
					t.Errorf("the key in 82 is another one: %v, was %v", there.age, age)
				}
				s.checkUsed(t)
			})
		}
	}
}

// checkUsed compares the backups that the state says are in use with Alice's
// token.
func (s *stage) checkUsed(t testing.TB) {
	t.Helper()
	now, err := state.Fold(events(t, s.dir))
	if err != nil {
		t.Fatal(err)
	}
	h, there := now.Holders["alice"], s.tokenSecrets("A-01")
	last := map[string]*state.BackupStored{}
	for _, b := range h.Stored {
		last[b.What] = b
	}
	serial, puk, management := linesOf(t, s.openFile(last[keys.BackupToken].Files[0].Name))
	if serial != h.Serial || puk != there.puk || management != there.management || there.root.Public != h.Key.Public {
		t.Error("the newest backup of the token is not what it has")
	}
	if b := last[keys.BackupKey]; b != nil && publicOf(t, s.openFile(b.Files[0].Name)) != h.Key.Public {
		t.Error("the newest backup of the key is not of what it has")
	}
}

// A token that was cut off goes on in other hands: starting over wipes it.
func TestLockedTokenStartsOver(t *testing.T) {
	s, desk := newAlone(t).opened()
	runTo(t, desk, "key alice")
	s.die = "after SetManagement"
	if err := desk.Run(t.Context(), "key alice", &prompt.Script{}); err == nil {
		t.Fatal("not cut off")
	}
	s.die = ""
	startOver(t, desk)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	checkSigned(t, s.dir, 1)
	s.checkSealed("at the end")
	s.checkUsed(t)
}

// While a backup is being opened for a token that was cut off, leaving changes
// nothing.
func TestLockedTokenLeft(t *testing.T) {
	s, desk := newAlone(t).opened()
	runTo(t, desk, "key alice")
	s.die = "after ChangePUK"
	if err := desk.Run(t.Context(), "key alice", &prompt.Script{}); err == nil {
		t.Fatal("not cut off")
	}
	s.die = ""
	for _, leave := range []string{"open.who 1", "open the token's backup", "making the root key"} {
		if err := desk.Run(context.Background(), "key alice", &typing{leave: leave}); !errors.Is(err, prompt.ErrBack) {
			t.Errorf("%s: %v", leave, err)
		}
		if h := desk.State().Holders["alice"]; !h.Locked || h.Open != nil || h.Key != nil {
			t.Errorf("%s: %+v", leave, h)
		}
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	s.checkUsed(t)
}
