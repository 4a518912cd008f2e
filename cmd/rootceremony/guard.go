package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"

	"golang.org/x/sys/unix"

	"rootceremony/keys/session"
	"rootceremony/ui"
	"rootceremony/ui/plain"
)

// guardArgument makes the program the guard of its parent's terminal.
const guardArgument = "terminal-guard"

// leaveScreen shows the screen that was there before the UI's, with its cursor.
const leaveScreen = "\x1b[?1049l\x1b[?25h\x1b[0m"

// guardTerminal starts a child that restores the terminal if this process is killed,
// or crashes, and writes the text to it then. end is called once the terminal is as it
// was. Where standard input is no terminal there is no guard.
func guardTerminal(text string) (end func(), err error) {
	terminal, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS)
	if err != nil {
		return func() {}, nil
	}
	in, out, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("guard of the terminal: %w", err)
	}
	guard := exec.Command("/proc/self/exe", guardArgument)
	guard.Args[0] = os.Args[0]
	guard.Env = session.Environment
	guard.Stdin, guard.Stdout, guard.ExtraFiles = in, os.Stdout, []*os.File{os.Stdin}
	err = guard.Start()
	_ = in.Close()
	if err == nil {
		err = binary.Write(out, binary.NativeEndian, terminal)
	}
	if err == nil {
		_, err = io.WriteString(out, text)
	}
	if err != nil {
		_ = out.Close()
		return nil, fmt.Errorf("guard of the terminal: %w", err)
	}
	return func() {
		_ = guard.Process.Kill()
		_ = guard.Wait()
		_ = out.Close()
	}, nil
}

// standGuard reads how the terminal was, and the text, until its parent is gone.
func standGuard() int {
	signal.Ignore(unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGTERM) // which are the parent's
	var told bytes.Buffer
	var terminal unix.Termios
	if _, err := told.ReadFrom(os.Stdin); err != nil || binary.Read(&told, binary.NativeEndian, &terminal) != nil {
		return exitFailed
	}
	const fd = 3
	// A shell that has taken the terminal back has restored it, and may have begun to
	// read a line. What was typed and nobody has read may be of a PIN, and is thrown away.
	if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil && group == unix.Getpgrp() {
		_ = unix.IoctlSetTermios(fd, unix.TCSETSF, &terminal)
	}
	_, _ = told.WriteTo(os.Stdout)
	return 0
}

// onGuardedScreen runs the terminal UI.
func onGuardedScreen(o ui.Options) (*ui.Room, error) {
	end, err := guardTerminal(leaveScreen)
	if err != nil {
		return nil, err
	}
	defer end()
	o.In, o.Out, o.Clock = os.Stdin, os.Stdout, clock
	return ui.Run(o)
}

// guardedFront is plain mode. close is called at its end.
func guardedFront(o plain.Options) (front *plain.Front, closeFront func(), err error) {
	end, err := guardTerminal("")
	if err != nil {
		return nil, nil, err
	}
	if front, err = plain.New(os.Stdin, os.Stdout, o); err != nil {
		end()
		return nil, nil, err
	}
	return front, func() { _ = front.Close(); end() }, nil
}
