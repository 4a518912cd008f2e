package ceremony_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/record"
	"rootceremony/ceremony/state"
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
func (s *stage) follow(planned string, stickers ...string) (*stage, *ceremony.Desk) {
	t := s.t
	t.Helper()
	next := &stage{t: t, dir: t.TempDir(), drawer: s.drawer, shared: s.tokens(), real: s.real, memory: s.memory}
	published, err := filepath.Glob(filepath.Join(s.dir, state.PublishDir, "*.root.json"))
	if err != nil || len(published) == 0 {
		t.Fatal("nothing was published: ", err)
	}
	for _, file := range published {
		text, err := os.ReadFile(file)
		if err == nil {
			err = disk.WriteNew(filepath.Join(next.dir, agreed.TrustedDir, filepath.Base(file)), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.WriteNew(filepath.Join(next.dir, state.PlanFile), []byte(planned), 0o600); err != nil {
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
	chain, err := plan.ReadTrusted(filepath.Join(dir, state.PublishDir))
	if err != nil {
		t.Fatal(err)
	}
	return chain.Files
}

func TestRotation(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[4].drop = agreed.Retired
	people = append(people, member{name: "Farah Aziz", token: "F-06"})
	second, desk := first.follow(following(agreed.Rotate, "", people...), "F-06")
	if err := runAll(desk, &prompt.Script{}); err != nil {
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
	third, desk := second.follow(following(agreed.Rotate, "[root]\nexpires = \"2028-01-01T00:00:00Z\"", people...))
	if err := runAll(desk, &prompt.Script{}); err != nil {
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
	_, _, desk := rotatedWithBackups(t)
	for _, line := range desk.Status() {
		t.Log(line)
	}
}

// rotatedWithBackups is a ceremony with backups, and one after it, in which Emil
// has left and Farah has come: only her key is backed up there.
func rotatedWithBackups(t *testing.T) (*stage, *stage, *ceremony.Desk) {
	t.Helper()
	first, desk := withBackups(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[4].drop = agreed.Retired
	safe := desk.State().Plan.Backup.Recipients[0]
	planned := following(agreed.Rotate, "", people...) + fmt.Sprintf("\n[[holder]]\nname = \"Farah Aziz\"\ntoken = \"F-06\"\ncustody = \"backed-up\"\n\n"+
		"[backup]\nquorum = 3\nrecipients = [\"holders\", %q]\n\n[[recipient]]\nname = %[1]q\nage = %[2]q\n", safe.Name, safe.Age)
	planned = strings.Replace(planned, "trusted =", fmt.Sprintf("earlier = [%q]\ntrusted =", first.dir), 1)
	second, desk := first.follow(planned, "F-06")
	identity := filepath.Join(ceremony.IdentitiesDir, safe.ID+".txt")
	text, err := os.ReadFile(filepath.Join(first.dir, identity))
	if err == nil {
		err = disk.WriteNew(filepath.Join(second.dir, identity), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	return first, second, desk
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
		if err := runAll(desk, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
		kit, err := os.ReadFile(filepath.Join(s.dir, state.PublishDir, "trust", "EMBED.md"))
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
			want := map[string]string{"quorum-lost": "which an update brings", "quorum-stolen": "which you must install yourself"}[incident]
			if err != nil || !strings.Contains(string(text), want) {
				t.Errorf("%q: %v\n%s", incident, err, text)
			}
		}
	}
}

// Of every incident the notice for when the root is out is written with the
// root: with its digest, and with what people filled into those for now. Review,
// publishing and closing name it.
func TestNoticeForWhenTheRootIsOut(t *testing.T) {
	first, old := opened(t)
	if err := runAll(old, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	for _, incident := range append([]record.Incident{""}, record.Incidents...) {
		t.Run(string(incident), func(t *testing.T) {
			var s *stage
			var desk *ceremony.Desk
			if incident.Breaks() {
				s, desk = opened(t, `name = "Example packages"`, fmt.Sprintf("name = \"Example packages\"\nincident = %q", incident))
			} else {
				people, kind, head := members(t, old), agreed.Rotate, ""
				people[4].drop = agreed.Stolen
				if incident != "" {
					kind, head = agreed.Revoke, fmt.Sprintf("incident = %q\n", incident)
				}
				s, desk = first.follow(following(kind, head, people...))
			}
			if incident != "" { // the newer one counts more
				now := string(record.Notice(record.NoticeFacts{Project: "Example packages", Incident: incident, Repin: incident.Breaks()}))
				put(t, s.dir, "notice.md", []byte(strings.NewReplacer("[FILL IN: an address that is read, today]", "old@example.org", "[FILL IN: why there is a new root, in a sentence]", "an old reason",
					"[FILL IN: who speaks for the project, and where this can be\nchecked]", "Wanda Meyer, on example.org").Replace(now)))
				put(t, s.dir, "notice-2.md", []byte(strings.Replace(now, "[FILL IN: an address that is read, today]", "team@example.org", 1)))
			}
			file := ""
			named := func(task string) {
				t.Helper()
				var facts []string
				err := desk.Run(t.Context(), task, &prompt.Script{Say: func(m prompt.Message) {
					for _, f := range m.Facts {
						facts = append(facts, f.Label+": "+f.Value)
					}
				}})
				if err != nil {
					t.Fatal(err)
				}
				file = filepath.Join("metadata", desk.State().Draft.Digest[:8], "notice.md")
				text := strings.Join(facts, "\n")
				if !strings.Contains(text, "For users: "+file) || task != "sums" && strings.Contains(text, "notice-2.md") != (incident != "") {
					t.Errorf("%s does not name the notice:\n%s", task, text)
				}
			}
			runTo(t, desk, "review")
			named("review")
			runTo(t, desk, "publish")
			if _, err := os.Stat(filepath.Join(s.dir, file)); err == nil {
				t.Error("it is said that the root is out before it is")
			}
			named("publish")
			check := func() {
				t.Helper()
				text, err := os.ReadFile(filepath.Join(s.dir, file))
				if err != nil {
					t.Fatal(err)
				}
				root, err := os.ReadFile(filepath.Join(s.dir, desk.State().Published.File.Name))
				if err != nil {
					t.Fatal(err)
				}
				digest := sha256.Sum256(root)
				flat := strings.Join(strings.Fields(string(text)), " ")
				want := []string{"for when the new root is out", keys.Groups(digest[:16]), keys.Words(digest[:])[31]}
				if incident != "" {
					want = append(want, "Who says so: Wanda Meyer, on example.org.", "Write to team@example.org.")
				}
				for _, w := range want {
					if !strings.Contains(flat, w) {
						t.Errorf("%q is not in the notice:\n%s", w, text)
					}
				}
			}
			check()
			// A process that published and died has not written it.
			if err := os.Remove(filepath.Join(s.dir, file)); err != nil {
				t.Fatal(err)
			}
			runTo(t, desk, "sums")
			named("sums")
			check()
		})
	}
}

// What somebody made of the notice stays; one that cannot be read is named before
// anything is published.
func TestNoticeThatIsThere(t *testing.T) {
	s, desk := opened(t, `name = "Example packages"`, "name = \"Example packages\"\nincident = \"quorum-stolen\"")
	runTo(t, desk, "publish")
	notice := filepath.Join(s.dir, "notice.md")
	for _, lay := range []func() error{
		func() error { return os.Mkdir(notice, 0o700) },
		func() error { return os.Symlink("plan.toml", notice) },
	} {
		if err := lay(); err != nil {
			t.Fatal(err)
		}
		err := desk.Run(t.Context(), "publish", &prompt.Script{})
		if err == nil || !strings.Contains(err.Error(), "notice.md, a notice for users, cannot be read") || strings.Count(err.Error(), "(hint: ") != 1 || desk.State().Published != nil {
			t.Fatalf("%v", err)
		}
		if err := os.Remove(notice); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join("metadata", desk.State().Draft.Digest[:8], "notice.md")
	put(t, s.dir, file, []byte("mine"))
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(s.dir, file)); err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
}

// A file that was changed after it was recorded is named, and what to do about
// it, before the draft is signed as after the end.
func TestChangedAfterItWasRecorded(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	s, desk := first.follow(following(agreed.Rotate, "", members(t, desk)...))
	changed := func(patterns ...string) {
		t.Helper()
		desk.Close()
		for _, pattern := range patterns {
			files, err := filepath.Glob(filepath.Join(s.dir, pattern))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: %v", pattern, err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err == nil {
					err = os.WriteFile(file, append(slices.Clip(text), '\n'), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				name, _ := filepath.Rel(s.dir, file)
				is, was := sha256.Sum256(append(slices.Clip(text), '\n')), sha256.Sum256(text)
				_, err = s.open(clock)
				want := fmt.Sprintf("its SHA-256 is %x, and was %x (hint: put it back from ", is, was)
				if err == nil || !strings.Contains(err.Error(), name+" was changed after it was ") || !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nwant %s", err, want)
				}
				if err := os.WriteFile(file, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if desk, err := s.open(clock); err != nil {
			t.Fatal(err)
		} else {
			desk.Close()
		}
	}
	runTo(t, desk, "review")
	changed("trusted/1.root.json")
	desk, err := s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	tokens := desk.Tokens()
	tokens.Stickers = allStickers
	desk.UseTokens(tokens)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	changed("trusted/1.root.json", "publish/*.root.json", "publish/trust/*", "publish/SHA256SUMS", "metadata/*/*.root.unsigned.json", "metadata/*/*.sig.json")
}

// retiring is a rotation that drops Dana's and Emil's keys, published, with the
// drops still to be retired.
func retiring(t *testing.T, dana, emil string) (*stage, *ceremony.Desk, []string) {
	t.Helper()
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[3].drop, people[4].drop = dana, emil
	second, desk := first.follow(following(agreed.Rotate, "", people...))
	runTo(t, desk, "publish")
	if err := desk.Run(t.Context(), "publish", &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	return second, desk, []string{"retire old-" + people[3].key[:8], "retire old-" + people[4].key[:8]}
}

func TestRetire(t *testing.T) {
	s, desk, tasks := retiring(t, agreed.Compromised, agreed.Retired)
	old := strings.TrimPrefix(tasks[0], "retire ")
	// Another token than that of the key is refused, and nothing is done to it.
	err := desk.Run(t.Context(), tasks[0], &prompt.Script{Answers: map[string]string{"retire.token " + old: "A-01"}})
	if err == nil || !strings.Contains(err.Error(), "does not hold the key") {
		t.Fatal(err)
	}
	if keys := s.slots("A-01"); len(keys) != 3 {
		t.Fatalf("A-01 has %d keys", len(keys))
	}
	// The witness is somebody else, and the reset is not forgotten before.
	err = desk.Run(t.Context(), tasks[0], &prompt.Script{Answers: map[string]string{"retire.witness " + old: "dana"}})
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
	if err := desk.Run(t.Context(), tasks[0], &prompt.Script{Answers: map[string]string{"retire.witness " + old: "bruno"}}); err != nil {
		t.Fatal(err)
	}
	if done := desk.State().Holders[old].Retired; done == nil || done.Witness != "Bruno Ferraz" {
		t.Fatalf("%+v", done)
	}
	// One that is not here is recorded as that.
	old = strings.TrimPrefix(tasks[1], "retire ")
	if err := desk.Run(t.Context(), tasks[1], &prompt.Script{Answers: map[string]string{"retire.where " + old: "elsewhere"}}); err != nil {
		t.Fatal(err)
	}
	if keys := s.slots("E-05"); len(keys) != 3 || desk.State().Holders[old].NotRetired == nil {
		t.Fatalf("E-05 has %d keys", len(keys))
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
}

// Nobody waits for a token that is lost, or that somebody else has.
func TestRetireWhatIsGone(t *testing.T) {
	s, desk, tasks := retiring(t, agreed.Lost, agreed.Stolen)
	s.plugged = []string{}
	for _, task := range tasks {
		if err := desk.Run(t.Context(), task, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
		if h := desk.State().Holders[strings.TrimPrefix(task, "retire ")]; h.NotRetired == nil || h.NotRetired.Why != "it is lost or stolen" {
			t.Errorf("%s: %+v", task, h.NotRetired)
		}
	}
	if d, e := s.slots("D-04"), s.slots("E-05"); len(d) != 3 || len(e) != 3 {
		t.Errorf("%d and %d keys are left", len(d), len(e))
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
}

// A token can break while it is reset.
func TestRetireABrokenToken(t *testing.T) {
	s, desk, tasks := retiring(t, agreed.Compromised, agreed.Retired)
	old := strings.TrimPrefix(tasks[0], "retire ")
	err := desk.Run(t.Context(), tasks[0], &prompt.Script{Answers: map[string]string{"retire.witness " + old: "dana"}})
	if err == nil || desk.State().Holders[old].Open == nil {
		t.Fatal(err)
	}
	before := desk.Checkpoint()
	err = desk.Run(t.Context(), tasks[0], &prompt.Script{Answers: map[string]string{"retire.token " + old: "E-05"}})
	if err == nil || !strings.Contains(err.Error(), "a step with token "+s.serialText("D-04")+" was interrupted") {
		t.Fatal(err)
	}
	if keys := s.slots("E-05"); len(keys) != 3 {
		t.Fatalf("E-05 has %d keys", len(keys))
	}
	if desk.Checkpoint().Size > before.Size+1 { // that the task failed
		t.Errorf("from line %d to %d", before.Size, desk.Checkpoint().Size)
	}
	if err := desk.Run(t.Context(), tasks[0], &prompt.Script{Answers: map[string]string{"retire.where " + old: "gone"}}); err != nil {
		t.Fatal(err)
	}
	if h := desk.State().Holders[old]; h.NotRetired == nil || h.Retired != nil || h.Open != nil {
		t.Errorf("%+v", h)
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
}

// serialText is how a token's serial number is shown.
func (s *stage) serialText(sticker string) string {
	serial, err := s.drawer.Serial(sticker)
	if err != nil {
		s.t.Fatal(err)
	}
	return keys.SerialText(serial)
}

// A signature that was interrupted, by a key that is dropped, is settled before
// its token is reset. A second token with the same key is reset in the place of
// the one that has signed, but not while that is to be settled.
func TestRetireWhoHasSigned(t *testing.T) {
	for _, interrupted := range []bool{false, true} {
		first, desk := withBackups(t, `token = "A-01"`, "token = \"A-01\"\nspare = true")
		if err := runAll(desk, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
		spare := desk.State().Holders["alice"].Spare.Holder.Token
		people := members(t, desk)
		people[0].drop = agreed.Retired
		s, desk := first.follow(following(agreed.Rotate, "", people...))
		old := "old-" + people[0].key[:8]
		script := &prompt.Script{Answers: map[string]string{"holder.pin " + old: ceremony.RehearsalPIN("alice")}}
		runToSigning(t, desk, script)
		if interrupted {
			s.die = "before Sign"
		}
		err := desk.Run(t.Context(), "sign "+old, script)
		s.die = ""
		if (err != nil) != interrupted || (desk.State().Holders[old].Open != nil) != interrupted {
			t.Fatal(err)
		}
		for task, ok := desk.Next(); ok && task.ID != "retire "+old; task, ok = desk.Next() {
			if err := desk.Run(t.Context(), task.ID, script); err != nil {
				t.Fatalf("%s: %v", task.ID, err)
			}
			if task.ID == "publish" {
				break
			}
		}
		want, kept := spare, "A-01"
		if interrupted {
			err := desk.Run(t.Context(), "retire "+old, &prompt.Script{Answers: map[string]string{"retire.token " + old: spare}})
			if err == nil || !strings.Contains(err.Error(), "a step with token "+s.serialText("A-01")+" was interrupted") {
				t.Fatal(err)
			}
			want, kept = "A-01", spare
		}
		if err := desk.Run(t.Context(), "retire "+old, &prompt.Script{Answers: map[string]string{"retire.token " + old: want}}); err != nil {
			t.Fatal(err)
		}
		serial, err := s.drawer.Serial(want)
		if err != nil {
			t.Fatal(err)
		}
		h := desk.State().Holders[old]
		if h.Retired == nil || h.Retired.Serial != serial || h.Open != nil || len(s.slots(want)) != 0 || len(s.slots(kept)) == 0 {
			t.Errorf("interrupted %v: %+v, %d keys and %d", interrupted, h.Retired, len(s.slots(want)), len(s.slots(kept)))
		}
		var types []string
		for _, e := range events(t, s.dir) {
			types = append(types, e.Type)
		}
		settled, intended := slices.Index(types, state.TypeSettled), slices.Index(types, state.TypeRetireIntended)
		if (settled >= 0) != interrupted || settled > intended {
			t.Errorf("interrupted %v: settled %d, intended %d", interrupted, settled, intended)
		}
		if err := runAll(desk, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
	}
}

// A key that the new root has in another role stays on its token, and so does
// another key that it trusts.
func TestRetireWhatStaysInUse(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[3].drop, people[4].drop = agreed.Retired, agreed.Retired
	head := "[role.targets]\nthreshold = 1\nkeys = [\"keys/dana.pub\"]\n[role.snapshot]\nthreshold = 1\nkeys = [\"keys/emil.pub\"]\n"
	second, desk := first.follow(following(agreed.Rotate, head, people...))
	for name, slot := range map[string]keys.SlotKey{"dana": slotKey(first.slots("D-04"), keys.SlotRoot), "emil": slotKey(first.slots("E-05"), keys.SlotAuthentication)} {
		if err := disk.WriteNew(filepath.Join(second.dir, "keys", name+".pub"), []byte(slot.Public.Hex+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dana, emil := "old-"+people[3].key[:8], "old-"+people[4].key[:8]
	runTo(t, desk, "retire "+dana)
	err := desk.Run(t.Context(), "retire "+emil, &prompt.Script{})
	if err == nil || !strings.Contains(err.Error(), "which the new root trusts") {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "retire "+emil, &prompt.Script{Answers: map[string]string{"retire.where " + emil: "another"}}); err != nil {
		t.Fatal(err)
	}
	second.plugged = []string{} // no token is asked for
	if err := desk.Run(t.Context(), "retire "+dana, &prompt.Script{Answers: map[string]string{"retire.token " + dana: "none"}}); err != nil {
		t.Fatal(err)
	}
	s := desk.State()
	if s.Holders[dana].NotRetired == nil || s.Holders[dana].NotRetired.Why != "the key stays in use for the role targets" || s.Holders[emil].NotRetired.Why != "another key on it stays in use" {
		t.Errorf("%+v, %+v", s.Holders[dana].NotRetired, s.Holders[emil].NotRetired)
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	if d, e := second.slots("D-04"), second.slots("E-05"); len(d) != 3 || len(e) != 3 {
		t.Errorf("%d and %d keys are left", len(d), len(e))
	}
	// Nor does the log take that one is about to be erased.
	all := events(t, second.dir)
	now, err := state.Fold(all[:slices.IndexFunc(all, func(e transcript.Event) bool {
		return e.Type == state.TypeNotRetired && strings.Contains(string(e.Data), dana)
	})])
	if err != nil {
		t.Fatal(err)
	}
	serial := now.Holders[dana].Serial
	data := fmt.Sprintf(`{"holder":%q,"serial":%d,"held":[]}`, dana, serial)
	_, err = now.With(transcript.Event{Seq: 1, Type: state.TypeRetireIntended, Data: []byte(data)})
	if err == nil || !strings.Contains(err.Error(), "no dropped key whose token is to be reset") {
		t.Error(err)
	}
}

func slotKey(there []keys.SlotKey, slot keys.Slot) keys.SlotKey {
	return there[slices.IndexFunc(there, func(k keys.SlotKey) bool { return k.Slot == slot })]
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

// A lost key that signs all the same shows that the plan is wrong, which the
// record says.
func TestLostKeySignsInTheRoom(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[4].drop = agreed.Lost
	_, desk = first.follow(following(agreed.Rotate, "", people...))
	runTo(t, desk, "sign alice")
	old := "old-" + people[4].key[:8]
	script := &prompt.Script{Answers: map[string]string{"holder.pin " + old: ceremony.RehearsalPIN("emil")}}
	if err := desk.Run(t.Context(), "sign "+old, script); err != nil {
		t.Fatal(err)
	}
	if counts := desk.State().Counts(); desk.State().Exceptions != 1 || counts[0].Have != 1 || counts[1].Have != 0 {
		t.Errorf("%d exceptions, %+v", desk.State().Exceptions, counts)
	}
}

// Whose token was reset is not asked to sign the log with it.
func TestRetiredTokenSignsNoLog(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[4].drop = agreed.Retired
	_, desk = first.follow(following(agreed.Rotate, "", people...))
	old := "old-" + people[4].key[:8]
	a := &noting{prompt.Script{Answers: map[string]string{"holder.pin " + old: ceremony.RehearsalPIN("emil")}}, map[string][]string{}}
	runTo(t, desk, "sign alice")
	if err := desk.Run(t.Context(), "sign "+old, a); err != nil {
		t.Fatal(err)
	}
	if desk.State().Holders[old].Prepared == nil {
		t.Fatal("it was not seen that the token could sign the log")
	}
	if err := runAll(desk, a); err != nil {
		t.Fatal(err)
	}
	if offered := a.choices["checkpoints.who"]; len(offered) == 0 || slices.Contains(offered, old) || desk.State().Holders[old].Retired == nil {
		t.Errorf("offered: %v", offered)
	}
}

// The state of a ceremony says how long the root in force is still good, once that is
// a matter of days; a rehearsal's lives a day, and is in force nowhere.
func TestStatusOfARootThatEndsSoon(t *testing.T) {
	for _, real := range []bool{true, false} {
		s := newStage(t, `expires = "365d"`, `expires = "3d"`)
		s.real = real
		_, desk := s.opened()
		runTasks(t, desk, &prompt.Script{Answers: map[string]string{"preflight.failed": "waive", "preflight.why": "it is a test"}}, "preflight")
		runTo(t, desk, "seal")
		if said := strings.Join(desk.Status(), "\n"); strings.Contains(said, "root v1 ENDS SOON, in ") != real {
			t.Errorf("real %v:\n%s", real, said)
		}
	}
}
