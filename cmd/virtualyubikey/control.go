package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"rootceremony/keys/virtual"
)

// control carries out the commands of people and scripts.
type control struct {
	slot *slot
	quit context.CancelFunc
}

// listen takes commands from a UNIX socket until stop is called.
func (c control) listen(path string) (stop func(), err error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				c.serve(conn, conn)
			}()
		}
	}()
	return func() { _ = listener.Close() }, nil
}

// serve answers commands line by line until the input ends.
func (c control) serve(in io.Reader, out io.Writer) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		switch line := strings.TrimSpace(lines.Text()); line {
		case "":
		case "quit":
			fmt.Fprintln(out, "ok")
			c.quit()
			return
		default:
			fmt.Fprintln(out, c.do(line))
		}
	}
}

func (c control) do(line string) string {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "plug", "unplug":
		c.slot.set(word == "plug")
	case "touch":
		c.slot.card.Touched()
	case "fault":
		f, err := virtual.ParseFault(strings.TrimSpace(rest))
		if err != nil {
			return "error: " + err.Error()
		}
		c.slot.card.Plan(f)
	case "status":
		return c.slot.status()
	default:
		return fmt.Sprintf("error: there is no command %q", word)
	}
	return "ok"
}
