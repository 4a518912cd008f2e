package ceremony_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/internal/fault"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys/virtual"
)

// long has every operation of every job fail and crash in every way, for hours (make
// torture). Without it there is a crash at one operation of each kind from each line
// of the programs, and an error at one of each kind.
var long = os.Getenv("ROOTCEREMONY_TORTURE") != ""

// job is something that people do on the day, from where start leaves it.
type job struct {
	name     string
	stickers []string
	answers  map[string]string
	start    func(t *testing.T, j *job) *stage
	// first does what comes before the next task, and reports whether it did.
	first func(s *stage, d *ceremony.Desk, a prompt.Room) (did bool, err error)
}

func nothingFirst(*stage, *ceremony.Desk, prompt.Room) (bool, error) { return false, nil }

func jobs() []*job {
	return []*job{
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
		collection(),
	}
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
	if err := os.CopyFS(filepath.Join(root, "dir"), os.DirFS(from.dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(root, "dir", filepath.FromSlash(ceremony.TokensDir))); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		if err := os.MkdirAll(filepath.Join(root, "media", fmt.Sprint(n)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return j.in(t, root)
}

// goOn is one start of the program, which goes on to the end. What fails once is
// taken again by the people; what fails again makes them leave.
func (s *sitting) goOn() error {
	desk, err := s.open(clock)
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
	if err := s.goOn(); err != nil {
		t.Fatal(err)
	}
	stop()
	s.told = func() {}
	counts["operations"] = disk.ops
	return disk, all, counts
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
func (j *job) after(t *testing.T, disk *storage, c crash, want audit.Verdict) {
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
	if err := s.goOn(); err != nil {
		t.Fatalf("the next start: %v", err)
	}
	stop()
	checkSafe(t, again)
	s.checkEnd(c.said, want)
	if !t.Failed() { // they are many
		_ = os.RemoveAll(root)
	}
}

// checkSafe finds nothing on a disk that a failure of the power would take, but of
// copies on media that were cut off, which have no log or one whose name is not safe,
// and of backups that were cut off, which the log does not name.
func checkSafe(t *testing.T, disk *storage) {
	t.Helper()
	safe := disk.safe()
	log := string(logOrNone(filepath.Join(disk.root, "dir"))) + string(logOrNone(filepath.Join(disk.root, "dir", transcript.PrivateDir)))
	for _, name := range safe.differs(disk.now()) {
		if parts := strings.Split(name, "/"); parts[0] == "media" && len(parts) > 3 {
			if _, whole := safe[path.Join(path.Join(parts[:3]...), transcript.FileName)]; !whole {
				continue
			}
		}
		if of := strings.TrimPrefix(name, "dir/"); strings.HasPrefix(of, "private/backups/") && !strings.Contains(log, `"`+of+`"`) {
			continue
		}
		t.Errorf("%s would be lost if the power failed at the end", name)
	}
}

// checkEnd looks at a job that came to its end, and had this log when people were
// last told something before it was broken off.
func (s *sitting) checkEnd(said []byte, want audit.Verdict) {
	t := s.t
	t.Helper()
	if !bytes.HasPrefix(logOf(t, s.dir), said) {
		t.Error("something that people were told is not in the log")
	}
	if got := s.verdict(); got != want {
		t.Errorf("the audit says %q, want %q", got, want)
	}
	now, err := state.Fold(events(t, s.dir))
	if err != nil || !now.Finished() {
		t.Fatalf("%v, finished: %v", err, now != nil && now.Finished())
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
	s.checkMedia()
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

func (s *sitting) verdict() audit.Verdict {
	s.t.Helper()
	note, err := os.ReadFile(filepath.Join(s.dir, state.PublishDir, "checkpoint"))
	if err != nil {
		s.t.Fatal(err)
	}
	report := audit.Directory(s.dir, audit.Options{Roots: []*x509.Certificate{s.drawer.AttestationRoot()}, Rehearsal: true, Checkpoint: note})
	if report.Verdict() == audit.Bad {
		for _, c := range report.Checks {
			s.t.Logf("%+v", c)
		}
	}
	return report.Verdict()
}

// outcome counts what comes of the tries of a job, and says so at its end.
type outcome struct{ tried, good atomic.Int64 }

func newOutcome(t *testing.T, j *job, what string) *outcome {
	o := &outcome{}
	t.Cleanup(func() {
		t.Logf("%s: %s: %d tried, %d came to their end", j.name, what, o.tried.Load(), o.good.Load())
	})
	return o
}

func (o *outcome) of(t *testing.T) {
	o.tried.Add(1)
	t.Cleanup(func() {
		if !t.Failed() {
			o.good.Add(1)
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
		if !long && j.name != "create with backups" && j.name != "rotation" {
			continue // no line of the programs changes files in the others alone
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
			want := s.verdict()
			s.checkEnd(nil, want)
			tried := map[string]int{}
			for _, c := range all {
				tried[c.what]++
			}
			outcome := newOutcome(t, j, fmt.Sprintf("%d operations, %d crashes; those that leave another disk are tried: %v", counts["operations"], counts["all"], tried))
			for n, c := range all {
				t.Run(fmt.Sprintf("%d %s before %s %s in %s", n, c.what, c.op.Kind, filepath.Base(c.op.Path), c.place), func(t *testing.T) {
					t.Parallel()
					outcome.of(t)
					j.after(t, disk, c, want)
				})
			}
		})
	}
}

// Every operation on a file fails in turn, as on a disk that is full, broken or
// read-only. The people take the task again, and start again where that fails too:
// then all is as above.
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
			var at []fault.Kind
			disk.between = func(op *fault.Op, act func() error) error {
				at = append(at, op.Kind)
				return disk.did(op, act)
			}
			if err := s.goOn(); err != nil {
				t.Fatal(err)
			}
			stop()
			want := s.verdict()
			errs := []error{unix.ENOSPC, unix.EIO, unix.EROFS}
			outcome := newOutcome(t, j, fmt.Sprintf("%d operations, three errors at each", len(at)))
			for k := range at {
				for n, fails := range errs {
					if !long && (covered[at[k]] || k%len(errs) != n) {
						continue
					}
					covered[at[k]] = true
					t.Run(fmt.Sprintf("%v at %d, %s", fails, k, at[k]), func(t *testing.T) {
						t.Parallel()
						outcome.of(t)
						j.fails(t, disk, begins, tokens, want, func(n int, op *fault.Op) error {
							if n == k {
								return fails
							}
							return nil
						})
					})
				}
			}
			// Broken off by signals, and written in pieces, nothing fails at all.
			for what, interrupt := range map[string]func(n int, op *fault.Op) error{
				"every operation is broken off": func(n int, op *fault.Op) error {
					if n%2 == 0 {
						return unix.EINTR
					}
					return nil
				},
				"every write is short": func(n int, op *fault.Op) error {
					op.Bytes = op.Bytes[:(len(op.Bytes)+1)/2]
					return nil
				},
			} {
				t.Run(what, func(t *testing.T) {
					t.Parallel()
					outcome.of(t)
					if failed := j.fails(t, disk, begins, tokens, want, interrupt); failed > 0 {
						t.Errorf("%d starts failed", failed)
					}
				})
			}
		})
	}
}

// fails holds the job from its beginning while operations fail as fault says, by
// number, and returns how many starts that took beside the last.
func (j *job) fails(t *testing.T, disk *storage, begins image, tokens map[string][]byte, want audit.Verdict, fails func(n int, op *fault.Op) error) (starts int) {
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
		if err := fails(n, op); err != nil {
			return err
		}
		return there.did(op, act)
	}
	err := s.goOn()
	for ; err != nil && starts < 2; starts++ {
		err = s.goOn()
	}
	stop()
	if err != nil {
		t.Fatal(err)
	}
	checkSafe(t, there)
	s.checkEnd(said, want)
	if !t.Failed() {
		_ = os.RemoveAll(root)
	}
	return starts
}
