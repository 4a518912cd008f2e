package ui

import (
	"io"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"rootceremony/ui/gate"
)

// What was typed before the gate is set is thrown away; a Ctrl-C among it still
// reaches the program.
func TestArmForwardsCtrlC(t *testing.T) {
	for typed, want := range map[string]int{"abc": 0, "ab\x03c": 1} {
		t.Run(typed, func(t *testing.T) {
			master, terminal, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer master.Close()
			defer terminal.Close()
			mode, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			mode.Lflag &^= unix.ICANON | unix.ISIG | unix.ECHO
			if err := unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, mode); err != nil {
				t.Fatal(err)
			}
			g, err := gate.New(terminal)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			if _, err := io.WriteString(master, typed); err != nil {
				t.Fatal(err)
			}
			for waiting := 0; waiting < len(typed); { // a terminal hands on in its own time
				if waiting, err = unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCINQ); err != nil {
					t.Fatal(err)
				}
			}
			pressed := 0
			k := &keyboard{Gate: g, send: func(m tea.Msg) {
				if key, ok := m.(tea.KeyMsg); ok && key.Type == tea.KeyCtrlC {
					pressed++
				}
			}}
			k.arm(1, menu)()
			if pressed != want {
				t.Errorf("%d times Ctrl-C, want %d", pressed, want)
			}
		})
	}
}

// A terminal that is taken away just before a prompt opens ends the program as one
// that is taken away later does.
func TestPromptOnALostTerminal(t *testing.T) {
	for _, m := range []mode{menu, letters, secrets} {
		master, terminal, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer terminal.Close()
		g, err := gate.New(terminal)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		if err := master.Close(); err != nil {
			t.Fatal(err)
		}
		k := &keyboard{Gate: g, send: func(m tea.Msg) { t.Errorf("sends %#v", m) }}
		if msg := k.arm(1, m)(); msg != (hangupMsg{}) {
			t.Errorf("mode %d: %#v", m, msg)
		}
	}
}
