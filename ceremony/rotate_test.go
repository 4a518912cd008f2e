package ceremony_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// member is one line of people in a plan that follows on an earlier root.
type member struct {
	name, token string
	key         string // id of the key that stays; "": a new one
	drop        string // the reason; "": no drop
}

// following is the text of a plan.
func following(kind, head string, people ...member) string {
	text := fmt.Sprintf("kind = %q\nname = \"Example packages\"\ntrusted = \"trusted\"\nreason = \"a test\"\n%s\n", kind, head)
	if !strings.Contains(head, "[root]") {
		text += "[root]\nexpires = \"365d\"\n"
	}
	for _, p := range people {
		switch {
		case p.drop != "":
			text += fmt.Sprintf("\n[[drop]]\nkeyid = %q\nreason = %q\nname = %q\ntoken = %q\n", p.key, p.drop, p.name, p.token)
		case p.key != "":
			text += fmt.Sprintf("\n[[holder]]\nname = %q\ntoken = %q\nkeyid = %q\n", p.name, p.token, p.key)
		default:
			text += fmt.Sprintf("\n[[holder]]\nname = %q\ntoken = %q\n", p.name, p.token)
		}
	}
	return text
}

// members are the holders of what a ceremony has published, all to stay.
func members(t testing.TB, desk *ceremony.Desk) []member {
	t.Helper()
	var all []member
	s := desk.State()
	for _, h := range s.Plan.Holders {
		key := h.KeyID
		if key == "" {
			made, err := tuf.NewKey(s.Holders[h.ID].Key.Public)
			if err != nil {
				t.Fatal(err)
			}
			key = made.ID
		}
		all = append(all, member{name: h.Name, token: h.Token, key: key})
	}
	return all
}

// follow makes a directory for a ceremony that follows on this one, with the
// same tokens and more of them.
func (s *stage) follow(plan string, stickers ...string) (*stage, *ceremony.Desk) {
	t := s.t
	t.Helper()
	next := &stage{t: t, dir: t.TempDir(), drawer: s.drawer, shared: s.tokens(), real: s.real, memory: s.memory}
	published, err := filepath.Glob(filepath.Join(s.dir, ceremony.PublishDir, "*.root.json"))
	if err != nil || len(published) == 0 {
		t.Fatal("nothing was published: ", err)
	}
	for _, file := range published {
		text, err := os.ReadFile(file)
		if err == nil {
			err = transcript.WriteNew(filepath.Join(next.dir, ceremony.TrustedDir, filepath.Base(file)), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := transcript.WriteNew(filepath.Join(next.dir, ceremony.PlanFile), []byte(plan), 0o600); err != nil {
		t.Fatal(err)
	}
	desk, err := next.open(clock, stickers...)
	if err != nil {
		t.Fatal(err)
	}
	tokens := desk.Tokens()
	tokens.Stickers = append(append([]string{}, allStickers...), stickers...)
	desk.UseTokens(tokens)
	t.Cleanup(func() { _ = desk.Close() })
	return next, desk
}

// published is the chain that a ceremony has published.
func published(t testing.TB, dir string) [][]byte {
	t.Helper()
	chain, err := ceremony.ReadTrusted(filepath.Join(dir, ceremony.PublishDir))
	if err != nil {
		t.Fatal(err)
	}
	return chain.Files
}

func TestRotation(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &ceremony.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[4].drop = ceremony.Retired
	people = append(people, member{name: "Farah Aziz", token: "F-06"})
	second, desk := first.follow(following(ceremony.Rotate, "", people...), "F-06")
	if err := runAll(desk, &ceremony.Script{}); err != nil {
		t.Fatal(err)
	}
	chain := published(t, second.dir)
	if len(chain) != 2 {
		t.Fatalf("%d roots", len(chain))
	}
	for _, line := range desk.Status() {
		t.Log(line)
	}
	// A renewal changes nothing but the expiry.
	people = members(t, desk)
	third, desk := second.follow(following(ceremony.Rotate, "[root]\nexpires = \"2028-01-01T00:00:00Z\"", people...))
	if err := runAll(desk, &ceremony.Script{}); err != nil {
		t.Fatal(err)
	}
	if chain := published(t, third.dir); len(chain) != 3 {
		t.Fatalf("%d roots", len(chain))
	}
	for _, line := range desk.Status() {
		t.Log(line)
	}
}

// Backups of a new key are sealed for the holders whose keys stay, once their
// tokens have shown that they open them.
func TestRotationWithBackups(t *testing.T) {
	first, desk := withBackups(t)
	if err := runAll(desk, &ceremony.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[4].drop = ceremony.Retired
	safe := desk.State().Plan.Backup.Recipients[0]
	plan := following(ceremony.Rotate, "", people...) + fmt.Sprintf("\n[[holder]]\nname = \"Farah Aziz\"\ntoken = \"F-06\"\ncustody = \"backed-up\"\n\n"+
		"[backup]\nquorum = 3\nrecipients = [\"holders\", %q]\n\n[[recipient]]\nname = %[1]q\nage = %[2]q\n", safe.Name, safe.Age)
	plan = strings.Replace(plan, "trusted =", fmt.Sprintf("earlier = [%q]\ntrusted =", first.dir), 1)
	second, desk := first.follow(plan, "F-06")
	identity := filepath.Join(ceremony.IdentitiesDir, safe.ID+".txt")
	text, err := os.ReadFile(filepath.Join(first.dir, identity))
	if err == nil {
		err = transcript.WriteNew(filepath.Join(second.dir, identity), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := runAll(desk, &ceremony.Script{}); err != nil {
		t.Fatal(err)
	}
	for _, line := range desk.Status() {
		t.Log(line)
	}
}

// A chain that broke is followed by a new one, whose kit and notice say how
// clients are moved to it by hand.
func TestNewChainAfterABrokenOne(t *testing.T) {
	for _, incident := range []string{"", "quorum-lost", "quorum-stolen"} {
		edit := []string{}
		if incident != "" {
			edit = []string{`name = "Example packages"`, fmt.Sprintf("name = \"Example packages\"\nincident = %q", incident)}
		}
		s, desk := opened(t, edit...)
		if err := runAll(desk, &ceremony.Script{}); err != nil {
			t.Fatal(err)
		}
		kit, err := os.ReadFile(filepath.Join(s.dir, ceremony.PublishDir, "trust", "EMBED.md"))
		if err != nil {
			t.Fatal(err)
		}
		notices, err := filepath.Glob(filepath.Join(s.dir, "metadata", "*", "notice.md"))
		if err != nil {
			t.Fatal(err)
		}
		if again := strings.Contains(string(kit), "Re-pin"); again != (incident != "") || len(notices) != map[bool]int{true: 1, false: 0}[incident != ""] {
			t.Errorf("%q: %d notices, re-pinning: %v\n%s", incident, len(notices), again, kit)
		}
		for _, notice := range notices {
			text, err := os.ReadFile(notice)
			if err != nil || !strings.Contains(string(text), "which you must install yourself") {
				t.Errorf("%q: %v\n%s", incident, err, text)
			}
		}
	}
}

// retiring is a rotation that drops Emil's and Dana's keys, published, with the
// drops still to be retired.
func retiring(t *testing.T) (*stage, *ceremony.Desk, []string) {
	t.Helper()
	first, desk := opened(t)
	if err := runAll(desk, &ceremony.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[3].drop, people[4].drop = ceremony.Compromised, ceremony.Retired
	second, desk := first.follow(following(ceremony.Rotate, "", people...))
	runTo(t, desk, "publish")
	if err := desk.Run(t.Context(), "publish", &ceremony.Script{}); err != nil {
		t.Fatal(err)
	}
	return second, desk, []string{"retire old-" + people[3].key[:8], "retire old-" + people[4].key[:8]}
}

func TestRetire(t *testing.T) {
	s, desk, tasks := retiring(t)
	old := strings.TrimPrefix(tasks[0], "retire ")
	// Another token than that of the key is refused, and nothing is done to it.
	err := desk.Run(t.Context(), tasks[0], &ceremony.Script{Answers: map[string]string{"retire.token " + old: "A-01"}})
	if err == nil || !strings.Contains(err.Error(), "does not hold the key") {
		t.Fatal(err)
	}
	if keys := s.slots("A-01"); len(keys) != 3 {
		t.Fatalf("A-01 has %d keys", len(keys))
	}
	// The witness is somebody else, and the reset is not forgotten before.
	err = desk.Run(t.Context(), tasks[0], &ceremony.Script{Answers: map[string]string{"retire.witness " + old: "dana"}})
	if err == nil || !strings.Contains(err.Error(), "not one of the choices") {
		t.Fatal(err)
	}
	if keys := s.slots("D-04"); len(keys) != 0 {
		t.Fatalf("D-04 has %d keys", len(keys))
	}
	desk.Close()
	desk, err = s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	tokens := desk.Tokens()
	tokens.Stickers = allStickers
	desk.UseTokens(tokens)
	if err := desk.Run(t.Context(), tasks[0], &ceremony.Script{Answers: map[string]string{"retire.witness " + old: "bruno"}}); err != nil {
		t.Fatal(err)
	}
	if done := desk.State().Holders[old].Retired; done == nil || done.Witness != "Bruno Ferraz" {
		t.Fatalf("%+v", done)
	}
	// One that is not here is recorded as that.
	old = strings.TrimPrefix(tasks[1], "retire ")
	if err := desk.Run(t.Context(), tasks[1], &ceremony.Script{Answers: map[string]string{"retire.where " + old: "elsewhere"}}); err != nil {
		t.Fatal(err)
	}
	if keys := s.slots("E-05"); len(keys) != 3 || desk.State().Holders[old].NotRetired == nil {
		t.Fatalf("E-05 has %d keys", len(keys))
	}
	if err := runAll(desk, &ceremony.Script{}); err != nil {
		t.Fatal(err)
	}
}

// slots are the keys on a token.
func (s *stage) slots(sticker string) []keys.SlotKey {
	s.t.Helper()
	token := s.openToken(sticker)
	defer token.Close()
	info, err := token.Info()
	if err != nil {
		s.t.Fatal(err)
	}
	return info.Keys
}
