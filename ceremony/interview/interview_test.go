package interview

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// answers is an prompt.Room that answers from a script. An answer may be several
// lines: those but the last are to be refused. It stops with ErrLeft at a
// question that the script does not know.
type answers struct {
	t       *testing.T
	script  map[string]string
	asked   []string
	refused []string
}

func (a *answers) next(p prompt.Prompt) (string, error) {
	a.asked = append(a.asked, p.ID)
	if p.Question == "" {
		a.t.Errorf("%s: no question", p.ID)
	}
	line, ok := a.script[p.ID]
	if !ok {
		return "", prompt.ErrLeft
	}
	return line, nil
}

func (a *answers) Ask(_ context.Context, p prompt.Prompt, check func(string) error) (string, error) {
	text, err := a.next(p)
	if err != nil {
		return "", err
	}
	lines := strings.Split(text, "\n")
	for _, line := range lines[:len(lines)-1] {
		err := check(line)
		if err == nil {
			a.t.Errorf("%s: %q was accepted", p.ID, line)
			continue
		}
		a.refused = append(a.refused, fmt.Sprintf("%s: %v", p.ID, err))
	}
	line := lines[len(lines)-1]
	if err := check(line); err != nil {
		return "", fmt.Errorf("%s: %q: %w", p.ID, line, err)
	}
	return line, nil
}

func (a *answers) Choose(_ context.Context, p prompt.Prompt, choices []prompt.Choice) (string, error) {
	text, err := a.next(p)
	for _, c := range choices {
		if c.Key == text {
			return text, err
		}
	}
	return "", prompt.ErrLeft
}

func (a *answers) Confirm(_ context.Context, p prompt.Prompt) (bool, error) {
	text, err := a.next(p)
	return text == "yes", err
}

func (a *answers) Tell(context.Context, prompt.Message) error { return nil }
func (a *answers) Type(context.Context, prompt.Prompt, string) error {
	panic("not asked for in an interview")
}
func (a *answers) WaitForTouch(context.Context, prompt.Prompt, bool) error {
	panic("no tokens in an interview")
}
func (a *answers) WaitForToken(context.Context, prompt.TokenWait) (keys.Info, error) {
	panic("no tokens in an interview")
}
func (a *answers) AskSecret(context.Context, prompt.Prompt, func(*secret.Buffer) error) (*secret.Buffer, error) {
	panic("no secrets in an interview")
}

// planNow is the time at which plans are asked for.
var planNow = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// keyFolder is a folder with key files and no plan.
func keyFolder(t testing.TB) string {
	files, err := plan.Example()
	if err != nil {
		t.Fatal(err)
	}
	delete(files, "plan.toml")
	return newFolder(t, files)
}

// newFolder writes files to a new folder.
func newFolder(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// interviewed is a plan that is asked for.
func interviewed(a *answers, dir string) ([]byte, error) {
	come, err := Hold(a.t.Context(), a, dir, agreed.Create, planNow)
	if err != nil {
		return nil, err
	}
	return come.Files[state.PlanFile], nil
}

// Public keys whose identities nobody has. pointAge and pointPlugin are one
// P-256 key.
const (
	safeAge     = "age1gaa6cxnay3dwzuzlx0lewyl50v85260k6pvuaevdtdwrz66xhd6qd3rkcm"
	otherSafe   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHOhedaXucq0Ez2VQk/6nUMaKf41M84aZ3FOBpU1v3qS"
	pointAge    = "age1tag1qv3cs05h4fqsqcp6l77xa75wp96cdv3fpgslpgun28u6yx4uhqddcwucx0w"
	pointPlugin = "age1yubikey1qv3cs05h4fqsqcp6l77xa75wp96cdv3fpgslpgun28u6yx4uhqddcy78kva"
	pluginAge   = "age1yubikey1q0vkgtmppre5fyymld8zefehh09kkgdr09w8xa8ckkhdrze7w5x47zp3ttr"
)

func interviewScript() map[string]string {
	return map[string]string{
		"plan.name":                     `The "Example" \ packages`,
		"plan.holders":                  "0\nmany\n41\n\n3",
		"plan.holder.name 1":            "\nAlice\x1b[31m\nAlice Costa",
		"plan.holder.token 1":           "A-01",
		"plan.holder.site 1":            "Lisbon",
		"plan.holder.name 2":            "alice costa\n Alice Silva ",
		"plan.holder.token 2":           "a-01\nB-02",
		"plan.holder.site 2":            "",
		"plan.holder.name 3":            "陈伟",
		"plan.holder.id 3":              "\nalice\nChen\n../chen\nchen",
		"plan.holder.token 3":           "C-03",
		"plan.holder.site 3":            "Singapore",
		"plan.threshold":                "4\n0\n2",
		"plan.backup":                   "yes",
		"plan.recipients":               "-1\n21\n3",
		"plan.recipient.name 1":         "Holders\nalice COSTA\nBank safe",
		"plan.recipient.age 1":          "age1\nAGE-SECRET-KEY-1QQQQ\nssh-rsa AAAA\npassphrase\n" + safeAge,
		"plan.recipient.site 1":         "Zurich",
		"plan.recipient.name 2":         "bank safe\n金库",
		"plan.recipient.id 2":           "chen\nbank-safe\nvault",
		"plan.recipient.age 2":          safeAge + "\n",
		"plan.recipient.site 2":         "",
		"plan.recipient.name 3":         "Notary",
		"plan.recipient.age 3":          otherSafe + " comment@host",
		"plan.recipient.site 3":         "",
		"plan.quorum":                   "1\n6\nall\n3",
		"plan.expires":                  "yesterday\n2026-01-01T00:00:00Z\n2027-11-22T00:00:00.5Z\n2027-11-22T00:00:00Z",
		"plan.touch":                    "cached",
		"plan.role.timestamp":           "\nkeys/none.pub\n../timestamp.pub\nkeys\nkeys/timestamp.pub,\nkeys/timestamp.pub, keys/timestamp.pub\nkeys/timestamp.pub, keys/snapshot.pub",
		"plan.role.timestamp.threshold": "3\n2",
		"plan.role.snapshot":            "",
		"plan.role.targets":             "keys/targets.pub",
		"plan.witness":                  "Wanda Meyer",
	}
}

func TestInterview(t *testing.T) {
	dir := keyFolder(t)
	a := &answers{t: t, script: interviewScript()}
	text, err := interviewed(a, dir)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "plan.toml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := plan.Read(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	wantBackup := plan.BackupPlan{Quorum: 3, Recipients: []string{"holders", "Bank safe", "金库", "Notary"}}
	wantRecipients := []plan.Recipient{
		{ID: "bank-safe", Name: "Bank safe", Age: safeAge, Site: "Zurich"}, {ID: "vault", Name: "金库", Passphrase: true}, {ID: "notary", Name: "Notary", Age: otherSafe},
	}
	if !reflect.DeepEqual(p.Backup, wantBackup) || !reflect.DeepEqual(p.Recipients, wantRecipients) {
		t.Errorf("%+v %+v", p.Backup, p.Recipients)
	}
	want := []agreed.Holder{
		{ID: "alice", Name: "Alice Costa", Token: "A-01", Site: "Lisbon", Custody: agreed.BackedUp},
		{ID: "alice-silva", Name: "Alice Silva", Token: "B-02", Custody: agreed.BackedUp},
		{ID: "chen", Name: "陈伟", Token: "C-03", Site: "Singapore", Custody: agreed.BackedUp},
	}
	if !reflect.DeepEqual(p.Holders, want) {
		t.Errorf("holders %+v", p.Holders)
	}
	if p.Name != `The "Example" \ packages` || p.Root != (plan.RootPlan{Threshold: 2, Expires: "2027-11-22T00:00:00Z", ConsistentSnapshot: true}) || p.Token != (agreed.TokenPolicy{Algorithm: keys.Ed25519, Touch: keys.TouchCached, MinFirmware: "5.7.0"}) {
		t.Errorf("%q %v %v", p.Name, p.Root, p.Token)
	}
	if !reflect.DeepEqual(p.Persons, []agreed.Person{{Name: "Wanda Meyer", Role: "witness"}}) {
		t.Errorf("persons %v", p.Persons)
	}
	both := []string{"keys/timestamp.pub", "keys/snapshot.pub"}
	for role, want := range map[string]plan.RolePlan{
		"timestamp": {Threshold: 2, Files: both}, "snapshot": {Threshold: 2, Files: both}, "targets": {Threshold: 1, Files: []string{"keys/targets.pub"}},
	} {
		if got := p.Roles[role]; got.Threshold != want.Threshold || !reflect.DeepEqual(got.Files, want.Files) {
			t.Errorf("%s: %+v", role, got)
		}
	}
	if len(a.refused) != 4+2+1+1+4+2+3+5+1+2+2+4+1+2+1+4 {
		t.Errorf("refused:\n%s", strings.Join(a.refused, "\n"))
	}
	for _, said := range []string{"plan.holder.name 1: the answer is empty", "plan.role.timestamp: the answer is empty", `the answer "Alice\x1b[31m" holds the character U+001B`, `key file "keys/none.pub": no such file`, `"alice costa" is taken by holder 1, Alice Costa`, `"a-01" is taken by holder 1`, "is in the past",
		"is an identity, which is secret", "this is the recipient of Bank safe", `"bank-safe" is taken by recipient 1, Bank safe`, `"alice COSTA" is a holder`, `the answer "keys/timestamp.pub," has a comma too many`, "the backup quorum (1) is below the threshold (2)", `"6" is not a number from 1 to 5`} {
		if !strings.Contains(strings.Join(a.refused, "\n"), said) {
			t.Errorf("nobody said %q", said)
		}
	}
	if strings.Contains(strings.Join(a.refused, "\n"), "KEY-1QQQQ") {
		t.Error("an identity typed by mistake is shown")
	}
}

// Leaving at any question ends the interview without a plan.
func TestInterviewLeft(t *testing.T) {
	dir := keyFolder(t)
	for id := range interviewScript() {
		a := &answers{t: t, script: interviewScript()}
		delete(a.script, id)
		text, err := interviewed(a, dir)
		if !errors.Is(err, prompt.ErrLeft) || text != nil || a.asked[len(a.asked)-1] != id {
			t.Errorf("%s: %q, %v", id, text, err)
		}
	}
}

func TestInterviewTooLarge(t *testing.T) {
	dir := keyFolder(t)
	script := map[string]string{
		"plan.name": "Large", "plan.holders": "8", "plan.threshold": "3", "plan.expires": "", "plan.backup": "no", "plan.touch": "always",
		"plan.role.timestamp": "keys/timestamp.pub", "plan.role.snapshot": "keys/snapshot.pub", "plan.role.targets": "keys/targets.pub",
		"plan.witness": "",
	}
	for i := 1; i <= 8; i++ {
		script[fmt.Sprint("plan.holder.name ", i)] = fmt.Sprint("H", i, " Holder")
		script[fmt.Sprint("plan.holder.token ", i)] = fmt.Sprint("T-", i)
		script[fmt.Sprint("plan.holder.site ", i)] = ""
	}
	script["plan.ecdsa"] = "no"
	// What was typed is kept, and is no plan: neither is any other file touched.
	for _, name := range []string{DraftFile, "plan.draft-2.toml"} {
		come, err := Hold(t.Context(), &answers{t: t, script: script}, dir, agreed.Create, planNow)
		if err != nil {
			t.Fatal(err)
		}
		if err := come.Write(dir); err != nil {
			t.Fatal(err)
		}
		if len(come.Files) != 1 || come.Files[name] == nil || !strings.Contains(strings.Join(come.After.Text, " "), "3161 bytes") || come.After.Commands[0] != "rootceremony check "+filepath.Join(dir, name) {
			t.Errorf("%v: %+v", come.Files, come.After)
		}
		if p, err := plan.Read(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		} else if _, err := p.Resolve(planNow); err == nil || !strings.Contains(err.Error(), "3161 bytes") || len(p.Holders) != 8 {
			t.Errorf("%d holders: %v", len(p.Holders), err)
		}
	}
	script["plan.ecdsa"] = "yes"
	text, err := interviewed(&answers{t: t, script: script}, dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.ParsePlan(text, "p")
	if err != nil || p.Token != (agreed.TokenPolicy{Algorithm: keys.P256, Touch: keys.TouchAlways, MinFirmware: "5.4.2"}) || p.Root.Expires != "365d" || len(p.Persons) != 0 || p.AgreedBackup() != nil || p.Holders[7].Custody != agreed.OnToken {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestInterviewRefuses(t *testing.T) {
	for kind, want := range map[string]string{
		"renew": `kind "renew" is none of create, rotate, revoke`,
	} {
		if _, err := Hold(t.Context(), &answers{t: t}, t.TempDir(), kind, planNow); err == nil || err.Error() != want {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := Hold(t.Context(), &answers{t: t}, filepath.Join(t.TempDir(), "none"), agreed.Create, planNow); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// The only number that there can be is not asked for.
func TestInterviewOneQuorum(t *testing.T) {
	dir := keyFolder(t)
	script := map[string]string{
		"plan.name": "Alone", "plan.holders": "1", "plan.holder.name 1": "Alice", "plan.holder.token 1": "A-01", "plan.holder.site 1": "",
		"plan.backup": "yes", "plan.recipients": "0\n1", "plan.recipient.name 1": "Alice\nSafe", "plan.recipient.age 1": "", "plan.recipient.site 1": "",
		"plan.expires": "", "plan.touch": "always", "plan.witness": "",
		"plan.role.timestamp": "keys/timestamp.pub", "plan.role.snapshot": "", "plan.role.targets": "keys/targets.pub",
	}
	text, err := interviewed(&answers{t: t, script: script}, dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.ParsePlan(text, "p")
	if err != nil || p.Backup.Quorum != 1 || !p.Recipients[0].Passphrase {
		t.Errorf("%v\n%s", err, text)
	}
}

// The example is 3 of 5, with online keys and a safe that are new each time, and
// the safe's identity is there.
func TestExamplePlan(t *testing.T) {
	files, err := plan.Example()
	if err != nil {
		t.Fatal(err)
	}
	again, err := plan.Example()
	if err != nil || len(files) != 5 || string(files[plan.SafeFile]) == string(again[plan.SafeFile]) ||
		string(files["keys/targets.pub"]) == string(again["keys/targets.pub"]) || string(files["keys/targets.pub"]) == string(files["keys/snapshot.pub"]) {
		t.Errorf("%d files, %v; every key is a new one", len(files), err)
	}
	identities, err := age.ParseIdentities(bytes.NewReader(files[plan.SafeFile]))
	if err != nil || len(identities) != 1 {
		t.Fatalf("%v: %v", identities, err)
	}
	p, err := plan.Read(filepath.Join(newFolder(t, files), state.PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	if public := identities[0].(*age.X25519Identity).Recipient().String(); p.Recipients[0].Age != public || p.Recipients[0].ID != "bank-safe" {
		t.Errorf("%+v, not %s", p.Recipients, public)
	}
	r, err := p.Resolve(planNow)
	if err != nil {
		t.Fatal(err)
	}
	if r.Threshold != 3 || r.Backup.Quorum != 3 || !r.Backup.Holders || r.Openers() != 5 || r.Holders[4].Custody != agreed.BackedUp || r.Token.Algorithm != keys.Ed25519 {
		t.Errorf("%+v %+v", r, r.Backup)
	}
	if c := agreed.Check(r, planNow); len(c.Warnings)+len(c.Custody.Warnings) != 0 {
		t.Errorf("the example has warnings: %q %q", c.Warnings, c.Custody.Warnings)
	}
}
