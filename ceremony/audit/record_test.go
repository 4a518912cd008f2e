package audit_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys/backup"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
)

// The test program is also the child process of token sessions.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "token-session" {
		if err := session.Serve(os.Stdin, os.Stdout, virtual.Open, backup.InSession()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// In memory, where there is such a place: a ceremony syncs every event.
	var err error
	if scratch, err = os.MkdirTemp("/dev/shm", "audit-"); err != nil {
		scratch, err = os.MkdirTemp("", "audit-")
	}
	if err == nil {
		err = os.Setenv("TMPDIR", scratch)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(scratch)
	os.Exit(code)
}

// scratch is a folder that lasts as long as the test program.
var scratch string

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

// record is the directory of a rehearsal that was held here, and its tokens.
type record struct {
	dir     string
	tokens  string // the drawer's folder
	drawer  *virtual.Drawer
	roots   []*x509.Certificate
	plugged []string
	away    map[string]*record // whose tokens with these stickers are elsewhere
}

// begin lays out a directory: the example's, with another plan where one is named.
func begin(planned string) (*record, error) {
	dir, err := os.MkdirTemp(scratch, "record-")
	if err != nil {
		return nil, err
	}
	files, err := plan.Example()
	if err != nil {
		return nil, err
	}
	if planned != "" {
		files[state.PlanFile] = []byte(planned)
	}
	if !strings.Contains(planned, "[role.") && planned != "" {
		files = map[string][]byte{state.PlanFile: []byte(planned)}
	}
	for name, text := range files {
		if err := disk.WriteNew(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	tokens, err := os.MkdirTemp(scratch, "tokens-")
	if err != nil {
		return nil, err
	}
	drawer, err := virtual.OpenDrawer(tokens)
	if err != nil {
		return nil, err
	}
	return &record{dir: dir, tokens: tokens, drawer: drawer, roots: []*x509.Certificate{drawer.AttestationRoot()}}, nil
}

var stickers = []string{"A-01", "B-02", "C-03", "D-04", "E-05", "F-06"}

// open opens the desk, for one holder's enrolment where that is named.
func (r *record) open(clock func() time.Time, enrols string, planned *agreed.Plan) (*ceremony.Desk, error) {
	desk, err := ceremony.OpenDesk(r.dir, ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true, Enrols: enrols, Plan: planned, Roots: r.roots})
	if err != nil {
		return nil, err
	}
	for _, sticker := range stickers {
		if _, err := r.drawer.Add(sticker, virtual.Options{}); err != nil {
			return nil, err
		}
	}
	desk.UseTokens(prompt.Tokens{Roots: r.roots, Start: r.start, Stickers: stickers,
		Plug: func(stickers ...string) error { r.plugged = stickers; return nil }})
	return desk, nil
}

func (r *record) start(ctx context.Context) (*session.Session, error) {
	from, plugged := r, r.plugged
	for _, sticker := range r.plugged {
		if away := r.away[sticker]; away != nil { // it has come, and the others are put aside
			from, plugged = away, []string{sticker}
		}
	}
	backend := session.Backend{Kind: virtual.Kind, Dir: from.tokens}
	for _, sticker := range plugged {
		serial, err := from.drawer.Serial(sticker)
		if err != nil {
			return nil, err
		}
		backend.Plugged = append(backend.Plugged, serial)
	}
	return session.Program{Args: []string{"token-session"}}.Start(ctx, backend)
}

// hold takes every task in turn, up to the one that is named, or to the end.
func (r *record) hold(desk *ceremony.Desk, to string, answers map[string]string) error {
	for {
		task, ok := desk.Next()
		if !ok || task.ID == to {
			return nil
		}
		if err := desk.Run(context.Background(), task.ID, &prompt.Script{Answers: answers}); err != nil {
			return fmt.Errorf("%s: %w", task.ID, err)
		}
	}
}

func held(planned string) (*record, error) {
	r, err := begin(planned)
	if err != nil {
		return nil, err
	}
	desk, err := r.open(clock, "", nil)
	if err != nil {
		return nil, err
	}
	defer desk.Close()
	return r, r.hold(desk, "", nil)
}

func onToken() string {
	text, err := os.ReadFile("../plan/testdata/on-token.toml")
	if err != nil {
		panic(err)
	}
	return string(text)
}

// The good records, each of which is made once.
var records map[string]func() (*record, error)

func init() { // as one is made of another
	records = map[string]func() (*record, error){
		"create":  sync.OnceValues(func() (*record, error) { return held(onToken()) }),
		"backups": sync.OnceValues(func() (*record, error) { return held("") }),
		"rotate":  sync.OnceValues(func() (*record, error) { return followed("rotate", "retired") }),
		"revoke":  sync.OnceValues(func() (*record, error) { return followed("revoke", "stolen") }),
		"elsewhere": sync.OnceValues(func() (*record, error) {
			r, err := begin(onToken())
			if err != nil {
				return nil, err
			}
			desk, err := r.open(clock, "", nil)
			if err != nil {
				return nil, err
			}
			defer desk.Close()
			if err := r.hold(desk, "enrol alice", nil); err != nil {
				return nil, err
			}
			if err := r.enrolElsewhere(desk, "emil"); err != nil {
				return nil, err
			}
			return r, r.hold(desk, "", nil)
		}),
	}
}

// enrolElsewhere has a holder enrol in another directory, and collects what they
// hand over.
func (r *record) enrolElsewhere(desk *ceremony.Desk, holder string) error {
	away, err := begin("kind = \"none\"")
	if err != nil {
		return err
	}
	if err := os.Remove(away.at(state.PlanFile)); err != nil {
		return err
	}
	there, err := away.open(clock, holder, desk.State().Plan)
	if err != nil {
		return err
	}
	defer there.Close()
	script := &prompt.Script{}
	for task, ok := there.Next(); ok; task, ok = there.Next() {
		if err := there.Run(context.Background(), task.ID, script); err != nil {
			return fmt.Errorf("%s: %w", task.ID, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(away.dir, holder+".enrolment.json"))
	if err != nil {
		return err
	}
	r.roots, r.away = append(r.roots, away.roots...), map[string]*record{"E-05": away}
	tokens := desk.Tokens()
	tokens.Roots = r.roots
	desk.UseTokens(tokens)
	if _, err = desk.Collect(text); err != nil {
		return err
	}
	return desk.Run(context.Background(), "enrol "+holder, &prompt.Script{Cards: script.Cards})
}

// followed is a ceremony after the one without backups: Emil leaves for a reason,
// Farah comes.
func followed(kind, reason string) (*record, error) {
	first, err := records["create"]()
	if err != nil {
		return nil, err
	}
	log, err := events(first.dir)
	if err != nil {
		return nil, err
	}
	now, err := state.Fold(log)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("kind = %q\nname = \"Example packages\"\ntrusted = \"trusted\"\n", kind)
	if kind == "revoke" {
		text += "reason = \"a token was taken\"\n"
	}
	text += "[root]\nexpires = \"365d\"\n"
	for _, h := range now.Plan.Holders {
		key, err := tuf.NewKey(now.Holders[h.ID].Key.Public)
		if err != nil {
			return nil, err
		}
		if h.ID == "emil" {
			text += fmt.Sprintf("[[drop]]\nkeyid = %q\nreason = %q\nname = %q\ntoken = %q\n", key.ID, reason, h.Name, h.Token)
		} else {
			text += fmt.Sprintf("[[holder]]\nname = %q\ntoken = %q\nkeyid = %q\n", h.Name, h.Token, key.ID)
		}
	}
	text += "[[holder]]\nname = \"Farah Aziz\"\ntoken = \"F-06\"\n"
	r, err := begin(text)
	if err != nil {
		return nil, err
	}
	root, err := os.ReadFile(filepath.Join(first.dir, "publish", "1.root.json"))
	if err == nil {
		err = disk.WriteNew(filepath.Join(r.dir, "trusted", "1.root.json"), root, 0o600)
	}
	if err != nil {
		return nil, err
	}
	// The same tokens, in a drawer of its own, as signing changes them.
	if err := os.RemoveAll(r.tokens); err != nil {
		return nil, err
	}
	if err := os.CopyFS(r.tokens, os.DirFS(first.tokens)); err != nil {
		return nil, err
	}
	if r.drawer, err = virtual.OpenDrawer(r.tokens); err != nil {
		return nil, err
	}
	r.roots = first.roots
	desk, err := r.open(clock, "", nil)
	if err != nil {
		return nil, err
	}
	defer desk.Close()
	return r, r.hold(desk, "", nil)
}

// kinds are the names of the good records.
func kinds() []string { return slices.Sorted(maps.Keys(records)) }

// good is a record that was made once; nobody changes it.
func good(t testing.TB, name string) *record {
	t.Helper()
	r, err := records[name]()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// copied is a copy of a record, without the tokens.
func (r *record) copied(t testing.TB) *record {
	t.Helper()
	c := &record{dir: filepath.Join(t.TempDir(), "record"), drawer: r.drawer, roots: r.roots}
	err := filepath.WalkDir(r.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(r.dir, name)
		to := filepath.Join(c.dir, inside)
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return os.MkdirAll(to, 0o700)
		}
		text, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(to, text, 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *record) options() audit.Options { return audit.Options{Roots: r.roots, Rehearsal: true} }

func (r *record) audit() *audit.Report { return audit.Directory(r.dir, r.options()) }

// at is a file of the record.
func (r *record) at(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

func (r *record) read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(r.at(name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (r *record) write(t testing.TB, name string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(r.at(name)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.at(name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// remove removes the files that a pattern names.
func (r *record) remove(t testing.TB, pattern string) {
	t.Helper()
	names, err := filepath.Glob(r.at(pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// files are the names of all files of the record.
func (r *record) files(t testing.TB) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(r.dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasPrefix(name, "rehearsal/") {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// failed are the checks of a report that failed.
func failed(r *audit.Report) []audit.Check {
	return slices.DeleteFunc(slices.Clone(r.Checks), func(c audit.Check) bool { return c.Status != audit.Failed })
}

func texts(checks []audit.Check) string {
	var lines []string
	for _, c := range checks {
		lines = append(lines, fmt.Sprintf("%s: %s: %s: %s", c.Status, c.Name, c.Subject, c.Text))
	}
	return strings.Join(lines, "\n")
}

// refused holds that a record is not good, with the real fold and with one that
// accepts everything, for the reasons that are named: each a part of a check, as
// "name: subject: text".
func (r *record) refused(t testing.TB, reasons ...string) {
	t.Helper()
	for fold, o := range map[string]audit.Options{"the real fold": r.options(), "a fold that accepts everything": audit.AcceptAll(r.options())} {
		report := audit.Directory(r.dir, o)
		found := texts(failed(report))
		if report.Verdict() != audit.Bad {
			t.Errorf("with %s: %s\n%s", fold, report.Verdict(), texts(report.Checks))
			continue
		}
		for _, want := range reasons {
			if !strings.Contains(found, want) {
				t.Errorf("with %s: no check says %q:\n%s", fold, want, found)
			}
		}
	}
}

// Good records are good, and without anchors that is said.
func TestGoodRecords(t *testing.T) {
	for name := range records {
		r := good(t, name)
		report := r.audit()
		if report.Verdict() != audit.Good {
			t.Errorf("%s: %s\n%s", name, report.Verdict(), texts(report.Checks))
		}
		if len(report.Keys) == 0 || len(report.Anchors) < 2 || report.Anchors[0].Given || report.Anchors[1].Given {
			t.Errorf("%s: keys %+v, anchors %+v", name, report.Keys, report.Anchors)
		}
	}
}

// docs/formats.md has every member of a report as JSON.
func TestDocumentedMembers(t *testing.T) {
	text, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n### What an audit finds\n")
	section, _, _ = strings.Cut(section, "\n### ")
	var look func(reflect.Type)
	look = func(of reflect.Type) {
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !strings.Contains(section, "`"+name+"`") {
				t.Errorf("it has nothing about %q of %s", name, of.Name())
			}
			if f.Type.Kind() == reflect.Slice {
				look(f.Type.Elem())
			}
		}
	}
	look(reflect.TypeFor[audit.Report]())
}
