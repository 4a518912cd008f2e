package ui

import (
	"bytes"
	"errors"
	"io"
	"sync"

	tea "github.com/charmbracelet/bubbletea"

	"rootceremony/ui/gate"
)

// mode is what may be typed.
type mode int

const (
	nothing mode = iota // leaving and the like
	menu                // keys that are no text
	letters             // text
	secrets             // what stays below
)

// keyboard is the program's input: the gate, which is set by commands, and
// news for the program of what the gate has met.
type keyboard struct {
	*gate.Gate
	send func(tea.Msg)

	mu  sync.Mutex
	seq int
}

// What the keyboard tells the program.
type (
	armedMsg struct { // the gate is set, and was before anything that comes behind
		seq int
		err error
	}
	burstMsg   struct{} // a token was touched at the wrong time
	droppedMsg struct{} // something was typed that is not taken
	hangupMsg  struct{} // there is no terminal any more
)

const ctrlC = 0x03

// dropped stands for what the gate has thrown away, of which at least a byte has
// left its room. Bubble Tea calls it Ctrl-\, which people have no use for.
const dropped = 0x1c

// Read gives Bubble Tea what passes the gate.
func (k *keyboard) Read(p []byte) (int, error) {
	n, err := k.Gate.Read(p)
	if k.Burst() { // its letters are no text; but leaving is possible at any moment
		k.send(burstMsg{})
		leave := bytes.IndexByte(p[:n], ctrlC) >= 0
		clear(p[:n])
		if n = 0; leave {
			n = copy(p, []byte{ctrlC})
		}
		_ = k.Dropped() // it is told as what it was
	} else if k.Dropped() { // behind the keys that passed, the last of which may be Enter
		p[n] = dropped
		n++
	}
	if errors.Is(err, io.EOF) {
		go k.send(hangupMsg{}) // the program may be waiting for this reader to end
	}
	return n, err
}

// arm returns a command that sets the gate. Commands run at the same time, so
// that an older one may come later: it does nothing.
func (k *keyboard) arm(seq int, m mode) tea.Cmd {
	return func() tea.Msg {
		k.mu.Lock()
		defer k.mu.Unlock()
		if seq < k.seq {
			return nil
		}
		k.seq = seq
		var err error
		switch m {
		case nothing:
			k.Shut()
		case menu:
			k.OpenMenu()
		case letters:
			k.OpenText()
		case secrets:
			err = k.OpenSecret()
		}
		if err == nil && m != nothing {
			err = k.Flush()
		}
		if errors.Is(err, io.EOF) {
			return hangupMsg{}
		}
		if k.Dropped() {
			k.send(droppedMsg{})
		}
		if k.Left() {
			k.send(tea.KeyMsg{Type: tea.KeyCtrlC})
		}
		return armedMsg{seq, err}
	}
}
