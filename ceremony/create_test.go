package ceremony_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"rootceremony/ceremony"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/backup"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

// mortal is the program that sessions start.
var mortal string

func runTests(m *testing.M) int {
	// In memory, where there is such a place: hundreds of ceremonies sync every
	// event.
	var there unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &there); err == nil && there.Flags&unix.ST_NOEXEC == 0 && there.Bavail*uint64(there.Bsize) > 1<<30 {
		if memory, err := os.MkdirTemp("/dev/shm", "rootceremony-"); err == nil {
			defer os.RemoveAll(memory)
			_ = os.Setenv("TMPDIR", memory)
		}
	}
	watchDisks()
	dir, err := os.MkdirTemp("", "mortal-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	backup.WorkFactor = 4 // as in mortal
	mortal = filepath.Join(dir, "mortal")
	if out, err := buildMortal().CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s%v\n", out, err)
		return 1
	}
	code := m.Run()
	if stockAge != "" {
		_ = os.RemoveAll(stockAge)
	}
	return code
}

// buildMortal builds it, under the race detector if these tests are.
func buildMortal() *exec.Cmd {
	build := exec.Command("go", "build", "-o", mortal)
	cgo := "CGO_ENABLED=0"
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		build.Args = append(build.Args, "-race")
		cgo = "CGO_ENABLED=1"
	}
	build.Args = append(build.Args, "./mortal")
	build.Env = append(os.Environ(), cgo)
	return build
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

// stage is a rehearsal's directory with a plan, and a drawer of tokens.
type stage struct {
	t       testing.TB
	dir     string
	drawer  *virtual.Drawer
	plugged []string // stickers
	real    bool     // not a rehearsal, though on virtual tokens
	safes   map[string]age.Identity
	die     string            // where the next sessions' child ends, of mortal
	env     []string          // more for the sessions' children
	silence time.Duration     // for how long they may say nothing; 0: as ever
	memory  string            // what this laptop remembers of what was signed; "": nothing
	paper   bool              // a start compares it; else it is taken as read
	shared  string            // the folder of an earlier ceremony's tokens, which are used on
	serials map[string]uint32 // by sticker, of tokens that were plugged in: the drawer reads them all to find one
}

// newStage has a plan without backups. edit changes it.
func newStage(t testing.TB, edit ...string) *stage {
	t.Helper()
	text, err := os.ReadFile("plan/testdata/on-token.toml")
	if err != nil {
		t.Fatal(err)
	}
	return newStageOf(t, strings.NewReplacer(edit...).Replace(string(text)))
}

// newStageOf has this plan, or without one the example. The safe of the example
// has its identity there.
func newStageOf(t testing.TB, planned string) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir()}
	files, err := plan.Example()
	if err != nil {
		t.Fatal(err)
	}
	if planned != "" {
		files[state.PlanFile] = []byte(planned)
	}
	for name, text := range files {
		if err := disk.WriteNew(filepath.Join(s.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s.drawer, err = virtual.OpenDrawer(s.tokens()); err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens the desk; the tokens named are added to the drawer.
func (s *stage) open(clock func() time.Time, stickers ...string) (*ceremony.Desk, error) {
	desk, err := ceremony.OpenDesk(s.dir, ceremony.Settings{Program: "test", Clock: clock, Rehearsal: !s.real, Memory: s.memory,
		Roots: []*x509.Certificate{s.drawer.AttestationRoot()}})
	if err != nil {
		return nil, err
	}
	if !s.paper {
		desk.Compared()
	}
	for _, sticker := range stickers {
		if _, err := s.drawer.Add(sticker, virtual.Options{}); err != nil {
			s.t.Fatal(err)
		}
	}
	desk.UseTokens(prompt.Tokens{
		Roots: []*x509.Certificate{s.drawer.AttestationRoot()}, Start: s.start, Stickers: stickers, PIN: s.drawer.PIN,
		Plug: func(stickers ...string) error { s.plugged = stickers; return nil },
	})
	return desk, nil
}

// opened is a desk with a token for each holder, and no backups. edit changes
// the plan.
func opened(t testing.TB, edit ...string) (*stage, *ceremony.Desk) {
	t.Helper()
	return newStage(t, edit...).opened()
}

func (s *stage) opened() (*stage, *ceremony.Desk) {
	t := s.t
	t.Helper()
	desk, err := s.open(clock, allStickers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = desk.Close() })
	return s, desk
}

func (s *stage) start(ctx context.Context) (*session.Session, error) {
	backend := session.Backend{Kind: virtual.Kind, Dir: s.tokens()}
	if s.serials == nil {
		s.serials = map[string]uint32{}
	}
	for _, sticker := range s.plugged {
		if s.serials[sticker] == 0 {
			serial, err := s.drawer.Serial(sticker)
			if err != nil {
				return nil, err
			}
			s.serials[sticker] = serial
		}
		backend.Plugged = append(backend.Plugged, s.serials[sticker])
	}
	program := session.Program{Path: mortal, Env: s.env, Silence: s.silence}
	if s.die != "" {
		program.Env = append([]string{dieAt + "=" + s.die}, s.env...)
	}
	return program.Start(ctx, backend)
}

var allStickers = []string{"A-01", "B-02", "C-03", "D-04", "E-05"}

// runAll takes every task in turn.
func runAll(desk *ceremony.Desk, a prompt.Room) error {
	for {
		task, ok := desk.Next()
		if !ok {
			return nil
		}
		if err := desk.Run(context.Background(), task.ID, a); err != nil {
			return fmt.Errorf("%s: %w", task.ID, err)
		}
	}
}

// runTo takes tasks until the one named is next.
func runTo(t testing.TB, desk *ceremony.Desk, id string) {
	t.Helper()
	for {
		task, ok := desk.Next()
		if !ok {
			t.Fatalf("task %s never came", id)
		}
		if task.ID == id {
			return
		}
		if err := desk.Run(t.Context(), task.ID, &prompt.Script{}); err != nil {
			t.Fatalf("%s: %v", task.ID, err)
		}
	}
}

// powerFailures holds a ceremony under the clock that it gives, and returns what
// a failure of the power before each event leaves on the disk and the tokens:
// whatever was done before it, the event is not recorded. The last is s itself.
func (s *stage) powerFailures(hold func(clock func() time.Time)) (left []*stage) {
	s.t.Helper()
	hold(func() time.Time {
		left = append(left, s.copied())
		return noon
	})
	return append(left, s)
}

// sampled are those of left that make test goes on from: one before the first event of
// each type, every ninth, and the last. make torture has them all.
func sampled(left []*stage) iter.Seq2[int, *stage] {
	return func(yield func(int, *stage) bool) {
		last := left[len(left)-1]
		all, covered := events(last.t, last.dir), map[string]bool{}
		for n, s := range left {
			kind := "none"
			if lines := bytes.Count(logOrNone(s.dir), []byte("\n")); lines < len(all) {
				kind = all[lines].Type
			}
			if (long || !covered[kind] || n%9 == 0) && !yield(n, s) {
				return
			}
			covered[kind] = true
		}
	}
}

// copied is the same stage in other folders.
func (s *stage) copied() *stage {
	t := s.t
	t.Helper()
	again := *s
	again.dir, again.serials = t.TempDir(), nil
	folders := map[string]string{again.dir: s.dir}
	if s.shared != "" {
		again.shared = t.TempDir()
		folders[again.shared] = s.shared
	}
	for to, from := range folders {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if again.drawer, err = virtual.OpenDrawer(again.tokens()); err != nil {
		t.Fatal(err)
	}
	return &again
}

// The power fails before an event: after the act, but before its result is recorded.
// The next start always brings the ceremony to its end, and what was recorded is still
// there.
func TestPowerFailsBeforeEveryEvent(t *testing.T) {
	whole := newStage(t)
	left := whole.powerFailures(func(clock func() time.Time) {
		desk, err := whole.open(clock, allStickers...)
		if err != nil {
			t.Fatal(err)
		}
		defer desk.Close()
		if err := runAll(desk, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
	})
	if lines := len(events(t, whole.dir)); len(left) <= lines {
		t.Errorf("%d failures for a log of %d lines", len(left)-1, lines)
	}
	for n, s := range sampled(left) {
		t.Run(fmt.Sprint("before event ", n+1), func(t *testing.T) {
			t.Parallel()
			s.t = t
			before := logOf(t, s.dir)
			desk, err := s.open(clock, allStickers...)
			if err != nil {
				t.Fatal(err)
			}
			if err := runAll(desk, &prompt.Script{}); err != nil {
				t.Fatal(err)
			}
			desk.Close()
			if !bytes.HasPrefix(logOf(t, s.dir), before) {
				t.Fatal("something recorded is gone")
			}
			checkSigned(t, s.dir, 5)
		})
	}
}

func logOf(t testing.TB, dir string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, transcript.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func events(t testing.TB, dir string) []transcript.Event {
	t.Helper()
	events, _ := lines(t, wholeLogOf(t, dir))
	return events
}

// checkSigned replays the log, and counts its signatures.
func checkSigned(t testing.TB, dir string, want int) *state.State {
	t.Helper()
	all := events(t, dir)
	now, err := state.Fold(all)
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, e := range all {
		if e.Type == state.TypeSignatureMade {
			made++
		}
	}
	if made != want || !now.Finished() {
		t.Errorf("%d signatures, want %d; closed: %v, finished: %v", made, want, now.Closed != nil, now.Finished())
	}
	return now
}

// answered is a Script whose answers can depend on what was asked before.
type answered struct {
	prompt.Script
	token func(w prompt.TokenWait) (keys.Info, error, bool)
	touch func() error
}

func (a *answered) WaitForToken(ctx context.Context, w prompt.TokenWait) (keys.Info, error) {
	if a.token != nil {
		if info, err, did := a.token(w); did {
			return info, err
		}
	}
	return a.Script.WaitForToken(ctx, w)
}

func (a *answered) WaitForTouch(ctx context.Context, p prompt.Prompt, press bool) error {
	if a.touch != nil {
		return a.touch()
	}
	return a.Script.WaitForTouch(ctx, p, press)
}

// Wrong tokens are refused before any PIN is asked for.
func TestWrongTokensAreRefusedBeforeThePIN(t *testing.T) {
	s, desk := opened(t)
	for sticker, o := range map[string]virtual.Options{
		"old":  {Firmware: keys.Firmware{Major: 5, Minor: 4, Patch: 3}},
		"fips": {Edition: "FIPS"}, "bio": {Edition: "Bio"},
	} {
		if _, err := s.drawer.Add(sticker, o); err != nil {
			t.Fatal(err)
		}
	}
	runTo(t, desk, "enrol bruno")
	for _, c := range []struct {
		plugged []string
		want    string
	}{
		{nil, "no token is in a reader"},
		{[]string{"A-01"}, "is Alice Costa's"},
		{[]string{"A-01", "old"}, "firmware 5.4.3"},
		{[]string{"old"}, "firmware 5.4.3"},
		{[]string{"fips"}, "FIPS"},
		{[]string{"bio"}, "Bio"},
	} {
		a := &answered{}
		a.token = func(w prompt.TokenWait) (keys.Info, error, bool) {
			s.plugged = c.plugged
			info, err := w.Look(context.Background())
			return info, err, true
		}
		a.Say = func(m prompt.Message) {
			if strings.Contains(m.Title, "PIN") {
				t.Errorf("%v: a PIN is asked for", c.plugged)
			}
		}
		err := desk.Run(t.Context(), "enrol bruno", a)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.plugged, err, c.want)
		}
	}
	if err := desk.Run(t.Context(), "enrol bruno", &prompt.Script{}); err != nil {
		t.Errorf("the right token: %v", err)
	}
}

// A token that is not fresh is wiped once its serial number was typed, and not
// otherwise.
func TestTokenThatHoldsKeysIsWipedByItsSerial(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol alice")
	s.plugged = []string{"A-01"}
	used := s.useElsewhere(t, "A-01")
	err := desk.Run(t.Context(), "enrol alice", &prompt.Script{Answers: map[string]string{"holder.prepared alice": "wipe", "holder.wipe alice": "12345678"}})
	if err == nil || !strings.Contains(err.Error(), "not what is asked for") {
		t.Errorf("with another serial number: %v", err)
	}
	if now := s.look(t); len(now.Keys) != len(used.Keys) || now.PINDefault {
		t.Fatalf("the token was changed: %+v", now)
	}
	if err := desk.Run(t.Context(), "enrol alice", &prompt.Script{Answers: map[string]string{"holder.prepared alice": "wipe"}}); err != nil {
		t.Fatal(err)
	}
	now := s.look(t)
	if key, ok := now.Key(keys.SlotAuthentication); !ok || key.Public == used.Keys[0].Public {
		t.Errorf("the key from elsewhere is still there")
	}
}

// A token that was prepared before the day, with all that a ceremony prepares,
// is taken as it is, with the PIN that it has.
func TestTokenThatIsPreparedAlready(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol alice")
	there := s.useElsewhere(t, "A-01")
	first := &prompt.Script{Answers: map[string]string{"holder.pin alice": "445566"}}
	if err := desk.Run(t.Context(), "enrol alice", first); err != nil {
		t.Fatal(err)
	}
	if alice := desk.State().Holders["alice"]; alice.Prepared.Age != there.Keys[0].Public || alice.Prepared.Authentication != there.Keys[1].Public || alice.Checkpoint == nil {
		t.Errorf("prepared: %+v", alice.Prepared)
	}
	for _, e := range events(t, s.dir) {
		if e.Type == state.TypeWipeIntended {
			t.Error("the token was wiped")
		}
	}
	// One whose keys nobody vouches for would be wiped.
	child := s.session(t, "B-02")
	if _, err := child.Prepare(newSecret(t, "445566")); err != nil {
		t.Fatal(err)
	}
	child.Close()
	other, err := virtual.OpenDrawer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tokens := desk.Tokens()
	ours := tokens.Roots
	tokens.Roots = []*x509.Certificate{other.AttestationRoot()}
	desk.UseTokens(tokens)
	err = desk.Run(t.Context(), "enrol bruno", &prompt.Script{Answers: map[string]string{"holder.wipe bruno": "12345678"}})
	if err == nil || !strings.Contains(err.Error(), "cannot show that it was made by a maker whom this ceremony trusts") {
		t.Errorf("one of another maker: %v", err)
	}
	tokens.Roots = ours
	desk.UseTokens(tokens)
	if err := runAll(desk, &prompt.Script{Answers: map[string]string{"holder.pin alice": "445566", "holder.pin bruno": "445566"}}); err != nil {
		t.Fatal(err)
	}
	checkSigned(t, s.dir, 5)
}

// useElsewhere prepares a token outside of the ceremony.
func (s *stage) useElsewhere(t testing.TB, sticker string) keys.Info {
	t.Helper()
	pin := newSecret(t, "445566")
	child := s.session(t, sticker)
	defer child.Close()
	if _, err := child.Prepare(pin); err != nil {
		t.Fatal(err)
	}
	info, err := child.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func (s *stage) session(t testing.TB, sticker string) *session.Session {
	t.Helper()
	s.plugged = []string{sticker}
	serial, err := s.drawer.Serial(sticker)
	if err != nil {
		t.Fatal(err)
	}
	child, err := s.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Select(serial); err != nil {
		t.Fatal(err)
	}
	return child
}

func (s *stage) look(t testing.TB) keys.Info {
	t.Helper()
	child := s.session(t, s.plugged[0])
	defer child.Close()
	info, err := child.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// A wrong PIN costs one try, and is asked for again with the tries left; the
// task never spends a try that nobody typed.
func TestWrongPINs(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "sign alice")
	s.plugged = []string{"A-01"}
	tries := []string{}
	a := &prompt.Script{Answers: map[string]string{"holder.pin alice": "908172"}}
	a.Say = func(m prompt.Message) {
		for _, f := range m.Facts {
			if f.Label == "Tries" {
				tries = append(tries, f.Value)
				if len(tries) == 3 {
					delete(a.Answers, "holder.pin alice")
				}
			}
		}
	}
	if err := desk.Run(t.Context(), "sign alice", a); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(tries, ", "); got != "5 left, 4 left, 3 left" {
		t.Errorf("tries: %s", got)
	}
	if left := s.look(t).PINTries; left != 5 {
		t.Errorf("%d tries left after the right PIN", left)
	}
}

func TestBlockedPIN(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "sign alice")
	a := &prompt.Script{Answers: map[string]string{"holder.pin alice": "908172"}}
	var pin *keys.PINError
	if err := desk.Run(t.Context(), "sign alice", a); !errors.As(err, &pin) || pin.TriesLeft != 0 || !strings.Contains(err.Error(), "Alice Costa") {
		t.Errorf("after five wrong PINs: %v", err)
	}
	if err := desk.Run(t.Context(), "sign alice", &prompt.Script{}); !errors.As(err, &pin) {
		t.Errorf("with the right PIN: %v", err)
	}
	others := &prompt.Script{Answers: map[string]string{"checkpoints.who": "bruno"}}
	others.Say = func(m prompt.Message) {
		if strings.Contains(m.Title, "Bruno") {
			delete(others.Answers, "checkpoints.who")
		}
	}
	for _, id := range []string{"sign bruno", "sign chen", "sign dana", "publish", "sign emil", "seal", "checkpoints", "sums", "carry"} {
		others.Answers["checkpoints.who"] = "bruno"
		if err := desk.Run(t.Context(), id, others); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	checkSigned(t, s.dir, 4)
}

// A touch that is refused leaves an intention without a result; the next try
// looks at the token, says so, and signs.
func TestLeftDuringTheTouch(t *testing.T) {
	_, desk := opened(t)
	runTo(t, desk, "sign alice")
	if err := desk.Run(t.Context(), "sign alice", &answered{touch: func() error { return prompt.ErrLeft }}); !errors.Is(err, prompt.ErrLeft) {
		t.Fatalf("left: %v", err)
	}
	if open := desk.State().Holders["alice"].Open; open == nil || open.Type != state.TypeSignatureIntended {
		t.Fatalf("open: %+v", open)
	}
	told := false
	if err := desk.Run(t.Context(), "sign alice", &prompt.Script{Say: func(m prompt.Message) {
		told = told || strings.Contains(m.Title, "interrupted")
	}}); err != nil || !told {
		t.Errorf("%v, told: %v", err, told)
	}
}

// Tasks can be taken in any order that their needs allow, and a task that
// waits cannot be taken.
func TestTasksInAnotherOrder(t *testing.T) {
	s, desk := opened(t)
	for _, id := range []string{"preflight", "agree", "enrol emil", "enrol chen", "enrol alice", "enrol dana", "enrol bruno", "review",
		"sign dana", "sign bruno", "sign emil", "publish", "sign alice", "seal", "checkpoints", "sums", "carry"} {
		for _, task := range desk.Tasks() {
			if task.State != prompt.Blocked {
				continue
			}
			if err := desk.Run(t.Context(), task.ID, &prompt.Script{}); err == nil || !strings.Contains(err.Error(), task.Reason) {
				t.Errorf("before %s: blocked task %s: %v", id, task.ID, err)
			}
		}
		if err := desk.Run(t.Context(), id, &prompt.Script{}); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	now := checkSigned(t, s.dir, 4)
	if len(now.Published.KeyIDs) != 3 || now.Sealed.Fuller == nil || len(now.Sealed.KeyIDs) != 4 {
		t.Errorf("published by %d, sealed %+v", len(now.Published.KeyIDs), now.Sealed)
	}
	if err := desk.Run(t.Context(), "sign chen", &prompt.Script{}); err == nil {
		t.Error("signed after the seal")
	}
}

// A log whose events were made up, or that lost one, does not replay.
func TestFoldRefusesWhatDoesNotFit(t *testing.T) {
	s, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	desk.Close()
	all := events(t, s.dir)
	free := map[string]bool{state.TypeNote: true, state.TypePreflight: true, state.TypeCheckpointSigned: true, state.TypeContinued: true, state.TypeClosed: true,
		state.TypeCarryIntended: true, state.TypeCarried: true} // to more media, or to fewer
	for i, e := range all {
		changed := append([]transcript.Event{}, all...)
		both := string(e.Data) + string(e.Private)
		for old, new := range map[string]string{
			`"signature":"`: `"signature":"0`, `"name":"publish/1`: `"name":"publish/../../1`, `"name":"metadata/`: `"name":"`,
			`"sha256":"`: `"sha256":"0`, `"touch":"always"`: `"touch":"never"`, `"slot":156`: `"slot":154`,
			`"algorithm":"ed25519"`: `"algorithm":"ecdsa-p256"`,
		} {
			changed[i].Data, changed[i].Private = bytes.ReplaceAll(e.Data, []byte(old), []byte(new)), bytes.ReplaceAll(e.Private, []byte(old), []byte(new))
			evidence := strings.Contains(both, `"evidence":`) && strings.Contains(old, "sha256") // files that do not follow from the log
			if !strings.Contains(both, old) || evidence {
				continue
			}
			if _, err := state.Fold(changed); err == nil {
				t.Errorf("line %d (%s) can have %s for %s", e.Seq, e.Type, new, old)
			}
		}
		if free[e.Type] {
			continue
		}
		without := append(append([]transcript.Event{}, all[:i]...), all[i+1:]...)
		if _, err := state.Fold(without); err == nil {
			t.Errorf("line %d (%s) can be left out", e.Seq, e.Type)
		}
		twice := append(append([]transcript.Event{}, all[:i+1]...), all[i:]...)
		if _, err := state.Fold(twice); err == nil {
			t.Errorf("line %d (%s) can be there twice", e.Seq, e.Type)
		}
	}
}

// The root expires within a day and says that it is a rehearsal's, whatever
// the plan says.
func TestRehearsalIsMarked(t *testing.T) {
	_, desk := opened(t)
	runTo(t, desk, "sign alice")
	now := desk.State()
	if !now.Root.Rehearsal() || now.Root.Expires.After(noon.Add(24*time.Hour)) {
		t.Errorf("rehearsal %v, expires %s", now.Root.Rehearsal(), now.Root.Expires)
	}
}

// P-256 tokens go the same way.
func TestCreateWithP256(t *testing.T) {
	s, desk := opened(t, `algorithm = "ed25519"`, `algorithm = "ecdsa-p256"`)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	if key := desk.State().Holders["alice"].Key.Public; key.Algorithm != keys.P256 {
		t.Errorf("the root key is %s", key.Algorithm)
	}
	checkSigned(t, s.dir, 5)
}
