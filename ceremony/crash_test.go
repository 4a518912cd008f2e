package ceremony_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/internal/fault"
	"rootceremony/ceremony/interview"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys/virtual"
)

// long has every operation of every job fail and crash in every way, for hours (make
// torture). Without it there is a crash at one operation of each kind from each line
// of the programs, and an error at one of each kind.
var long = os.Getenv("ROOTCEREMONY_TORTURE") != ""

// job is something that people do, from where start leaves it.
type job struct {
	name     string
	stickers []string
	answers  map[string]string
	start    func(t *testing.T, j *job) *stage
	// first does what comes before the next task, and reports whether it did.
	first func(s *stage, d *ceremony.Desk, a prompt.Room) (did bool, err error)
	open  func(s *sitting) (*ceremony.Desk, error)
	// lead is one start of the program, which leads to the end.
	lead func(s *sitting) error
	// ended looks at a job that came to its end, and had this log when people were
	// last told something before it was broken off.
	ended func(s *sitting, said []byte)
	want  audit.Verdict // of a job that nothing has broken off
}

func nothingFirst(*stage, *ceremony.Desk, prompt.Room) (bool, error) { return false, nil }

func jobs() []*job {
	all := []*job{
		{name: "create with backups", stickers: []string{"A-01"}, answers: map[string]string{}, first: nothingFirst,
			start: func(t *testing.T, _ *job) *stage {
				s := newAlone(t)
				if _, err := s.drawer.Add("A-01", virtual.Options{}); err != nil {
					t.Fatal(err)
				}
				return s
			}},
		{name: "rotation", stickers: append([]string{"F-06"}, allStickers...), answers: map[string]string{}, first: nothingFirst,
			start: func(t *testing.T, j *job) *stage {
				return followingOn(t, j, agreed.Rotate, agreed.Retired)
			}},
		{name: "revocation", stickers: append([]string{"F-06"}, allStickers...), answers: map[string]string{}, first: nothingFirst,
			start: func(t *testing.T, j *job) *stage {
				return followingOn(t, j, agreed.Revoke, agreed.Stolen)
			}},
		{name: "restore", stickers: []string{"A-01", "B-02", "FRESH-1"}, answers: quorum(map[string]string{"restore.whose": "alice", "restore.what": "key"}, "safe-2", "bruno"),
			start: func(t *testing.T, j *job) *stage {
				s := newPair(t, 2)
				desk, err := s.open(clock, j.stickers...)
				if err != nil {
					t.Fatal(err)
				}
				defer desk.Close()
				runTo(t, desk, "sign alice")
				return s
			},
			first: func(s *stage, d *ceremony.Desk, a prompt.Room) (bool, error) {
				if len(d.State().Holders["alice"].Former) > 0 {
					return false, nil
				}
				return true, d.Run(context.Background(), "restore", a)
			}},
		collection(), enrolment(), planning(), disclosure(),
	}
	for _, j := range all {
		if j.open == nil {
			j.open = func(s *sitting) (*ceremony.Desk, error) { return s.stage.open(clock) }
		}
		if j.lead == nil {
			j.lead = (*sitting).holdOn
		}
		if j.ended == nil {
			j.ended = (*sitting).checkEnd
		}
	}
	return all
}

// followingOn is a ceremony after that of five, in which Emil goes and Farah comes.
func followingOn(t *testing.T, j *job, kind, reason string) *stage {
	w := newSweep(t, func(people []member) string {
		people[4].drop = reason
		return following(kind, "", append(people, member{name: "Farah Aziz", token: "F-06"})...)
	}, func(*sweep, *stage, *ceremony.Desk) (bool, error) { return false, nil })
	maps.Copy(j.answers, w.script.Answers)
	return w.stage
}

// collection is a rotation for which four of its five signatures are collected.
func collection() *job {
	var g *gathering
	j := &job{name: "collect", stickers: append([]string{"F-06"}, allStickers...), answers: map[string]string{}}
	j.start = func(t *testing.T, j *job) *stage {
		g = newGathering(t)
		maps.Copy(j.answers, g.script.Answers)
		return g.stage
	}
	j.first = func(s *stage, d *ceremony.Desk, a prompt.Room) (bool, error) {
		for _, id := range g.signers[1:] {
			if d.State().Plan != nil && d.State().Holders[id].Signature == nil && d.State().Published == nil {
				_, err := d.Collect(g.files[id])
				return true, err
			}
		}
		return false, nil
	}
	return j
}

// enrolment is Emil's, elsewhere. Its file is taken by the ceremony that it is for.
func enrolment() *job {
	var there *stage
	var planned *agreed.Plan
	j := &job{name: "enrol", stickers: []string{"E-05"}, answers: map[string]string{}, first: nothingFirst}
	j.start = func(t *testing.T, _ *job) *stage {
		var desk *ceremony.Desk
		there, desk = opened(t)
		a := goAway(t, there, desk, "emil")
		planned = a.plan
		_ = desk.Close()
		return &stage{t: t, dir: t.TempDir(), shared: a.tokens()} // nothing is begun in it
	}
	j.open = func(s *sitting) (*ceremony.Desk, error) {
		a := &away{stage: s.stage, holder: "emil", plan: planned}
		return a.open()
	}
	j.ended = func(s *sitting, said []byte) {
		t := s.t
		s.checkLog(said)
		file := (&away{stage: s.stage, holder: "emil"}).file()
		room := *there
		room.t = t
		again := room.copied()
		desk, err := again.open(clock)
		if err != nil {
			t.Fatal(err)
		}
		defer desk.Close()
		tokens := desk.Tokens()
		tokens.Roots = append(tokens.Roots, s.drawer.AttestationRoot())
		desk.UseTokens(tokens)
		if taken, err := desk.Collect(file); err != nil || taken.Holder.ID != "emil" {
			t.Errorf("the ceremony takes %+v: %v", taken, err)
		}
	}
	return j
}

// planning is the plan of a revocation, with the notice for users, and a start of the
// ceremony, which finds it.
func planning() *job {
	j := &job{name: "plan", answers: with("token-stolen", "revoke.which", "2")}
	j.start = func(t *testing.T, _ *job) *stage {
		s := &stage{t: t, dir: t.TempDir()}
		usual(t, s.dir)
		if err := os.MkdirAll(s.tokens(), 0o700); err != nil {
			t.Fatal(err)
		}
		return s
	}
	j.lead = func(s *sitting) error {
		if _, err := os.Lstat(filepath.Join(s.dir, state.PlanFile)); errors.Is(err, fs.ErrNotExist) {
			come, err := interview.Hold(context.Background(), &person{t: s.t, script: s.answers}, s.dir, agreed.Revoke, noon)
			if err != nil {
				return err
			}
			if err := come.Write(s.dir); err != nil {
				return err
			}
			s.told()
		}
		desk, err := s.job.open(s)
		if err != nil {
			return err
		}
		return desk.Close()
	}
	j.ended = func(s *sitting, _ []byte) {
		planned, err := plan.Read(filepath.Join(s.dir, state.PlanFile))
		if err == nil {
			_, err = planned.Resolve(noon)
		}
		if err != nil {
			s.t.Error(err)
		}
		s.checkUnfinished()
		for n := 1; ; n++ { // one more for each time it was written
			text, err := os.ReadFile(filepath.Join(s.dir, ceremony.NoticeName(n)))
			if err != nil && n > 1 {
				break
			}
			if whole, _ := os.ReadFile(filepath.Join(s.dir, ceremony.NoticeName(1))); len(text) == 0 || !bytes.Equal(text, whole) {
				s.t.Errorf("%s has %d bytes, and the first one %d: %v", ceremony.NoticeName(n), len(text), len(whole), err)
			}
		}
	}
	return j
}

// disclosure is the public edition of a ceremony, again and in another folder after
// each fault.
func disclosure() *job {
	j := &job{name: "disclose", stickers: []string{"A-01"}, answers: map[string]string{}}
	j.start = func(t *testing.T, j *job) *stage {
		s := newAlone(t)
		desk, err := s.open(clock, j.stickers...)
		if err != nil {
			t.Fatal(err)
		}
		defer desk.Close()
		if err := runAll(desk, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	j.lead = func(s *sitting) error {
		desk, err := ceremony.LookAt(s.dir)
		if err != nil {
			return err
		}
		for n := 1; ; n++ {
			folder := filepath.Join(s.root, "public", fmt.Sprint(n))
			if _, err := os.Lstat(folder); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if _, _, err := desk.Disclose(folder); err != nil {
				return err
			}
			s.told()
			return nil
		}
	}
	j.ended = func(s *sitting, _ []byte) {
		whole := 0
		folders, err := filepath.Glob(filepath.Join(s.root, "public", "*"))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, folder := range folders {
			if logOrNone(folder) == nil {
				continue // cut off, and so no edition
			}
			whole++
			if got := s.verdictOn(folder); got != s.want {
				s.t.Errorf("the audit says of %s: %q, want %q", folder, got, s.want)
			}
			there := filesBelow(s.t, s.dir)
			for name, text := range filesBelow(s.t, folder) {
				if text != nil && !bytes.Equal(text, there[name]) {
					s.t.Errorf("%s is not the ceremony's", name)
				}
			}
		}
		if whole == 0 {
			s.t.Error("no public edition is whole")
		}
	}
	return j
}

// crash is what a fault leaves, and what was said before it.
type crash struct {
	what   string // "killed", "torn write", "power failed", "last change lost"
	op     fault.Op
	place  string
	image  image
	safe   image // what of it was
	tokens map[string][]byte
	signed []byte // by tokens
	said   []byte // the log when people were last told something, or asked
}

// sitting is a job in a folder of its own: dir, media, laptop and tokens.
type sitting struct {
	*job
	*stage
	root string
	told func() // before people are told something, or asked
}

func (j *job) in(t *testing.T, root string) *sitting {
	t.Helper()
	s := &stage{t: t, dir: filepath.Join(root, "dir"), shared: filepath.Join(root, "tokens"), memory: filepath.Join(root, "laptop", "signed.jsonl")}
	s.env = []string{"CEREMONY_TEST_SIGNS=" + filepath.Join(root, "signs"), "CEREMONY_TEST_DIE="}
	var err error
	if s.drawer, err = virtual.OpenDrawer(s.tokens()); err != nil {
		t.Fatal(err)
	}
	return &sitting{job: j, stage: s, root: root, told: func() {}}
}

// begin makes what the job starts from.
func (j *job) begin(t *testing.T) *sitting {
	t.Helper()
	from, root := j.start(t, j), t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "tokens"), os.DirFS(from.tokens())); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "dir")
	if err := os.CopyFS(dir, os.DirFS(from.dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { // as a disk is laid: preflight finds the same
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, filepath.FromSlash(ceremony.TokensDir))); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		if err := os.MkdirAll(filepath.Join(root, "media", fmt.Sprint(n)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return j.in(t, root)
}

// holdOn opens the desk, and takes every task. What fails once is taken again by the
// people; what fails again makes them leave.
func (s *sitting) holdOn() error {
	desk, err := s.job.open(s)
	if err != nil {
		return err
	}
	defer desk.Close()
	tokens := desk.Tokens()
	tokens.Stickers = s.stickers
	desk.UseTokens(tokens)
	answers := maps.Clone(s.answers)
	for n := 1; n <= 3; n++ {
		answers[fmt.Sprint("copies.where ", n)] = filepath.Join(s.root, "media", fmt.Sprint(n))
		answers[fmt.Sprint("carry.where ", n)] = filepath.Join(s.root, "media", fmt.Sprint(n))
	}
	a := &prompt.Script{Answers: answers, Say: func(prompt.Message) { s.told() }}
	failed := 0
	for {
		did, err := s.first(s.stage, desk, a)
		if !did {
			task, ok := desk.Next()
			if !ok {
				s.told()
				return nil
			}
			if err = desk.Run(context.Background(), task.ID, a); err != nil {
				err = fmt.Errorf("%s: %w", task.ID, err)
			}
		}
		if err == nil {
			s.told() // that it is done
			continue
		}
		if failed++; failed == 2 {
			return err
		}
	}
}

// knowEnd takes the end of a job that nothing has broken off for the good one.
func (s *sitting) knowEnd() {
	s.t.Helper()
	for _, dir := range []string{s.dir, filepath.Join(s.root, "public", "1")} {
		if _, err := os.Lstat(filepath.Join(dir, state.PublishDir, "checkpoint")); err == nil {
			s.want = s.verdictOn(dir)
		}
	}
	s.job.ended(s, nil)
}

func (s *sitting) signs() []byte {
	text, _ := os.ReadFile(filepath.Join(s.root, "signs"))
	return text
}

// crashes holds the job once, and returns what a kill and a failure of the power
// leave before each operation; at every operation it looks whether what must be safe
// then is.
func (s *sitting) crashes(wanted func(what string, op *fault.Op, place string) bool) (disk *storage, all []crash, counts map[string]int) {
	t := s.t
	t.Helper()
	disk, stop := watch(t, s.root)
	counts = map[string]int{}
	var said, signed []byte
	seen, reported := map[string]bool{}, map[string]bool{}
	unsafe := func(when, place string, names []string) {
		if len(names) > 0 && !reported[when+place+names[0]] {
			reported[when+place+names[0]] = true
			t.Errorf("%s, in %s: %s would be lost if the power failed", when, place, strings.Join(names, ", "))
		}
	}
	tokens, tokensKey := tokenFiles(t, s.tokens()), ""
	check := func(op *fault.Op, place string) {
		now := tokenFiles(t, s.tokens())
		key := keyOf(now)
		if signs := s.signs(); key != tokensKey || !bytes.Equal(signs, signed) { // since the operation before
			if tokensKey != "" {
				unsafe("a token acted", place, disk.safe().differs(disk.now()))
			}
			tokens, tokensKey, signed = now, key, signs
		}
		if op.Kind == fault.Write && isLog(disk.name(op.Path)) {
			unsafe("a line is written", place, slices.DeleteFunc(disk.safe().differs(disk.now()), func(name string) bool { return name == disk.name(op.Path) }))
		}
	}
	s.told = func() {
		unsafe("people are told", place(), disk.safe().differs(disk.now()))
		said = logOrNone(s.dir)
	}
	disk.between = func(op *fault.Op, act func() error) error {
		at := place()
		check(op, at)
		leaves := func(what string, image func() image) {
			counts["all"]++
			if !wanted(what, op, at) {
				return
			}
			there := image()
			if key := there.key() + tokensKey + string(said); seen[key] {
				return
			} else {
				seen[key] = true
			}
			all = append(all, crash{what: what, op: fault.Op{Kind: op.Kind, Path: disk.name(op.Path)}, place: at, image: there, safe: disk.safe(), tokens: tokens, signed: signed, said: said})
		}
		leaves("killed", disk.now)
		if op.Kind == fault.Write {
			leaves("torn write", func() image { return disk.torn(op) })
		}
		leaves("power failed", disk.safe)
		if len(disk.unsynced) > 0 {
			leaves("last change lost", disk.allButLast)
		}
		return disk.did(op, act)
	}
	if err := s.job.lead(s); err != nil {
		t.Fatal(err)
	}
	stop()
	s.told = func() {}
	counts["operations"] = disk.ops
	return disk, all, counts
}

// awaitLock waits until nobody has the log of a directory, if there is one.
func awaitLock(t testing.TB, dir string) {
	t.Helper()
	file, err := os.Open(filepath.Join(dir, transcript.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = errors.Join(unix.Flock(int(file.Fd()), unix.LOCK_EX), file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func logOrNone(dir string) []byte {
	text, _ := os.ReadFile(filepath.Join(dir, transcript.FileName))
	return text
}

// tokenFiles are the files of the tokens' states.
func tokenFiles(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// keyOf is the same for files that hold the same.
func keyOf(files map[string][]byte) string {
	there := image{}
	for name, text := range files {
		there[name] = sha256.Sum256(text)
	}
	return there.key()
}

// after goes on from what a crash has left.
func (j *job) after(t *testing.T, disk *storage, c crash) {
	root := t.TempDir()
	for name, text := range c.tokens {
		file := filepath.Join(root, "tokens", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	disk.lay(t, c.image, root)
	if err := os.WriteFile(filepath.Join(root, "signs"), c.signed, 0o600); err != nil {
		t.Fatal(err)
	}
	s := j.in(t, root)
	again, stop := watch(t, root)
	if c.what == "killed" || c.what == "torn write" { // the power may still fail later
		again.only(disk, c.safe)
	}
	if err := s.job.lead(s); err != nil {
		t.Fatalf("the next start: %v", err)
	}
	stop()
	checkSafe(t, again)
	s.job.ended(s, c.said)
	if !t.Failed() { // they are many
		_ = os.RemoveAll(root)
	}
}

// checkSafe finds nothing on a disk that a failure of the power would take.
func checkSafe(t *testing.T, disk *storage) {
	t.Helper()
	for _, name := range wouldLose(disk) {
		t.Errorf("%s would be lost if the power failed at the end", name)
	}
}

// wouldLose names what a failure of the power would take, but for copies on media and
// public editions that were cut off, which have no log or one whose name is not safe,
// and for backups that were cut off, which the log does not name.
func wouldLose(disk *storage) []string {
	safe := disk.safe()
	log := string(logOrNone(filepath.Join(disk.root, "dir"))) + string(logOrNone(filepath.Join(disk.root, "dir", transcript.PrivateDir)))
	return slices.DeleteFunc(safe.differs(disk.now()), func(name string) bool {
		parts := strings.Split(name, "/")
		if deep := map[string]int{"media": 3, "public": 2}[parts[0]]; deep > 0 && len(parts) > deep {
			if _, whole := safe[path.Join(path.Join(parts[:deep]...), transcript.FileName)]; !whole {
				return true
			}
		}
		of := strings.TrimPrefix(name, "dir/")
		return strings.HasPrefix(of, "private/backups/") && !strings.Contains(log, `"`+of+`"`)
	})
}

// checkEnd looks at a ceremony that came to its end.
func (s *sitting) checkEnd(said []byte) {
	t := s.t
	t.Helper()
	if got := s.verdictOn(s.dir); got != s.want {
		t.Errorf("the audit says %q, want %q", got, s.want)
	}
	s.checkLog(said)
	s.checkMedia()
}

// checkLog looks at the log of a job that came to its end: nothing of it is lost, and
// it knows what tokens have done.
func (s *sitting) checkLog(said []byte) {
	t := s.t
	t.Helper()
	if !bytes.HasPrefix(logOf(t, s.dir), said) {
		t.Error("something that people were told is not in the log")
	}
	now, err := state.Fold(events(t, s.dir))
	if err != nil || !now.Finished() && now.HandedOver == nil {
		t.Fatalf("%v, at its end: %v", err, now != nil)
	}
	for _, h := range now.Holders {
		if h.Open != nil {
			t.Errorf("what was intended for %s has no result", h.Holder.Name)
		}
	}
	// What tokens have signed, the log knows, once for each time.
	intended := map[string]int{}
	for _, e := range events(t, s.dir) {
		var act state.SignatureIntended
		if e.Type == state.TypeSignatureIntended && json.Unmarshal(e.Data, &act) == nil {
			intended[act.Digest]++
		}
	}
	signed := map[string]int{}
	for digest := range strings.Lines(string(s.signs())) {
		signed[strings.TrimSpace(digest)]++
	}
	for digest, times := range signed {
		if times > intended[digest] {
			t.Errorf("the root %.8s was signed %d times, and intended %d times", digest, times, intended[digest])
		}
	}
	if len(signed) > 1 {
		t.Errorf("%d roots were signed", len(signed))
	}
	s.checkUnfinished()
}

// checkUnfinished finds no file that was cut off.
func (s *sitting) checkUnfinished() {
	t := s.t
	t.Helper()
	for name, text := range filesBelow(t, s.root) {
		if base := filepath.Base(name); strings.HasPrefix(base, ".unfinished-") {
			t.Errorf("%s, of %d bytes, is left", name, len(text))
		}
	}
}

// checkMedia finds whole files alone on the media: those that the ceremony has too.
func (s *sitting) checkMedia() {
	t := s.t
	t.Helper()
	there := filesBelow(t, filepath.Join(s.root, "media"))
	known := map[string]bool{}
	for _, text := range filesBelow(t, s.dir) {
		known[sha256Of(text)] = true
	}
	log, private := logOf(t, s.dir), logOrNone(filepath.Join(s.dir, transcript.PrivateDir))
	whole := 0
	for name, text := range there {
		_, inside, _ := strings.Cut(name, "/") // of the medium
		folder, file, deep := strings.Cut(inside, "/")
		switch {
		case text == nil:
		case !deep && folder == ceremony.MediumFile:
			if len(text) != 33 {
				t.Errorf("%s has %d bytes", name, len(text))
			}
		case file == transcript.FileName || file == transcript.PrivateName:
			of := log
			if file == transcript.PrivateName {
				of = private
			}
			if !bytes.HasPrefix(of, text) || !bytes.HasSuffix(text, []byte("\n")) {
				t.Errorf("%s is not the log's beginning", name)
			}
		case file == state.SumsFile:
			medium, _, _ := strings.Cut(name, "/")
			if there[medium+"/"+folder+"/"+transcript.FileName] == nil {
				continue // cut off, and so no copy
			}
			whole++
			for line := range strings.Lines(string(text)) {
				digest, listed, _ := strings.Cut(strings.TrimSpace(line), "  ")
				if copied := there[medium+"/"+folder+"/"+listed]; sha256Of(copied) != digest {
					t.Errorf("%s: %s isn't what the list says", name, listed)
				}
			}
		case !known[sha256Of(text)]:
			t.Errorf("%s, of %d bytes, is nothing that the ceremony has", name, len(text))
		}
	}
	if whole < 2 {
		t.Errorf("%d whole copies are on media", whole)
	}
}

// verdictOn is that of the audit on a ceremony's directory, or its public edition,
// whose checkpoint was announced.
func (s *sitting) verdictOn(dir string) audit.Verdict {
	s.t.Helper()
	note, err := os.ReadFile(filepath.Join(dir, state.PublishDir, "checkpoint"))
	if err != nil {
		s.t.Fatal(err)
	}
	report := audit.Directory(dir, audit.Options{Roots: []*x509.Certificate{s.drawer.AttestationRoot()}, Rehearsal: true, Checkpoint: note})
	if report.Verdict() == audit.Bad {
		for _, c := range report.Checks {
			s.t.Logf("%+v", c)
		}
	}
	return report.Verdict()
}

// outcome counts what comes of the tries of a job, by what was done to it: "of killed:
// at the next start". It says so at the end, and how far it is now and then.
type outcome struct {
	t    *testing.T // the job's
	name string
	all  int // tries

	mu    sync.Mutex
	tried int
	by    map[string]int
}

func newOutcome(t *testing.T, all int, name string) *outcome {
	o := &outcome{t: t, name: name, all: all, by: map[string]int{}}
	t.Cleanup(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		line := fmt.Sprintf("%s: %s: %d tried", t.Name(), o.name, o.tried)
		for _, what := range slices.Sorted(maps.Keys(o.by)) {
			line += fmt.Sprintf("; %s %d", what, o.by[what])
		}
		t.Log(line)
	})
	return o
}

// of counts a try when it ends. come says what has come of it, where it is good.
func (o *outcome) of(t *testing.T, what string, come *string) {
	t.Cleanup(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.tried++
		if t.Failed() {
			*come = "FAILED"
		}
		o.by[what+", "+*come]++
		if o.tried%100 == 0 && o.tried < o.all {
			o.t.Logf("%s: %d of %d tried", o.t.Name(), o.tried, o.all)
		}
	})
}

// Every operation on a file is the last one before a kill, in the middle of a write
// too, or before a failure of the power, after which the disk has nothing but what
// was synced, or all but the last that was not. The next start always comes to the
// end: nothing that people were told is lost, the audit is clean, every signature has
// its intention, and what lies in publish/ and on media is whole.
func TestEveryCrash(t *testing.T) {
	covered := map[string]bool{}
	for _, j := range jobs() {
		if !long && (j.name == "revocation" || j.name == "restore" || j.name == "collect" || j.name == "enrol") {
			continue // no line of the programs changes files in these alone
		}
		t.Run(j.name, func(t *testing.T) {
			s := j.begin(t)
			disk, all, counts := s.crashes(func(what string, op *fault.Op, place string) bool {
				key := string(op.Kind) + place
				turn := []string{"killed", "power failed", "last change lost"}[len(covered)%3]
				if op.Kind == fault.Write {
					turn = "torn write"
				}
				if !long && (covered[key] || what != turn) {
					return false
				}
				covered[key] = true
				return true
			})
			s.knowEnd()
			outcome := newOutcome(t, len(all), fmt.Sprintf("%d operations, %d crashes, of those that leave another disk", counts["operations"], counts["all"]))
			for n, c := range all {
				t.Run(fmt.Sprintf("%d %s before %s %s in %s", n, c.what, c.op.Kind, filepath.Base(c.op.Path), c.place), func(t *testing.T) {
					t.Parallel()
					come := "ended at the next start"
					outcome.of(t, c.what, &come)
					j.after(t, disk, c)
				})
			}
		})
	}
}

// Every operation on a file fails in turn, as on a disk that is full, broken or
// read-only. The people take the task again, and start again where that fails too:
// then all is as above. No line is written before the files that the ones before it
// tell of are safe.
func TestEveryError(t *testing.T) {
	covered := map[fault.Kind]bool{}
	for _, j := range jobs() {
		if !long && j.name != "create with backups" {
			continue
		}
		t.Run(j.name, func(t *testing.T) {
			s := j.begin(t)
			disk, stop := watch(t, s.root)
			begins, tokens := disk.now(), tokenFiles(t, s.tokens())
			type operation struct {
				kind        fault.Kind
				file, place string
			}
			var at []operation
			disk.between = func(op *fault.Op, act func() error) error {
				at = append(at, operation{op.Kind, filepath.Base(op.Path), place()})
				return disk.did(op, act)
			}
			if err := s.job.lead(s); err != nil {
				t.Fatal(err)
			}
			stop()
			s.knowEnd()
			errs := []error{unix.ENOSPC, unix.EIO, unix.EROFS}
			outcome := newOutcome(t, len(at)*len(errs)+2, fmt.Sprintf("%d operations, three errors at each", len(at)))
			for k, o := range at {
				for n, fails := range errs {
					if !long && (covered[o.kind] || k%len(errs) != n) {
						continue
					}
					covered[o.kind] = true
					t.Run(fmt.Sprintf("%d %v at %s %s in %s", k, fails, o.kind, o.file, o.place), func(t *testing.T) {
						t.Parallel()
						var come string
						outcome.of(t, fails.Error(), &come)
						come = j.fails(t, disk, begins, tokens, func(n int, op *fault.Op) error {
							if n != k {
								return nil
							}
							if at := place(); op.Kind != o.kind || at != o.place {
								t.Errorf("it is %s %s in %s", op.Kind, filepath.Base(op.Path), at)
							}
							return fails
						})
					})
				}
			}
			// Broken off by signals, and written in pieces, nothing fails at all; and what
			// was not made safe once is before the next line.
			unsynced := false
			interrupts := map[string]func(n int, op *fault.Op) error{
				"every operation is broken off": func(n int, op *fault.Op) error {
					if n%2 == 0 {
						return unix.EINTR
					}
					return nil
				},
				"the private folder is not synced after the plan": func(n int, op *fault.Op) error {
					if unsynced || op.Kind != fault.SyncFolder || filepath.Base(op.Path) != transcript.PrivateDir || !strings.HasPrefix(place(), "ceremony.(*Desk).write") {
						return nil
					}
					unsynced = true
					return unix.EIO
				},
				"every write is short": func(n int, op *fault.Op) error {
					op.Bytes = op.Bytes[:(len(op.Bytes)+1)/2]
					return nil
				},
			}
			if j.name != "create with backups" { // in which alone a plan is agreed
				delete(interrupts, "the private folder is not synced after the plan")
			}
			for what, interrupt := range interrupts {
				t.Run(what, func(t *testing.T) {
					t.Parallel()
					var come string
					outcome.of(t, what, &come)
					if come = j.fails(t, disk, begins, tokens, interrupt); come != inTheSameStart {
						t.Error(come)
					}
				})
			}
		})
	}
}

const inTheSameStart = "ended in the same start"

// fails holds the job from its beginning while operations fail as fails says, by
// number, and returns what came of it.
func (j *job) fails(t *testing.T, disk *storage, begins image, tokens map[string][]byte, fails func(n int, op *fault.Op) error) (come string) {
	root := t.TempDir()
	disk.lay(t, begins, root)
	for name, text := range tokens {
		file := filepath.Join(root, "tokens", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s := j.in(t, root)
	there, stop := watch(t, root)
	var mu sync.Mutex
	n := -1
	var said []byte
	s.told = func() {
		if now := logOrNone(s.dir); bytes.HasSuffix(now, []byte("\n")) {
			said = now
		}
	}
	there.between = func(op *fault.Op, act func() error) error {
		mu.Lock()
		defer mu.Unlock()
		n++
		if op.Kind == fault.Write && isLog(there.name(op.Path)) {
			told := slices.Concat(logOrNone(s.dir), op.Bytes)
			for _, name := range wouldLose(there) {
				node, inDir := there.names[name], strings.HasPrefix(name, "dir/")
				if !inDir || node == nil || node.folder || name == there.name(op.Path) {
					continue
				}
				of := strings.TrimPrefix(name, "dir/")
				if (strings.HasPrefix(of, "evidence/") || filepath.Base(of) == state.NoticeFile) && !bytes.Contains(told, []byte(of)) {
					continue // no line tells of it: evidence not yet, and of the draft of a notice none ever
				}
				t.Errorf("a line is written, and %s would be lost if the power failed then", name)
			}
		}
		if err := fails(n, op); err != nil {
			return err
		}
		return there.did(op, act)
	}
	come = inTheSameStart
	err := s.job.lead(s)
	for n := 1; err != nil && n <= 2; n++ {
		// A child that another test is starting has our files, and so their locks, until it
		// executes its program, and for a moment longer: Linux lets the parent go on before
		// it closes them.
		syscall.ForkLock.Lock()
		awaitLock(t, s.dir)
		syscall.ForkLock.Unlock()
		come = fmt.Sprintf("ended at start %d", n+1)
		err = s.job.lead(s)
	}
	stop()
	if err != nil {
		t.Fatal(err)
	}
	checkSafe(t, there)
	s.job.ended(s, said)
	if !t.Failed() {
		_ = os.RemoveAll(root)
	}
	return come
}

// Once the log could not be synced nothing more is done in that start: the line may be
// there for the next one, and files that say otherwise would stand in its way for ever.
func TestNothingIsDoneAfterALogThatFailed(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "checkpoints")
	syncs := 0
	before := fault.Between
	fault.Between = func(op *fault.Op, act func() error) error {
		if op.Kind == fault.Sync && filepath.Base(op.Path) == transcript.FileName {
			if syncs++; syncs == 2 { // the first holder has signed the log, and the second one's line is written
				return unix.EIO
			}
		}
		return before(op, act)
	}
	err := desk.Run(t.Context(), "checkpoints", &prompt.Script{})
	fault.Between = before
	if err == nil || !desk.State().SealSigned() {
		t.Fatalf("%v, signed by somebody: %v", err, desk.State().SealSigned())
	}
	if err := desk.Run(t.Context(), "sums", &prompt.Script{}); err == nil || !strings.Contains(err.Error(), "the log could not be synced") {
		t.Errorf("the next task: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "publish", "SHA256SUMS")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("SHA256SUMS: %v", err)
	}
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}
	if desk, err = s.open(clock); err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	tokens := desk.Tokens()
	tokens.Stickers = allStickers
	desk.UseTokens(tokens)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
}
