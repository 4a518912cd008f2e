package ceremony_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
)

// with is an attendant into whose reader the token with that sticker is put.
func (s *stage) with(sticker string) *answered {
	return &answered{token: func(w prompt.TokenWait) (keys.Info, error, bool) {
		s.plugged = []string{sticker}
		info, err := w.Look(context.Background())
		return info, err, true
	}}
}

// Tokens that no ceremony, or not this one, can use are refused with what
// would work.
func TestRefusalsSayWhatWouldWork(t *testing.T) {
	for _, c := range []struct {
		algorithm string
		options   virtual.Options
		want      []string
	}{
		{"ed25519", virtual.Options{Firmware: keys.Firmware{Major: 5, Minor: 4, Patch: 3}},
			[]string{"has firmware 5.4.3", "5.7.0 or newer; firmware cannot be updated", `(hint: use a token with 5.7.0 or newer; or hold another ceremony, with algorithm = "ecdsa-p256" and min_firmware = "5.4.3" in its plan)`}},
		{"ecdsa-p256", virtual.Options{Firmware: keys.Firmware{Major: 5, Minor: 2, Patch: 7}}, []string{"firmware 5.2.7, which is too old", "use a token with firmware 5.7.0 or newer"}},
		{"ed25519", virtual.Options{Edition: "FIPS"}, []string{"of the FIPS edition", "use a YubiKey 5 of the standard edition"}},
		{"ed25519", virtual.Options{Edition: "Bio"}, []string{"of the Bio edition", "use a YubiKey 5 of the standard edition"}},
	} {
		s, desk := opened(t, `algorithm = "ed25519"`, `algorithm = "`+c.algorithm+`"`)
		runTo(t, desk, "enrol alice")
		if _, err := s.drawer.Add("wrong", c.options); err != nil {
			t.Fatal(err)
		}
		err := desk.Run(t.Context(), "enrol alice", s.with("wrong"))
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %q", c.options, err, want)
			}
		}
	}
}

// A token of which PIN and PUK are blocked is wiped like others that are not
// as new, though both are the default.
func TestLockedToken(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol alice")
	token := s.openToken("A-01")
	wrong := newSecret(t, "000001")
	for range 3 {
		if err := token.VerifyPIN(wrong); !errors.As(err, new(*keys.PINError)) {
			t.Fatal(err)
		}
		if err := token.Unblock(wrong, wrong); !errors.As(err, new(*keys.PINError)) {
			t.Fatal(err)
		}
	}
	if info, err := token.Info(); err != nil || info.PINTries != 0 || info.PUKTries != 0 || !info.PINDefault || !info.PUKDefault {
		t.Fatalf("%+v, %v", info, err)
	}
	token.Close()
	a := &typing{}
	a.Say = func(m prompt.Message) { a.said = append(a.said, m.Text...) }
	if err := desk.Run(t.Context(), "enrol alice", a); err != nil {
		t.Fatal(err)
	}
	if !a.saw("its PIN is blocked, its PUK is blocked") {
		t.Errorf("told: %q", a.said)
	}
	if h := desk.State().Holders["alice"]; h.Proved == nil || s.count(state.TypeWiped) != 1 {
		t.Errorf("%+v", h)
	}
}

// A root key whose policy is not the plan's is never taken; the holder can
// start over.
func TestKeyWithAnotherPolicy(t *testing.T) {
	s, desk := opened(t)
	beforeRootKey(t, desk)
	serial := desk.State().Holders["alice"].Serial
	desk.Close()
	log, err := transcript.Create(s.dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	intended := state.KeyIntended{Act: state.Act{Holder: "alice", Serial: serial}, Slot: keys.SlotRoot, Algorithm: keys.Ed25519, Touch: keys.TouchAlways, Origin: keys.FromToken}
	if _, err := log.Append(state.TypeKeyIntended, "alice", intended, nil, nil); err != nil {
		t.Fatal(err)
	}
	log.Close()
	child := s.session(t, "A-01")
	if _, err := child.MakeRootKey(session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchNever, From: keys.FromToken}, nil); err != nil {
		t.Fatal(err)
	}
	child.Close()
	if desk, err = s.open(clock, allStickers...); err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	err = desk.Run(t.Context(), "enrol alice", &prompt.Script{})
	for _, want := range []string{"is not as the plan has it", "touch policy: wanted always, found never", "take the task Start a holder over: the token is wiped, and its keys are made again"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if h := desk.State().Holders["alice"]; h.Key != nil {
		t.Errorf("taken: %+v", h.Key)
	}
	startOver(t, desk)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	checkSigned(t, s.dir, 5)
}

// A token that holds a key which the plan trusts is not wiped for a root key.
func TestTokenWithAKeyOfThePlan(t *testing.T) {
	s := newStage(t)
	if _, err := s.drawer.Add("online", virtual.Options{}); err != nil {
		t.Fatal(err)
	}
	held := s.useElsewhere(t, "online")
	i := slices.IndexFunc(held.Keys, func(k keys.SlotKey) bool { return k.Public.Algorithm == keys.Ed25519 })
	if err := os.WriteFile(filepath.Join(s.dir, "keys", "timestamp.pub"), []byte(held.Keys[i].Public.Hex+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	desk, err := s.open(clock, allStickers...)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	runTo(t, desk, "enrol alice")
	err = desk.Run(t.Context(), "enrol alice", s.with("online"))
	for _, want := range []string{"holds a key of the role timestamp in slot 9a", "nothing was done to it"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	s.plugged = []string{"online"}
	if now := s.look(t); len(now.Keys) != len(held.Keys) || s.count(state.TypeWipeIntended) != 0 {
		t.Errorf("now %+v", now)
	}
}

// PINs that cannot be one are refused before the token sees them.
func TestPINsThatAreRefused(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol alice")
	for typed, want := range map[string]string{
		"73910": "a PIN has 6 to 8 digits", "739105827": "a PIN has 6 to 8 digits", "73910a": "letters change places between keyboards",
		"123456": "choose another", "345678": "a run of digits", "777777": "a run of digits",
	} {
		a := &typing{secrets: map[string][]string{"holder.pin.new alice": {typed}}, leave: "holder.pin.again alice"}
		if err := desk.Run(t.Context(), "enrol alice", a); !errors.Is(err, prompt.ErrBack) || !a.saw(want) {
			t.Errorf("%s: %v, told %q", typed, err, a.said)
		}
	}
	const chosen, weak = "7391058", "111111"
	first := &prompt.Script{Answers: map[string]string{"holder.pin.new alice": chosen, "holder.pin.again alice": chosen}}
	if err := desk.Run(t.Context(), "enrol alice", first); err != nil {
		t.Fatal(err)
	}
	// Nor does one of a wrong length cost a try. What a token has taken
	// elsewhere is its PIN, whatever it is.
	runTo(t, desk, "sign alice")
	s.plugged = []string{"A-01"}
	token := s.openToken("A-01")
	if err := token.ChangePIN(newSecret(t, chosen), newSecret(t, weak)); err != nil {
		t.Fatal(err)
	}
	if err := token.Close(); err != nil {
		t.Fatal(err)
	}
	a := &typing{secrets: map[string][]string{"holder.pin alice": {"73910", "739105827", weak}}}
	if err := desk.Run(t.Context(), "sign alice", a); err != nil || a.saw("4 left") || !a.saw("a PIN has 6 to 8 digits") {
		t.Errorf("%v, told %q", err, a.said)
	}
}

// A plan in which holders sign targets can be checked, and neither the room nor a holder
// elsewhere agrees it.
func TestPlansThatAreOnlyChecked(t *testing.T) {
	const sentence = "this version checks such a plan and can't hold it yet"
	s, desk := opened(t, `"ed25519"`, `"ecdsa-p256"`, `keys = ["keys/targets.pub"]`, "keys = [\"alice\", \"bruno\"]\n[targets]\nexpires = \"90d\"\n")
	runTo(t, desk, "agree")
	if err := desk.Run(t.Context(), "agree", &prompt.Script{}); err == nil || !strings.Contains(err.Error(), sentence) {
		t.Errorf("%v", err)
	}
	if desk.State().Plan != nil {
		t.Error("it was agreed")
	}
	planned, err := plan.Read(filepath.Join(s.dir, state.PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := planned.Resolve(clock())
	if err != nil {
		t.Fatal(err)
	}
	resolved.Rehearsal = true
	elsewhere, err := ceremony.OpenDesk(t.TempDir(), ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true, Enrols: "emil", Plan: resolved})
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	runTo(t, elsewhere, "agree")
	if err := elsewhere.Run(t.Context(), "agree", &prompt.Script{}); err == nil || !strings.Contains(err.Error(), sentence) {
		t.Errorf("%v", err)
	}
}
