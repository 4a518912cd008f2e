package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Wrong command lines are exit code 2, and say what is wrong.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, 0, "Usage:\n    virtualyubikey"},
		{[]string{"--serial", "x"}, 2, "a serial is a number"},
		{[]string{"--firmware", "5.7"}, 2, "firmware is three numbers"},
		{[]string{"--touch", "sometimes"}, 2, "touch is auto, never, or a time"},
		{[]string{"--touch", "-1s"}, 2, "touch is auto, never, or a time"},
		{[]string{"--touch-wait", "long"}, 2, "touch-wait"},
		{[]string{"--edition", "Gold"}, 2, "an edition is FIPS or Bio"},
		{[]string{"--fault", "burn@3"}, 2, "remove@7"},
		{[]string{"more"}, 2, `there is no use for "more"`},
		{[]string{"--state", "/does/not/exist/token"}, 1, "no such file"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), c.args, strings.NewReader(""), &out, &out); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v: exit code %d\n%s", c.args, code, &out)
		}
	}
}

// started runs the program until the test ends, and returns what to write its
// commands to, its answers, and a reader that its card is to be plugged into.
func started(t *testing.T, args ...string) (in io.Writer, out *bufio.Scanner, reader net.Listener, code <-chan int) {
	t.Helper()
	reader, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"--vpcd", reader.Addr().String()}, args...), inRead, outWrite, io.Discard)
		_ = outWrite.Close()
	}()
	t.Cleanup(func() {
		cancel()
		_ = reader.Close()
		_ = inRead.Close()
	})
	return inWrite, bufio.NewScanner(outRead), reader, done
}

func ask(t *testing.T, in io.Writer, out *bufio.Scanner, command string) string {
	t.Helper()
	if _, err := io.WriteString(in, command+"\n"); err != nil {
		t.Fatal(err)
	}
	if !out.Scan() {
		t.Fatalf("%s: no answer", command)
	}
	return out.Text()
}

func TestCommands(t *testing.T) {
	in, out, reader, code := started(t, "--serial", "7", "--unplugged")
	if said := ask(t, in, out, "status"); said != "serial 7 unplugged commands 0 wrong 0" {
		t.Error(said)
	}
	if said := ask(t, in, out, "dance"); !strings.HasPrefix(said, "error: there is no command") {
		t.Error(said)
	}
	if said := ask(t, in, out, "fault x"); !strings.HasPrefix(said, "error: fault") {
		t.Error(said)
	}
	if said := ask(t, in, out, "touch"); said != "ok" {
		t.Error(said)
	}
	// The reader goes and comes back; the card is there again.
	for range 2 {
		accepted := make(chan net.Conn, 1)
		go func() {
			conn, err := reader.Accept()
			if err == nil {
				_, err = conn.Write([]byte{0, 1, 4}) // asks for the ATR
			}
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}()
		if said := ask(t, in, out, "plug"); said != "ok" {
			t.Error(said)
		}
		if said := ask(t, in, out, "status"); said != "serial 7 plugged commands 0 wrong 0" {
			t.Error(said)
		}
		conn := <-accepted
		atr := make([]byte, 25)
		if _, err := io.ReadFull(conn, atr); err != nil || atr[1] != 23 || atr[2] != 0x3b {
			t.Errorf("ATR % x, %v", atr, err)
		}
		_ = conn.Close()
		for end := time.Now().Add(2 * time.Minute); ask(t, in, out, "status") != "serial 7 unplugged commands 0 wrong 0"; {
			if time.Now().After(end) {
				t.Fatal("it does not notice that the reader went")
			}
		}
	}
	if said := ask(t, in, out, "unplug"); said != "ok" {
		t.Error(said)
	}
	if said := ask(t, in, out, "quit"); said != "ok" {
		t.Error(said)
	}
	if c := <-code; c != 0 {
		t.Errorf("exit code %d", c)
	}
}

// The attestation root is written, shared by the tokens of a folder, and never
// overwritten.
func TestAttestationRoot(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root.pem")
	var first []byte
	for i := range 2 {
		in, out, _, code := started(t, "--unplugged", "--state", filepath.Join(dir, fmt.Sprint(i)), "--attestation-root", path)
		ask(t, in, out, "quit")
		if c := <-code; c != 0 {
			t.Fatalf("exit code %d", c)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		block, rest := pem.Decode(text)
		if block == nil || len(rest) > 0 {
			t.Fatalf("%s", text)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Error(err)
		}
		if first == nil {
			first = text
		} else if !bytes.Equal(first, text) {
			t.Error("the second token of the folder has another root")
		}
	}
	var out bytes.Buffer
	code := run(t.Context(), []string{"--unplugged", "--attestation-root", path}, strings.NewReader(""), &out, &out)
	if code != 1 || !strings.Contains(out.String(), "is not overwritten") {
		t.Errorf("exit code %d: %s", code, &out)
	}
	if text, err := os.ReadFile(path); err != nil || !bytes.Equal(text, first) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestControlSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "vy-") // a short path
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	in, out, _, code := started(t, "--serial", "9", "--unplugged", "--control", path)
	ask(t, in, out, "status") // it runs
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewScanner(conn)
	if said := ask(t, conn, answers, "status"); said != "serial 9 unplugged commands 0 wrong 0" {
		t.Error(said)
	}
	if said := ask(t, conn, answers, "quit"); said != "ok" {
		t.Error(said)
	}
	if c := <-code; c != 0 {
		t.Errorf("exit code %d", c)
	}
}
