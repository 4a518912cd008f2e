package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// area is a piece of a process's memory.
type area struct {
	from, to uint64
	locked   bool
	bytes    []byte
}

// memory reads what another process can write to: heap, stacks, data. Only
// root may: the program is closed to tracing.
func memory(t *testing.T, pid int) []area {
	t.Helper()
	smaps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Skipf("the program's memory cannot be read: %v", err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Skipf("the program's memory cannot be read: %v", err)
	}
	defer mem.Close()
	var areas []area
	var a *area
	for line := range strings.Lines(string(smaps)) {
		var from, to uint64
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n == 3 {
			a = nil
			if strings.HasPrefix(mode, "rw") {
				areas = append(areas, area{from: from, to: to})
				a = &areas[len(areas)-1]
			}
		} else if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && a != nil {
			a.locked = strings.Contains(flags, " lo")
		}
	}
	for i := range areas {
		a := &areas[i]
		a.bytes = make([]byte, a.to-a.from)
		if n, err := mem.ReadAt(a.bytes, int64(a.from)); err != nil {
			a.bytes = a.bytes[:n]
		}
	}
	return areas
}

// copies lists where a secret is: whole, or four of its characters, in bytes
// or in UTF-32. In locked memory, where a secret that is in use belongs, it is
// looked for only where that is said.
func copies(areas []area, secret string, pieces, locked bool) []string {
	parts := []string{secret}
	for i := 0; i+4 <= len(secret); i++ {
		parts = append(parts, secret[i:i+4])
	}
	var found []string
	for _, a := range areas {
		if a.locked && !locked {
			continue
		}
		for i, part := range parts {
			var wide []byte
			for _, c := range []byte(part) {
				wide = binary.LittleEndian.AppendUint32(wide, uint32(c))
			}
			if at := bytes.Index(a.bytes, []byte(part)); at >= 0 && (i == 0 || pieces) {
				around := a.bytes[max(0, at-32):min(len(a.bytes), at+32)] // tells a remnant from another number
				found = append(found, fmt.Sprintf("%q at %x, locked: %v, in %q", part, a.from+uint64(at), a.locked, around))
			}
			if at := bytes.Index(a.bytes, wide); at >= 0 {
				found = append(found, fmt.Sprintf("%q in UTF-32 at %x, locked: %v", part, a.from+uint64(at), a.locked))
			}
		}
	}
	return found
}

// freshPIN is a PIN of which nothing is in memory.
func freshPIN(t *testing.T, areas []area) string {
	t.Helper()
	for range 1000 {
		pin := fmt.Sprintf("%08d", rand.IntN(100000000))
		if len(copies(areas, pin, true, true)) == 0 {
			return pin
		}
	}
	t.Fatal("every PIN is in memory already")
	return ""
}

// TestNoPINInMemory types PINs in every way, and looks for them in the memory
// of the program.
func TestNoPINInMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads all of a program's memory many times")
	}
	s := onTerminal(t, nil, "rehearse", filepath.Join(t.TempDir(), "d"))
	pid := s.command.Process.Pid
	r := newPeople()
	none := func(when, pin string, pieces, locked bool) {
		t.Helper()
		for _, where := range copies(memory(t, pid), pin, pieces, locked) {
			t.Errorf("%s: %s", when, where)
		}
	}
	r.stop = func(text string) bool { return strings.Contains(text, "► plug in") }
	r.hold(s)

	ahead := freshPIN(t, memory(t, pid))
	s.write("\r" + ahead) // in one piece with the Enter before the next question
	s.until("Does the token in the reader")
	s.until("   Yes")
	s.write(ahead + "\x1b[B" + ahead)
	s.until("► Yes")
	none("typed ahead, at a list", ahead, true, true)
	s.write("\r\r" + ahead + "\r") // the first Enter goes with the line that was typed into the list
	s.until("type your new PIN")
	s.until("> █")
	none("typed ahead, with Enter", ahead, true, true)

	slow := freshPIN(t, memory(t, pid))
	for i, digit := range slow {
		s.write(string(digit))
		s.until("> " + strings.Repeat("*", i+1) + "█")
	}
	none("typed slowly, before Enter", slow, true, false)
	s.write("\x1b[A") // no character: what was typed is forgotten
	s.until("what was typed is forgotten")
	none("forgotten", slow, true, true)

	fast := freshPIN(t, memory(t, pid))
	s.write(fast + "\r" + fast + "\r")
	s.until("The same PIN again")
	s.until("> █")
	none("typed fast, with more behind", fast, true, false)
	s.write(fast[:6])
	s.until("> ******█")
	s.write("\x0e") // a note on top
	s.until("A note for the record")
	s.write("\x1b")
	s.until("> █")
	none("covered by a note", fast[:6], true, false)

	cancelled := freshPIN(t, memory(t, pid))
	s.write(cancelled[:7])
	s.until("> *******█")
	s.write("\x1b")
	s.until("You left the task")
	none("cancelled", cancelled, true, true)
	none("cancelled, the first one", fast, true, true)

	r.stop = func(text string) bool { return strings.Contains(text, "Next: Holders: Bruno Ferraz") }
	r.hold(s)
	none("after the holder is enrolled", pinOf("Alice Costa"), false, true)
}
