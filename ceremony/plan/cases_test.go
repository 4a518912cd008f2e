package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/tuf"
)

// Plans that people had trouble with, and what check says of them now.
func TestPlansFromTheField(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		says    []string
		refused []string
		never   []string
	}{
		"private-key-in-trusted-root": {says: []string{
			"warning: THE PRIVATE HALF of d1e0cc8e and 3cf2a48f stands in version 1 itself: they count as compromised, and everything that they sign can be made by anybody",
			"warning: anyone who has key d1e0cc8e (stolen or compromised) can sign a root after version 1 alone",
			"warning: A PUBLISHED PRIVATE KEY STAYS IN USE: anybody can sign for timestamp with the key 3cf2a48f",
			"new keys are made by Alice Costa",
		}},
		"key-ids-of-kept-online-keys": {
			says:  []string{"timestamp: 1 of 1, key ids begin 701551a8", "targets: 1 of 1, key ids begin 701551a8"},
			never: []string{"f0f6d478"},
		},
		"p384-online-key": {refused: []string{"key 1: a key on P-384: tuf-js (3.1.0) and go-tuf 0.7 refuse whatever it signs"}},
		"ecdsa-on-old-firmware": {says: []string{
			"warning: tokens with firmware 5.4.3 are taken, and YSA-2024-03: anyone who has the token, its PIN and a laboratory can take ECDSA keys out of it: count a lost token as a stolen key",
		}},
		"unknown-key-kinds": {refused: []string{
			"nothing that the key 7e6b9aff signs can be verified here: it isn't a readable ML-DSA key",
			"(hint: a new key for Chen Wei, and a [[drop]] of this one with reason = \"retired\")",
		}},
		"holders-who-also-sign-targets-and-one-leaves": {says: []string{
			"Alice X (alice), keeps the key 6ae7efcc, which signs targets too",
			"Neu X (neu), token N-1, on-token, and makes a targets key",
			"the key c255c3e6 leaves targets: it is Old X's old key, retired",
			"Hana X or Neu X could sign any package, with their tokens and PINs",
			"Hana X or Neu X could sign the root, with their tokens and PINs",
		}, never: []string{"still signs for targets", "  targets: 2 of"}},
		"holders-who-also-sign-targets": {
			refused: []string{"the root would have 5004 bytes: over the 3000 that an ed25519 token signs"},
			never:   []string{"one online key"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Read("testdata/cases/" + name + "/plan.toml")
			said := ""
			if err == nil {
				checked, checkErr := p.Check(now)
				if err = checkErr; err == nil {
					said = strings.Join(checked.Lines(), "\n")
				}
			}
			if (err != nil) != (c.refused != nil) {
				t.Fatalf("%v", err)
			}
			if err != nil {
				said = err.Error()
			}
			for _, want := range append(c.says, c.refused...) {
				if !strings.Contains(said, want) {
					t.Errorf("no %q in\n%s", want, said)
				}
			}
			for _, never := range c.never {
				if strings.Contains(said, never) {
					t.Errorf("%q is in\n%s", never, said)
				}
			}
		})
	}
}

// Exposed keys count as compromised, whatever the plan calls them.
func TestExposedKeysOfAPlan(t *testing.T) {
	for old, want := range map[string]string{
		`reason = "compromised"`: "",
		`reason = "retired"`:     `the private half of the key d1e0cc8e stands in version 1 itself, so that everybody can sign with it (hint: reason = "compromised")`,
		`reason = "lost"`:        `(hint: reason = "compromised")`,
	} {
		p := fieldPlan(t, "private-key-in-trusted-root", `reason = "compromised"`, old)
		_, err := p()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", old, err)
		}
	}
	keep := fieldPlan(t, "private-key-in-trusted-root", "[[drop]]\nkeyid", "[[holder]]\nname = \"Bruno Ferraz\"\nkeyid", "reason = \"compromised\"\n", "")
	if _, err := keep(); err == nil || !strings.Contains(err.Error(), "it can't stay (hint: a new key for Bruno Ferraz, and a [[drop]] of this one") {
		t.Errorf("kept: %v", err)
	}
}

// fieldPlan reads a plan from the field with parts of it replaced, in a folder of its own.
func fieldPlan(t *testing.T, name string, replace ...string) func() (*Plan, error) {
	t.Helper()
	text, err := os.ReadFile("testdata/cases/" + name + "/plan.toml")
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := filepath.Abs("testdata/cases/" + name + "/trusted")
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.NewReplacer(append(replace, `trusted = "trusted"`, fmt.Sprintf("trusted = %q", trusted))...).Replace(string(text))
	file := filepath.Join(t.TempDir(), "plan.toml")
	if err := os.WriteFile(file, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() (*Plan, error) {
		p, err := Read(file)
		if err == nil {
			_, err = p.Check(time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC))
		}
		return p, err
	}
}

// A private half that stands in an older version of the chain, or under another id,
// counts all the same.
func TestKeysExposedElsewhere(t *testing.T) {
	first, err := os.ReadFile("testdata/cases/key-ids-of-kept-online-keys/trusted/1.root.json")
	if err != nil {
		t.Fatal(err)
	}
	f, err := tuf.Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := f.Root.Key(f.Root.Roles[tuf.RoleRoot].KeyIDs[0])
	p, err := Read("testdata/cases/key-ids-of-kept-online-keys/plan.toml")
	if err != nil {
		t.Fatal(err)
	}
	p.Chain.Exposed = map[string]int64{key.Value(): 1}
	if _, err := p.Check(time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)); err == nil || !strings.Contains(err.Error(), "stands in version 1 of the chain, so that everybody can sign with it: it can't stay") {
		t.Errorf("%v", err)
	}
}
