package ceremony_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/virtual"
)

// away is a folder far from the ceremony, in which one holder enrols.
type away struct {
	*stage
	holder string
	plan   *agreed.Plan
	cards  map[string]prompt.Written
	clock  func() time.Time // nil: clock
}

// goAway brings the ceremony of s to its agreed plan, and gives the holder a
// folder and a token of their own. The ceremony knows the token's maker.
func goAway(t testing.TB, s *stage, desk *ceremony.Desk, holder string) *away {
	t.Helper()
	if desk.State().Plan == nil {
		runTo(t, desk, "enrol alice")
	}
	a := &away{stage: &stage{t: t, dir: filepath.Join(t.TempDir(), "enrolment")}, holder: holder, plan: desk.State().Plan}
	if err := disk.MakeFolder(a.dir); err != nil {
		t.Fatal(err)
	}
	there, err := a.open()
	if err != nil {
		t.Fatal(err)
	}
	there.Close()
	tokens := desk.Tokens()
	tokens.Roots = append(tokens.Roots, a.drawer.AttestationRoot())
	desk.UseTokens(tokens)
	return a
}

func (a *away) open() (*ceremony.Desk, error) {
	set := ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true, Enrols: a.holder, Plan: a.plan}
	if a.clock != nil {
		set.Clock = a.clock
	}
	if a.drawer != nil {
		set.Roots = []*x509.Certificate{a.drawer.AttestationRoot()}
	}
	desk, err := ceremony.OpenDesk(a.dir, set)
	if err != nil {
		return nil, err
	}
	if a.drawer == nil {
		if a.drawer, err = virtual.OpenDrawer(filepath.Join(a.dir, filepath.FromSlash(ceremony.TokensDir))); err != nil {
			return nil, err
		}
		for _, h := range a.plan.Holders {
			if _, err := a.drawer.Add(h.Token, virtual.Options{}); h.ID == a.holder && err != nil {
				return nil, err
			}
		}
	}
	desk.UseTokens(prompt.Tokens{Roots: []*x509.Certificate{a.drawer.AttestationRoot()}, Start: a.start,
		Plug: func(stickers ...string) error { a.plugged = stickers; return nil }})
	return desk, nil
}

// enrolled is the enrolment file of the holder.
func (a *away) enrolled() []byte {
	a.t.Helper()
	desk, err := a.open()
	if err != nil {
		a.t.Fatal(err)
	}
	defer desk.Close()
	script := &prompt.Script{Cards: a.cards}
	if err := runAll(desk, script); err != nil {
		a.t.Fatal(err)
	}
	a.cards = script.Cards
	return a.file()
}

func (a *away) file() []byte {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, a.holder+".enrolment.json"))
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

func TestEnrolledElsewhere(t *testing.T) {
	s, desk := opened(t)
	emil, dana := goAway(t, s, desk, "emil"), goAway(t, s, desk, "dana")
	for _, a := range []*away{emil, dana} {
		taken, err := desk.Collect(a.enrolled())
		if err != nil || taken.Already || taken.Holder.ID != a.holder {
			t.Fatalf("%s: %+v, %v", a.holder, taken, err)
		}
		if len(desk.State().RootKeys()) != 0 {
			t.Error("a key counts before its holder has confirmed it")
		}
	}
	if taken, err := desk.Collect(emil.file()); err != nil || !taken.Already {
		t.Errorf("again: %+v, %v", taken, err)
	}
	// Dana reads the words; Emil cannot be reached.
	asked := map[string]bool{}
	say := func(m prompt.Message) { asked[m.Title] = true }
	if err := runAll(desk, &prompt.Script{Answers: map[string]string{"confirm.how emil": "without", "rollcall.how emil": "nobody"}, Say: say, Cards: dana.cards}); err == nil || !strings.Contains(err.Error(), "sign") {
		t.Fatalf("the holders who are away have signed: %v", err)
	}
	now := desk.State()
	if now.Draft == nil || len(now.Root.Keys) != 5+3 || !now.Holders["dana"].Confirmed.Words || now.Holders["emil"].Confirmed.Words || !slices.Equal(now.Draft.Unconfirmed, []string{"emil"}) {
		t.Fatalf("drafted: %+v", now.Draft)
	}
	if !asked["Dana Okafor: is it really theirs?"] {
		t.Errorf("asked: %v", asked)
	}
	for _, id := range []string{"seal", "checkpoints", "sums", "carry"} {
		if err := desk.Run(t.Context(), id, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
	}
	desk.Close()
	if checkSigned(t, s.dir, 3).Exceptions != 1 {
		t.Error("going on without Emil's words is no exception")
	}
}

// Wrong words confirm nothing; the key can be given up, and another collected.
func TestSomebodyElsesEnrolment(t *testing.T) {
	s, desk := opened(t)
	first, second := goAway(t, s, desk, "emil"), goAway(t, s, desk, "emil")
	if _, err := desk.Collect(first.enrolled()); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "enrol emil", &prompt.Script{Answers: map[string]string{"confirm.words emil": "aardvark adroitness"}}); err == nil {
		t.Fatal("confirmed by wrong words")
	}
	other := second.enrolled()
	if err := desk.Run(t.Context(), "enrol emil", &prompt.Script{Cards: second.cards}); err == nil || !strings.Contains(err.Error(), "other words") {
		t.Fatalf("confirmed by the words of another enrolment: %v", err)
	}
	if _, err := desk.Collect(other); err == nil || !strings.Contains(err.Error(), "Start a holder over") {
		t.Fatalf("a second one in its place: %v", err)
	}
	if err := desk.Run(t.Context(), "restart", &prompt.Script{Answers: map[string]string{"restart.who": "emil", "restart.why": "the words were others"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := desk.Collect(second.file()); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "enrol emil", &prompt.Script{Cards: second.cards}); err != nil {
		t.Fatal(err)
	}
	if key := desk.State().RootKeys()["emil"]; key != desk.State().Holders["emil"].Collected.Key.Public || key.Hex == "" {
		t.Errorf("Emil's key: %v", key)
	}
}

// An enrolment goes on where it was left, with the same file in the end.
// The power fails before each event of an enrolment. The next start finishes it, with
// a file that the ceremony takes.
func TestPowerFailsInAnEnrolment(t *testing.T) {
	s, desk := opened(t)
	a := goAway(t, s, desk, "emil")
	_ = desk.Close()
	var left []*stage
	a.clock = func() time.Time {
		left = append(left, a.copied())
		return noon
	}
	a.enrolled()
	if lines := len(events(t, a.dir)); len(left) < lines-1 { // it had begun
		t.Fatalf("%d failures for a log of %d lines", len(left), lines)
	}
	for n, there := range left {
		t.Run(fmt.Sprint("failure ", n+1), func(t *testing.T) {
			t.Parallel()
			there.t = t
			file := (&away{stage: there, holder: "emil", plan: a.plan}).enrolled()
			room := *s
			room.t = t
			desk, err := room.copied().open(clock)
			if err != nil {
				t.Fatal(err)
			}
			defer desk.Close()
			tokens := desk.Tokens()
			tokens.Roots = append(tokens.Roots, there.drawer.AttestationRoot())
			desk.UseTokens(tokens)
			if _, err := desk.Collect(file); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEnrolmentGoesOn(t *testing.T) {
	s, desk := opened(t)
	a := goAway(t, s, desk, "emil")
	for range 3 {
		there, err := a.open()
		if err != nil {
			t.Fatal(err)
		}
		task, _ := there.Next()
		if task.ID == "enrol emil" {
			err = there.Run(t.Context(), task.ID, &answered{touch: func() error { return prompt.ErrLeft }})
		} else {
			err = there.Run(t.Context(), task.ID, &prompt.Script{})
		}
		if err != nil && err != prompt.ErrLeft {
			t.Fatal(err)
		}
		there.Close()
	}
	file := a.enrolled()
	if again, err := a.open(); err != nil || again.State().HandedOver == nil {
		t.Fatalf("opened again: %v", err)
	} else {
		again.Close()
	}
	if !bytes.Equal(file, a.file()) {
		t.Error("the file is another one")
	}
	if _, err := desk.Collect(file); err != nil {
		t.Error(err)
	}
	if _, err := ceremony.OpenDesk(a.dir, ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true}); err == nil || !strings.Contains(err.Error(), "enrolment of emil") {
		t.Errorf("opened as a ceremony: %v", err)
	}
	other := *a.plan
	other.Name = "Another plan"
	if _, err := ceremony.OpenDesk(a.dir, ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true, Enrols: "emil", Plan: &other}); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("opened with another plan: %v", err)
	}
}

// With backups nobody enrols elsewhere: whom the backups are sealed to is known
// in the room only.
func TestNoEnrolmentElsewhereWithBackups(t *testing.T) {
	_, desk := newStageOf(t, "").opened()
	runTo(t, desk, "enrol alice")
	dir := t.TempDir()
	_, err := ceremony.OpenDesk(dir, ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true, Enrols: "emil", Plan: desk.State().Plan})
	if err == nil || !strings.Contains(err.Error(), "this plan has backups") {
		t.Errorf("begun: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("written: %v", left)
	}
}

// changed is an enrolment file with a change, in its form.
func changed(t testing.TB, file []byte, change func(map[string]any)) []byte {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(file, &e); err != nil {
		t.Fatal(err)
	}
	change(e)
	return inForm(t, struct {
		Format   any `json:"format"`
		Holder   any `json:"holder"`
		Log      any `json:"log"`
		Evidence any `json:"evidence"`
	}{e["format"], e["holder"], e["log"], e["evidence"]})
}

// inForm writes an enrolment file as the program does.
func inForm(t testing.TB, e any) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(e); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// privately stands for the private part that an event has, and that is not here.
func privately(e transcript.Event) any {
	if e.Commitment == "" {
		return nil
	}
	return struct{}{}
}

// forged is a log with one line replaced, and all the hashes made again.
func forged(t testing.TB, log, old, new string) string {
	t.Helper()
	if !strings.Contains(log, old) {
		t.Fatalf("nothing to forge: %s", old)
	}
	read, err := transcript.Read([]byte(log), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	again, err := transcript.Create(dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range read.Events {
		data := json.RawMessage(strings.Replace(string(e.Data), old, new, 1))
		if _, err := again.Append(e.Type, e.By, data, privately(e), func(transcript.Event) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	again.Close()
	text, err := os.ReadFile(filepath.Join(dir, transcript.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// setAside is a log of which nothing but a broken beginning was ever written.
func setAside(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	log, err := transcript.Create(dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if _, err := log.Append(transcript.TypeSetAside, "room", transcript.SetAside{}, nil, func(transcript.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, transcript.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEnrolmentFilesThatAreRefused(t *testing.T) {
	s, desk := opened(t)
	a := goAway(t, s, desk, "emil")
	file := a.enrolled()
	there, err := ceremony.LookAt(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	emil := there.State().Holders["emil"]
	stranger := goAway(t, s, desk, "emil")
	strangers := stranger.enrolled()
	roots := desk.Tokens()
	roots.Roots = []*x509.Certificate{s.drawer.AttestationRoot(), a.drawer.AttestationRoot()} // the stranger's is none
	desk.UseTokens(roots)

	planned := goAway(t, s, desk, "emil")
	another := *planned.plan
	another.Name = "Example packagez"
	planned.plan = &another
	planned.dir = filepath.Join(planned.dir, "2")
	planned.drawer = nil
	if err := disk.MakeFolder(planned.dir); err != nil {
		t.Fatal(err)
	}

	cut := func(lines int) func(map[string]any) {
		return func(e map[string]any) {
			log := strings.SplitAfter(e["log"].(string), "\n")
			e["log"] = strings.Join(log[:len(log)-1-lines], "")
		}
	}
	forge := func(old, new string) func(map[string]any) {
		return func(e map[string]any) { e["log"] = forged(t, e["log"].(string), old, new) }
	}
	name := emil.Prepared.Evidence[0].Name
	ceremonys := string(logOf(t, s.dir))
	for what, c := range map[string]struct {
		file []byte
		says string
	}{
		"empty":              {nil, "it is empty"},
		"a plan":             {a.plan.JSON(), "no enrolment file"},
		"cut short":          {file[:len(file)/2], "no enrolment file"},
		"with a space":       {append([]byte(" "), file...), "not as it was written"},
		"another format":     {changed(t, file, func(e map[string]any) { e["format"] = "rootceremony enrolment 9" }), `format is \"rootceremony enrolment 9\"`},
		"another holder":     {changed(t, file, func(e map[string]any) { e["holder"] = "dana" }), "not that of a holder's enrolment"},
		"an empty log":       {changed(t, file, func(e map[string]any) { e["log"], e["evidence"] = "", map[string]any{} }), "not that of a holder's enrolment"},
		"a log set aside":    {changed(t, file, func(e map[string]any) { e["log"] = setAside(t) }), "not that of a holder's enrolment"},
		"a ceremony, nobody": {changed(t, file, func(e map[string]any) { e["holder"], e["log"] = "", ceremonys }), "not that of a holder's enrolment"},
		"a ceremony's log":   {changed(t, file, forge(`,"enrols":"emil"`, ``)), "line"},
		"a log changed":      {bytes.Replace(file, []byte("key.proved"), []byte("key.proven"), 1), "line"},
		"a line less":        {changed(t, file, cut(1)), "not proved in it, or its log was not signed"},
		"half of it":         {changed(t, file, cut(3)), "not proved in it"},
		"another plan":       {planned.enrolled(), "made for the plan with the digest"},
		"a forged key":       {changed(t, file, forge(emil.Key.Public.Hex, emil.Prepared.Authentication.Hex)), "line"},
		"a forged serial":    {changed(t, file, forge(emil.Proved.Nonce, strings.Repeat("0", 64))), "line"},
		"evidence missing":   {changed(t, file, func(e map[string]any) { delete(e["evidence"].(map[string]any), name) }), name},
		"evidence changed":   {changed(t, file, func(e map[string]any) { e["evidence"].(map[string]any)[name] = "-----" }), name},
		"evidence too much":  {changed(t, file, func(e map[string]any) { e["evidence"].(map[string]any)["publish/1.root.json"] = "{}" }), "knows nothing of the file publish/1.root.json"},
		"a stranger's token": {strangers, "attestation root"},
	} {
		before := desk.Checkpoint()
		taken, err := desk.Collect(c.file)
		says := strings.ReplaceAll(c.says, `\"`, `"`)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %+v, %v", what, taken, err)
		}
		if desk.Checkpoint() != before {
			t.Errorf("%s: something was recorded", what)
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, "publish")); err == nil {
		t.Error("something was published")
	}
	if _, err := desk.Collect(file); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// Anyone who has a token can have it sign any log. One that calls its evidence
// otherwise than evidence of its own token is called is refused.
func TestEvidenceStaysInItsFolder(t *testing.T) {
	s, desk := opened(t)
	a := goAway(t, s, desk, "emil")
	file := a.enrolled()
	there, err := ceremony.LookAt(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	emil := there.State().Holders["emil"]
	own := fmt.Sprintf("evidence/%d/", emil.Serial)
	for _, f := range []state.File{emil.Prepared.Evidence[0], emil.Key.Evidence[0], emil.Proved.Evidence[0]} {
		for _, other := range []string{own + "../../publish/1.root.json", "evidence/1/../../publish/1.root.json", strings.Replace(f.Name, own, "evidence/12345678/", 1)} {
			renamed := changed(t, file, func(e map[string]any) {
				e["log"] = forged(t, e["log"].(string), f.Name, other)
				evidence := e["evidence"].(map[string]any)
				evidence[other] = evidence[f.Name]
				delete(evidence, f.Name)
			})
			if _, err := desk.Collect(renamed); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the file %q is no evidence of token", other)) {
				t.Errorf("collected: %v", err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, "publish")); err == nil {
		t.Error("something was published")
	}
}

// Evidence of a token that somebody had given up stays out of the folder of the
// holder who has it now.
func TestEvidenceOfAnothersToken(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol alice")
	a := &away{stage: &stage{t: t, dir: filepath.Join(t.TempDir(), "enrolment")}, holder: "emil", plan: desk.State().Plan}
	a.drawer = s.drawer
	tokens := filepath.FromSlash(ceremony.TokensDir)
	if err := os.MkdirAll(filepath.Dir(filepath.Join(a.dir, tokens)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteNew(filepath.Join(a.dir, state.PlanFile), nil, 0o600); err != nil { // a folder to begin in
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(s.dir, tokens), filepath.Join(a.dir, tokens)); err != nil {
		t.Fatal(err)
	}
	there, err := a.open()
	if err != nil {
		t.Fatal(err)
	}
	runTo(t, there, "enrol emil")
	err = there.Run(t.Context(), "enrol emil", &answered{
		token: func(w prompt.TokenWait) (keys.Info, error, bool) {
			a.plugged = []string{"A-01"}
			info, err := w.Look(context.Background())
			return info, err, true
		},
		touch: func() error { return prompt.ErrLeft },
	})
	if err != prompt.ErrLeft {
		t.Fatal(err)
	}
	if err := there.Run(t.Context(), "restart", &prompt.Script{Answers: map[string]string{"restart.who": "emil", "restart.why": "it is Alice's"}}); err != nil {
		t.Fatal(err)
	}
	there.Close()
	file := a.enrolled()
	if err := desk.Run(t.Context(), "enrol alice", &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	if _, err := desk.Collect(file); err == nil || !strings.Contains(err.Error(), "tells of Alice Costa's token") {
		t.Errorf("collected: %v", err)
	}
}

// What the log would not take leaves no file behind.
func TestRefusedFilesAreNotKept(t *testing.T) {
	s, desk := opened(t)
	emil, dana := goAway(t, s, desk, "emil"), goAway(t, s, desk, "dana")
	file := emil.enrolled()
	dana.enrolled()
	elsewhere, err := dana.open()
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	roots := elsewhere.Tokens()
	roots.Roots = append(roots.Roots, emil.drawer.AttestationRoot())
	elsewhere.UseTokens(roots)
	if _, err := elsewhere.Collect(file); err == nil {
		t.Error("an enrolment has collected another one")
	}
	if folders, err := os.ReadDir(filepath.Join(dana.dir, "evidence")); err != nil || len(folders) != 1 {
		t.Errorf("left behind: %v, %v", folders, err)
	}
}

// Keys that are drafted take no more enrolments, nor does a holder with a
// token in the room.
func TestCollectTooLate(t *testing.T) {
	s, desk := opened(t)
	a := goAway(t, s, desk, "alice")
	file := a.enrolled()
	if err := desk.Run(t.Context(), "enrol alice", &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	if _, err := desk.Collect(file); err == nil || !strings.Contains(err.Error(), "has a token in this ceremony already") {
		t.Errorf("a second token: %v", err)
	}
	runTo(t, desk, "sign alice")
	if _, err := desk.Collect(file); err == nil || !strings.Contains(err.Error(), "drafted already") {
		t.Errorf("after the draft: %v", err)
	}
}

// mended is an enrolment file in its form, with all hashes of its log right;
// nil where there is nothing to mend.
func mended(t testing.TB, file []byte) []byte {
	var e struct {
		Format   string            `json:"format"`
		Holder   string            `json:"holder"`
		Log      string            `json:"log"`
		Evidence map[string]string `json:"evidence"`
	}
	if json.Unmarshal(file, &e) != nil || e.Format == "" {
		return nil
	}
	dir := t.TempDir()
	log, err := transcript.Create(dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for line := range strings.Lines(e.Log) {
		var event transcript.Event
		if json.Unmarshal([]byte(line), &event) != nil || len(event.Data) == 0 {
			continue
		}
		if _, err := log.Append(event.Type, event.By, event.Data, nil, func(transcript.Event) error { return nil }); err != nil {
			return nil
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, transcript.FileName))
	if err != nil {
		t.Fatal(err)
	}
	e.Log = string(text)
	return inForm(t, e)
}

// FuzzCollect: whatever a file from elsewhere is, it is taken or refused; also
// once its form and the hashes of its log are right.
func FuzzCollect(f *testing.F) {
	s, desk := opened(f)
	a := goAway(f, s, desk, "emil")
	file := a.enrolled()
	f.Add([]byte{})
	f.Add(file)
	f.Add([]byte(`{"format":"rootceremony enrolment 1","holder":"alice","log":"","evidence":{}}`))
	for _, c := range []struct{ old, new string }{
		{`,\\"enrols\\":\\"emil\\"`, ``}, {"prepare.done", "note"}, {"key.made", "key.proved"}, {`"emil"`, `""`}, {"plan.agreed", "exception"},
	} {
		f.Add(bytes.ReplaceAll(file, []byte(c.old), []byte(c.new)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = desk.Collect(data)
		if file := mended(t, data); file != nil {
			_, _ = desk.Collect(file)
		}
	})
}
