package transcript

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/internal/fault"
)

// log is the bytes of a log's two files.
type log struct{ public, private []byte }

// append puts the next event of a log there, with a private part or without.
func appended(l *Log, number int, private bool) (Event, error) {
	var part any
	if private {
		part = said{fmt.Sprintf("secret %d, <ünï> & \u2028", number)}
	}
	return l.Append("note", "room", said{fmt.Sprintf("number %d", number)}, part, nil)
}

// madeOf returns the log of events as kinds says: 'p' with a private part, any
// other without.
func madeOf(t testing.TB, kinds string) log {
	t.Helper()
	dir := t.TempDir()
	l, err := Create(dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, kind := range kinds {
		if _, err := appended(l, i+1, kind == 'p'); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return lying(t, dir)
}

// lying is the log in a directory.
func lying(t testing.TB, dir string) log {
	t.Helper()
	public, private, err := ReadFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	return log{public, private}
}

// laid returns a directory with the log; a private part of nil has no file.
func (l log) laid(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	err := os.WriteFile(filepath.Join(dir, FileName), l.public, 0o600)
	if err == nil && l.private != nil {
		err = errors.Join(os.Mkdir(filepath.Join(dir, PrivateDir), 0o700), os.WriteFile(filepath.Join(dir, PrivateName), l.private, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func lines(text []byte) [][]byte {
	all := bytes.SplitAfter(text, []byte{'\n'})
	if len(all[len(all)-1]) == 0 {
		all = all[:len(all)-1]
	}
	return all
}

// checkWhole holds a directory's log to kinds, and says what its set-aside files
// hold that it has recorded.
func checkWhole(t *testing.T, dir, kinds string) (events []Event, aside []SetAside) {
	t.Helper()
	l := lying(t, dir)
	read, err := Read(l.public, l.private)
	if err != nil || read.Tail != nil || read.PrivateTail != nil {
		t.Fatalf("%+v, %v", read, err)
	}
	number := 0
	for _, e := range read.Events {
		if e.Type == TypeSetAside {
			var one SetAside
			if err := json.Unmarshal(e.Data, &one); err != nil {
				t.Fatal(err)
			}
			aside = append(aside, one)
			continue
		}
		number++
		events = append(events, e)
		want := ""
		if kinds[number-1] == 'p' {
			want = fmt.Sprintf(`{"text":"secret %d, <ünï> & \u2028"}`, number)
		}
		if string(e.Private) != want || (e.Commitment != "") != (want != "") || string(e.Data) != fmt.Sprintf(`{"text":"number %d"}`, number) {
			t.Fatalf("event %d: %s, private %s, %q", number, e.Data, e.Private, e.Commitment)
		}
	}
	return events, aside
}

func TestPrivateParts(t *testing.T) {
	const kinds = "-pp-p"
	made := madeOf(t, kinds)
	dir := made.laid(t)
	if events, aside := checkWhole(t, dir, kinds); len(events) != len(kinds) || len(aside) != 0 {
		t.Errorf("%d events, %v", len(events), aside)
	}
	l, err := Create(dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	event, err := appended(l, 6, true)
	if err != nil || string(event.Private) == "" || event.Commitment == "" || l.Events()[5].Commitment != event.Commitment {
		t.Errorf("%+v, %v", event, err)
	}
	l.Close()
	if events, _ := checkWhole(t, dir, kinds+"p"); len(events) != 6 {
		t.Errorf("%d events", len(events))
	}

	// Without its private part the log has the same checkpoint, and says nothing.
	with, err := Read(made.public, made.private)
	if err != nil {
		t.Fatal(err)
	}
	without, err := Read(made.public, nil)
	if err != nil || without.Checkpoint() != with.Checkpoint() || bytes.Contains(made.public, []byte("secret")) {
		t.Errorf("%v, %v", without, err)
	}
	for i, e := range without.Events {
		if e.Private != nil || e.Commitment != with.Events[i].Commitment {
			t.Errorf("%+v", e)
		}
	}
	info, err := os.Stat(filepath.Join(dir, PrivateDir))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

// The same private part is never committed to in the same way.
func TestSaltIsFresh(t *testing.T) {
	l, err := Create(t.TempDir(), clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	seen := map[string]bool{}
	for range 20 {
		e, err := l.Append("note", "room", said{}, said{"no"}, nil)
		if err != nil || seen[e.Commitment] {
			t.Fatalf("%q again, or %v", e.Commitment, err)
		}
		seen[e.Commitment] = true
	}
}

// No folder is made before there is something private, and the member "private"
// belongs to the log.
func TestPrivateIsTheLogs(t *testing.T) {
	dir, _ := made(t, 1)
	l, err := Create(dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	commitment := strings.Repeat("0", 64)
	for _, data := range []string{`{"private":1}`, `{"private":null}`, `{"a":1,"private":"` + commitment + `"}`, `{"private":"` + commitment + `"}`, `{"\u0070rivate":{},"b":2}`, `{"PRIVATE":1}`} {
		for _, private := range []any{nil, said{"x"}} {
			if e, err := l.Append("note", "room", json.RawMessage(data), private, nil); err == nil {
				t.Errorf("%s: %+v", data, e)
			}
		}
	}
	for _, private := range []any{json.RawMessage(`[]`), json.RawMessage(`null`), json.RawMessage(`1`), "text"} {
		if e, err := l.Append("note", "room", said{}, private, nil); err == nil {
			t.Errorf("%s: %+v", private, e)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, PrivateDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	// What only looks like it deeper down, or in a text, is data.
	for _, data := range []string{`{"a":{"private":"` + commitment + `"}}`, `{"a":",\"private\":\"` + commitment + `"}`, `{"a":"private"}`, `{}`} {
		for _, private := range []any{nil, json.RawMessage(data)} {
			e, err := l.Append("note", "room", json.RawMessage(data), private, nil)
			if err != nil || string(e.Data) != data || private != nil && string(e.Private) != data {
				t.Errorf("%s: %+v, %v", data, e, err)
			}
		}
	}
	if read, err := Read(lying(t, dir).public, lying(t, dir).private); err != nil || len(read.Events) != 9 {
		t.Errorf("%+v, %v", read, err)
	}
}

// A process can die at any byte of either file. Every line that was written stays,
// and what is left of the next one is kept beside and recorded, once.
func TestDeathAtEveryByteOfBothFiles(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // where syncing takes no time
	}
	const kinds = "p-pp"
	made := madeOf(t, kinds)
	public, private := lines(made.public), lines(made.private)
	var before log
	part := 0
	for i, kind := range kinds {
		if kind == 'p' {
			for cut := range private[part] {
				checkDeath(t, before, log{nil, private[part][:cut+1]}, kinds[:i])
			}
			before.private = slices.Concat(before.private, private[part])
			for cut := range public[i][:len(public[i])-2] {
				checkDeath(t, log{before.public, bytes.TrimSuffix(before.private, private[part])}, log{public[i][:cut], private[part]}, kinds[:i])
			}
			part++
		}
		before.public = slices.Concat(before.public, public[i])
		// But for its line feed it is there.
		dir := log{before.public[:len(before.public)-1], before.private}.laid(t)
		if l, err := Create(dir, clock, nil); err != nil || len(l.Events()) != i+1 || len(l.Pending()) != 0 {
			t.Fatal(err)
		} else {
			l.Close()
		}
		if after := lying(t, dir); !bytes.Equal(after.public, before.public) || !bytes.Equal(after.private, before.private) {
			t.Errorf("event %d without its line feed: %s", i+1, after.public)
		}
	}
}

// checkDeath lays a log with what a death left behind it, and opens it, also
// after the first process to find that died too, after any step.
func checkDeath(t *testing.T, before, left log, kinds string) {
	t.Helper()
	torn := log{slices.Concat(before.public, left.public), slices.Concat(before.private, left.private)}
	aside := map[string][]byte{}
	keep := func(folder string, tail []byte) {
		if len(tail) > 0 {
			aside[filepath.Join(folder, setAsidePrefix+hash(tail))] = tail
		}
	}
	keep(PrivateDir, left.private)
	keep("", left.public)
	steps := []log{torn, torn, {torn.public, before.private}, before}
	if (len(left.public)+len(left.private))%29 != 0 { // they are many
		steps = steps[:1]
	}
	for step, l := range steps {
		dir := l.laid(t)
		if step > 0 {
			for name, tail := range aside {
				if err := disk.WriteNew(filepath.Join(dir, name), tail, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		opened, err := Create(dir, clock, nil)
		if err != nil {
			t.Fatalf("step %d, left %q: %v", step, left, err)
		}
		if len(kinds) == 0 { // which the caller records after the first line
			if len(opened.Pending()) != len(aside) || len(opened.Events()) != 0 {
				t.Fatalf("step %d, left %q: pending %v", step, left, opened.Pending())
			}
			if _, err := appended(opened, 1, false); err != nil {
				t.Fatal(err)
			}
			kinds = "-"
			opened.Close()
			if opened, err = Create(dir, clock, nil); err != nil {
				t.Fatal(err)
			}
			defer func() { kinds = "" }()
		}
		if len(opened.Pending()) != 0 {
			t.Errorf("pending %v", opened.Pending())
		}
		opened.Close()
		events, recorded := checkWhole(t, dir, kinds)
		if len(events) != len(kinds) || len(recorded) != len(aside) {
			t.Fatalf("step %d, left %q: %d events, recorded %v", step, left, len(events), recorded)
		}
		for name, tail := range aside {
			want := SetAside{Bytes: len(tail), Line: strings.Count(kinds, "p") + 1}
			if !strings.HasPrefix(name, PrivateDir) {
				want = SetAside{File: name, Bytes: len(tail), SHA256: hash(tail)}
			}
			there, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || !bytes.Equal(there, tail) || !slices.Contains(recorded, want) {
				t.Fatalf("step %d: set aside %q, recorded %v, want %v: %v", step, there, recorded, want, err)
			}
		}
		again, err := Create(dir, clock, nil)
		if err != nil || len(again.Events()) != len(events)+len(recorded) {
			t.Fatalf("step %d, opened again: %v", step, err)
		}
		again.Close()
		if kinds == "-" {
			kinds = ""
		}
	}
}

// Whatever else is missing at the end of either file is an error, and never are
// two lines lost.
func TestBothFilesCutAtEveryByte(t *testing.T) {
	const kinds = "-pp"
	made := madeOf(t, kinds)
	public, private := lines(made.public), lines(made.private)
	ends := func(lines [][]byte) (ends []int) { // of lines, without their line feeds
		at := 0
		for _, line := range lines {
			at += len(line)
			ends = append(ends, at-1)
		}
		return ends
	}
	publicEnds, privateEnds := ends(public), ends(private)
	for cut := range len(made.public) + 1 {
		near := func(end int) bool { return cut >= end-1 && cut <= end+2 }
		if cut%11 != 0 && !slices.ContainsFunc(publicEnds, near) { // they are many
			continue
		}
		events, named := 0, 0
		for i, end := range publicEnds {
			if cut >= end {
				events++
				if kinds[i] == 'p' {
					named++
				}
			}
		}
		for privateCut := range len(made.private) + 1 {
			read, err := Read(made.public[:cut], made.private[:privateCut])
			enough := named == 0 || privateCut >= privateEnds[named-1]
			most := named == len(private) || privateCut <= privateEnds[named]+1
			next := named == len(private) || privateCut < privateEnds[named] || events == named+1 // a whole line more belongs to the next event
			if (err == nil) != (enough && most && next) {
				t.Fatalf("cut at %d and %d: %v", cut, privateCut, err)
			}
			var broken *BrokenError
			if err != nil {
				if !errors.As(err, &broken) || broken.File != PrivateName {
					t.Fatalf("cut at %d and %d: %v", cut, privateCut, err)
				}
				continue
			}
			if len(read.Events) != events {
				t.Fatalf("cut at %d and %d: %d events, want %d", cut, privateCut, len(read.Events), events)
			}
		}
	}
}

func TestEveryFlippedBitOfBothFiles(t *testing.T) {
	made := madeOf(t, "p-p")
	extra := log{bytes.Join(lines(made.public)[:2], nil), made.private} // the last private line is named by none
	lastLine := len(lines(made.private)[0])
	for bit := range 8 * len(made.private) {
		flipped := bytes.Clone(made.private)
		flipped[bit/8] ^= 1 << (bit % 8)
		var broken *BrokenError
		want := bytes.Count(made.private[:bit/8], []byte{'\n'}) + 1
		_, err := Read(made.public, flipped)
		if last := bit/8 == len(flipped)-1; !errors.As(err, &broken) || broken.File != PrivateName || broken.Line != want && !last {
			t.Fatalf("bit %d is in line %d: %v", bit, want, err)
		}
		switch read, err := Read(extra.public, flipped); {
		case bit/8 < lastLine:
			if !errors.As(err, &broken) || broken.File != PrivateName || broken.Line != 1 {
				t.Fatalf("bit %d: %v", bit, err)
			}
		case err == nil:
			if !bytes.Equal(read.PrivateTail, flipped[lastLine:]) || len(read.Events) != 2 {
				t.Fatalf("bit %d: %+v", bit, read)
			}
		case !errors.As(err, &broken) || broken.File != PrivateName || broken.Line < 2:
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
	lastLine = len(made.public) - len(lines(made.public)[2])
	for bit := range 8 * len(made.public) {
		flipped := bytes.Clone(made.public)
		flipped[bit/8] ^= 1 << (bit % 8)
		read, err := Read(flipped, made.private)
		var broken *BrokenError
		switch want := bytes.Count(flipped[:bit/8], []byte{'\n'}) + 1; {
		case errors.As(err, &broken):
			if broken.File != FileName || broken.Line != want {
				t.Fatalf("bit %d is in line %d: %v", bit, want, err)
			}
		case err != nil || bit/8 < lastLine:
			t.Fatalf("bit %d: %v", bit, err)
		case !bytes.Equal(read.Tail, flipped[lastLine:]) || !bytes.Equal(read.PrivateTail, lines(made.private)[1]):
			t.Fatalf("bit %d of the last line: the tails are %q and %q", bit, read.Tail, read.PrivateTail)
		}
	}
}

// A line that is gone, doubled or elsewhere in either file is found, but for the
// newest ones, without which the log is one as it was.
func TestMovedLinesOfBothFiles(t *testing.T) {
	const kinds = "p-pp-"
	made := madeOf(t, kinds)
	other := madeOf(t, kinds)
	check := func(what string, changed log, file string) {
		t.Helper()
		var broken *BrokenError
		if _, err := Read(changed.public, changed.private); !errors.As(err, &broken) || broken.File != file {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, file := range []string{FileName, PrivateName} {
		text, foreign := made.public, other.public
		if file == PrivateName {
			text, foreign = made.private, other.private
		}
		with := func(all [][]byte) log {
			if file == PrivateName {
				return log{made.public, bytes.Join(all, nil)}
			}
			return log{bytes.Join(all, nil), made.private}
		}
		all, others := lines(text), lines(foreign)
		for i := range all {
			without := slices.Delete(slices.Clone(all), i, i+1)
			if file == FileName && i == len(all)-1 {
				if read, err := Read(with(without).public, made.private); err != nil || len(read.Events) != len(kinds)-1 {
					t.Errorf("without the newest line: %v", err)
				}
			} else {
				check(fmt.Sprintf("%s without line %d", file, i+1), with(without), file)
			}
			for j := range len(all) + 1 {
				check(fmt.Sprintf("%s with line %d again at %d", file, i+1, j+1), with(slices.Insert(slices.Clone(all), j, all[i])), file)
				if j < len(without)+1 && j != i {
					check(fmt.Sprintf("%s with line %d at %d", file, i+1, j+1), with(slices.Insert(slices.Clone(without), j, all[i])), file)
				}
			}
			swapped := slices.Clone(all)
			swapped[i] = others[i]
			if !bytes.Equal(others[i], all[i]) { // public lines of two logs begin alike
				check(fmt.Sprintf("%s with line %d of another log", file, i+1), with(swapped), file)
			}
		}
	}
	// The private part of another log fits nowhere.
	check("another log's private part", log{made.public, other.private}, PrivateName)
	// One whole line of another event is no death's.
	newest := lines(made.private)[2]
	check("a line that none names, of an old event", log{bytes.Join(lines(made.public)[:2], nil), slices.Concat(lines(made.private)[0], newest)}, PrivateName)
}

// On the desk a log without its private part says which, and what to do.
func TestMissingPrivatePart(t *testing.T) {
	made := madeOf(t, "-p")
	made.private = nil
	dir := made.laid(t)
	_, err := Create(dir, clock, nil)
	if err == nil || err.Error() != "private/transcript.jsonl is missing, and line 2 of transcript.jsonl names what stands in it (hint: put the folder private back from a copy of this directory)" {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

func TestPrivateFolderThatIsALink(t *testing.T) {
	made := madeOf(t, "-p")
	elsewhere := made.laid(t)
	for _, l := range []log{{made.public, nil}, {lines(made.public)[0], nil}} {
		dir := l.laid(t)
		if err := os.Symlink(filepath.Join(elsewhere, PrivateDir), filepath.Join(dir, PrivateDir)); err != nil {
			t.Fatal(err)
		}
		if _, err := Create(dir, clock, nil); err == nil || !strings.Contains(err.Error(), "not a folder, but a link") {
			t.Error(err)
		}
	}
	dir := log{made.public, []byte{}}.laid(t)
	name := filepath.Join(dir, PrivateName)
	if err := errors.Join(os.Remove(name), os.Symlink(filepath.Join(elsewhere, PrivateName), name)); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, clock, nil); err == nil || !strings.Contains(err.Error(), "is a link to another file") {
		t.Error(err)
	}
}

// errs are the errors of operations on one of the two files.
type errs map[operation]error

type operation struct {
	kind fault.Kind
	file string
}

// failing has operations fail until the test ends, or again is called.
func failing(t *testing.T, errs errs) (again func()) {
	between := fault.Between
	again = func() { fault.Between = between }
	fault.Between = func(op *fault.Op, act func() error) error {
		name := FileName
		if filepath.Base(filepath.Dir(op.Path)) == PrivateDir {
			name = PrivateName
		}
		if err := errs[operation{op.Kind, name}]; err != nil {
			return err
		}
		return act()
	}
	t.Cleanup(again)
	return again
}

// An append that fails at any step is no part of the log, and leaves no private
// line behind, unless the public one may be on the disk.
func TestFailedWriteOfEitherFile(t *testing.T) {
	const kinds = "pp"
	for _, c := range []struct {
		name   string
		fails  errs
		failed bool // nothing more is written by this process
		left   bool // the private line is left
		there  bool // so is the public one, and the next start has it
	}{
		{"no room for the private line", errs{{fault.Write, PrivateName}: unix.ENOSPC}, false, false, false},
		{"the private line is not synced", errs{{fault.Sync, PrivateName}: unix.EIO}, true, true, false},
		{"no room for the public line", errs{{fault.Write, FileName}: unix.ENOSPC}, false, false, false},
		{"the public line is not synced", errs{{fault.Sync, FileName}: unix.EIO}, true, true, true},
		{"the public line is neither written nor cut", errs{{fault.Write, FileName}: unix.EIO, {fault.Cut, FileName}: unix.EROFS}, true, true, false},
		{"the private line cannot be cut back", errs{{fault.Write, FileName}: unix.ENOSPC, {fault.Cut, PrivateName}: unix.EIO}, true, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := madeOf(t, kinds)
			dir := before.laid(t)
			l, err := Create(dir, clock, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkpoint := l.Checkpoint()
			works := failing(t, c.fails)
			if e, err := appended(l, 3, true); err == nil {
				t.Fatalf("%+v", e)
			}
			if l.Checkpoint() != checkpoint || len(l.Events()) != 2 {
				t.Errorf("%v, %d events", l.Checkpoint(), len(l.Events()))
			}
			if after := lying(t, dir); (len(after.public) > len(before.public)) != c.there || (len(after.private) > len(before.private)) != c.left {
				t.Errorf("%d and %d bytes, were %d and %d", len(after.public), len(after.private), len(before.public), len(before.private))
			}
			if (l.failed != nil) != c.failed {
				t.Errorf("failed: %v", l.failed)
			}
			works()
			_, err = appended(l, 3, true)
			if (err != nil) != c.failed {
				t.Errorf("afterwards: %v", err)
			}
			l.Close()
			want, asides := kinds, 0
			if !c.failed || c.there {
				want += "p"
			}
			if c.left && !c.there {
				asides = 1
			}
			if l, err = Create(dir, clock, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := appended(l, len(want)+1, true); err != nil {
				t.Error(err)
			}
			l.Close()
			if events, aside := checkWhole(t, dir, want+"p"); len(events) != len(want)+1 || len(aside) != asides {
				t.Errorf("%d events, %v", len(events), aside)
			}
		})
	}
}

// What has a result is not begun where either file could not hold it.
func TestRoomInBothFiles(t *testing.T) {
	l, err := Create(madeOf(t, "p").laid(t), clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.private.size = maxLog - reserve; l.KeepRoom() != nil {
		t.Error(l.KeepRoom())
	}
	if l.private.size++; l.KeepRoom() == nil || !strings.Contains(l.KeepRoom().Error(), PrivateName+" has ") {
		t.Error(l.KeepRoom())
	}
	kept := func(h half) int64 {
		var stat unix.Stat_t
		if err := unix.Stat(filepath.Join(l.dir, h.name), &stat); err != nil {
			t.Fatal(err)
		}
		return stat.Blocks * 512
	}
	if kept(l.public) >= reserve && kept(l.private) < reserve { // where the file system keeps room at all
		t.Errorf("%d bytes are kept for the log, and %d for its private part", kept(l.public), kept(l.private))
	}
}

// A process that is killed while it writes has lost nothing that it said was
// written.
func TestKilledWhileWriting(t *testing.T) {
	if dir := os.Getenv("TRANSCRIPT_WRITES"); dir != "" {
		l, err := Create(dir, clock, nil)
		for err == nil {
			if _, err = appended(l, 1, true); err == nil {
				fmt.Println("written", len(l.Events()))
			}
		}
		t.Fatal(err)
	}
	dir := t.TempDir()
	for round := range 20 {
		writer := exec.Command(os.Args[0], "-test.run", "^TestKilledWhileWriting$")
		writer.Env = append(os.Environ(), "TRANSCRIPT_WRITES="+dir)
		out, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		written := 0
		said := bufio.NewScanner(out)
		for n := 0; n <= round%7 && said.Scan(); n++ {
			if _, err := fmt.Sscanf(said.Text(), "written %d", &written); err != nil {
				t.Fatalf("%s: %v", said.Text(), err)
			}
		}
		if err := writer.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for said.Scan() {
			if _, err := fmt.Sscanf(said.Text(), "written %d", &written); err != nil {
				t.Fatalf("%s: %v", said.Text(), err)
			}
		}
		_ = writer.Wait() // killed
		l, err := Create(dir, clock, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Events()) < written || written == 0 {
			t.Errorf("%d events of %d", len(l.Events()), written)
		}
		l.Close()
		both := lying(t, dir)
		if read, err := Read(both.public, both.private); err != nil || read.Tail != nil || read.PrivateTail != nil {
			t.Errorf("%v", err)
		}
	}
}

// A log is read while another process writes it.
func TestReadWhileWriting(t *testing.T) {
	dir := t.TempDir()
	l, err := Create(dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error)
	go func() {
		var err error
		for i := 0; i < 200 && err == nil; i++ {
			_, err = appended(l, 1, true)
		}
		done <- err
	}()
	for {
		public, private, err := ReadFiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		if private == nil && len(public) > 0 {
			t.Fatal("a line, and no private part")
		}
		if _, err := Read(public, private); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}

// A log of the format before this one is refused, and not touched.
func TestFormat1(t *testing.T) {
	body := `{"seq":1,"time":"2026-11-22T10:00:00Z","type":"ceremony.begun","by":"room","data":{"format":1},"prev":"` + strings.Repeat("0", 64) + `"`
	old := log{[]byte(body + `,"sum":"` + hash([]byte(body)) + "\"}\n"), nil}
	dir := old.laid(t)
	if _, err := Create(dir, clock, nil); !errors.Is(err, ErrFormat1) {
		t.Error(err)
	}
	if !bytes.Equal(lying(t, dir).public, old.public) {
		t.Error("it was changed")
	}
}

// Two logs of one beginning do not share a set-aside file that was there before:
// of private bytes as many are recorded as there are files.
func TestSetAsidePrivatelyTwice(t *testing.T) {
	made := madeOf(t, "-p")
	dir := made.laid(t)
	tails := []string{`{"seq":3`, `{"seq":4`} // of one length
	for i, tail := range tails {
		file, err := os.OpenFile(filepath.Join(dir, PrivateName), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(tail); err != nil {
			t.Fatal(err)
		}
		file.Close()
		l, err := Create(dir, clock, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(l.Events()); n != 3+i || string(l.Events()[n-1].Data) != `{"bytes":8,"line":2}` {
			t.Errorf("%d events, the last %s", n, l.Events()[n-1].Data)
		}
		l.Close()
	}
	if text := contentsOf(t, dir); bytes.Contains(text, []byte(hash([]byte(tails[0])))) {
		t.Error("the public log has the hash of private bytes")
	}
}

func FuzzRead(f *testing.F) {
	made := madeOf(f, "-p-p")
	f.Add(made.public, made.private)
	f.Add(made.public[:len(made.public)-9], made.private)
	f.Add(bytes.Join(lines(made.public)[:3], nil), made.private[:len(made.private)-9])
	f.Fuzz(func(t *testing.T, public, private []byte) {
		alone, err := Read(public, nil)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range alone.Events {
			line, err := e.encode()
			if err != nil {
				t.Fatal(err)
			}
			again = append(append(again, line...), '\n')
		}
		again = append(again, alone.Tail...)
		if !bytes.Equal(again, public) && !bytes.Equal(again, append(public, '\n')) {
			t.Errorf("read %q, wrote %q", public, again)
		}
		if alone.Checkpoint().Size != int64(len(alone.Events)) {
			t.Errorf("checkpoint %v after %d events", alone.Checkpoint(), len(alone.Events))
		}
		if private == nil {
			return
		}
		read, err := Read(public, private)
		if err != nil {
			return
		}
		if read.Checkpoint() != alone.Checkpoint() {
			t.Errorf("checkpoint %v, and %v without the private part", read.Checkpoint(), alone.Checkpoint())
		}
		named := 0
		for _, e := range read.Events {
			if (e.Commitment == "") != (e.Private == nil) {
				t.Errorf("%+v", e)
			}
			if e.Private != nil {
				named++
			}
		}
		if n := bytes.Count(bytes.TrimSuffix(bytes.TrimSuffix(private, read.PrivateTail), []byte{'\n'}), []byte{'\n'}); named > 0 && n != named-1 {
			t.Errorf("%d private parts of %d lines", named, n+1)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, private := range []bool{false, true} {
		b.Run(fmt.Sprintf("private=%v", private), func(b *testing.B) {
			l, err := Create(b.TempDir(), clock, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			for i := 0; b.Loop(); i++ {
				if _, err := appended(l, i, private); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Of 10,000 events, every tenth with a private part.
func BenchmarkRead(b *testing.B) {
	l, err := Create(b.TempDir(), clock, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	var made log
	for i := range 10_000 {
		var part any
		if i%10 == 0 {
			part = said{fmt.Sprintf("secret %d", i)}
		}
		event, line, private, err := l.compose("note", "room", said{fmt.Sprintf("number %d", i)}, part)
		if err != nil {
			b.Fatal(err)
		}
		l.contents.tree.add(line)
		l.contents.Events = append(l.contents.Events, event)
		made.public = append(append(made.public, line...), '\n')
		if private != nil {
			made.private = append(append(made.private, private...), '\n')
		}
	}
	b.SetBytes(int64(len(made.public) + len(made.private)))
	for b.Loop() {
		if read, err := Read(made.public, made.private); err != nil || len(read.Events) != 10_000 {
			b.Fatal(err)
		}
	}
}
