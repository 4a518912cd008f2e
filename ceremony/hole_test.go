package ceremony_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/keys"
)

// Where a token with a known hole is shown, the hole is told, once: at its enrolment,
// when its holder signs, at the check-up, and to an existing holder. Of another token
// nothing is said.
func TestKnownHoles(t *testing.T) {
	for firmware, hole := range map[keys.Firmware]bool{{Major: 5, Minor: 4, Patch: 3}: true, {Major: 5, Minor: 7, Patch: 4}: false} {
		t.Run(firmware.String(), func(t *testing.T) {
			told := map[string]int{} // by title
			room := &prompt.Script{Say: func(m prompt.Message) {
				for _, f := range m.Facts {
					if f.Label == "Known hole" {
						if !strings.HasPrefix(f.Value, "YSA-2024-03: ") {
							t.Errorf("%s: %s", m.Title, f.Value)
						}
						told[m.Title]++
					}
				}
			}}
			check := func(when string, titles ...string) {
				t.Helper()
				for _, title := range titles {
					if n := told[title]; (n > 0) != hole || n > 1 {
						t.Errorf("%s: %q tells the hole %d times", when, title, n)
					}
					delete(told, title)
				}
				if !hole && len(told) > 0 {
					t.Errorf("%s: told of a token without a hole: %v", when, told)
				}
			}
			s, desk := openedOn(t, firmware)
			runTo(t, desk, "enrol alice")
			runTasks(t, desk, room, "enrol alice")
			check("enrolment", "Alice Costa: is this the right token?")
			runTo(t, desk, "sign alice")
			clear(told)
			runTasks(t, desk, room, "sign alice")
			check("signing", "Alice Costa: the token")
			if err := runAll(desk, &prompt.Script{}); err != nil {
				t.Fatal(err)
			}
			people := members(t, desk)
			desk = s.only(t, desk, (*ceremony.Desk).OnlyCheckup)
			clear(told)
			runTasks(t, desk, room, "checkup alice")
			check("check-up", "Alice Costa: all is well")

			people[4].drop = agreed.Retired
			people = append(people, member{name: "Farah Aziz", token: "F-06"})
			_, next := s.follow(following(agreed.Rotate, fmt.Sprintf("[token]\nalgorithm = %q\n", keys.Ed25519), people...), "F-06")
			runTo(t, next, "sign alice")
			clear(told)
			runTasks(t, next, room, "sign alice")
			check("an existing holder", "Alice Costa: the token")
		})
	}
}

// A token of an edition that gets no new key signs with the one that the trusted root
// has: in the room and elsewhere.
func TestEditionsOfExistingHoldersSign(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[4].drop = agreed.Retired
	people = append(people, member{name: "Farah Aziz", token: "F-06"})
	for sticker, edition := range map[string]string{"A-01": "FIPS", "B-02": "Bio"} {
		serial, err := first.drawer.Serial(sticker)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(first.tokens(), fmt.Sprintf("%d.token", serial))
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		body := bytes.Replace(file[:len(file)-65], []byte(`"edition":""`), []byte(`"edition":"`+edition+`"`), 1) // the last line is the checksum
		if err := os.WriteFile(name, fmt.Appendf(body, "%x\n", sha256.Sum256(body)), 0o600); err != nil {
			t.Fatal(err)
		}
		token := first.openToken(sticker)
		if info, err := token.Info(); err != nil || info.Edition != edition {
			t.Fatalf("%+v, %v", info, err)
		}
		token.Close()
	}
	second, desk := first.follow(following(agreed.Rotate, "", people...), "F-06")
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	if chain := published(t, second.dir); len(chain) != 2 {
		t.Fatalf("%d roots", len(chain))
	}
	now := desk.State()
	for _, id := range []string{"alice", "bruno"} {
		if h := now.Holders[id]; h == nil || !now.HasSigned(h, now.Draft.Digest) {
			t.Errorf("%s has not signed", id)
		}
	}
}

func TestKnownHolesElsewhere(t *testing.T) {
	d := newDesktop(t)
	d.rotation()
	for sticker, hole := range map[string]bool{"p256": true, "both": false} {
		p := d.person(sticker)
		set := d.settings()
		set.Out = filepath.Join(d.dir, sticker+".json")
		if _, err := d.signs(set, p); err != nil {
			t.Fatal(err)
		}
		if told := strings.Count(p.shown.String(), "Known hole: YSA-2024-03: "); told > 1 || told > 0 != hole {
			t.Errorf("%s is told the hole %d times\n%s", sticker, told, &p.shown)
		}
	}
}
