package main

import (
	"bufio"
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImports holds who may import what.
func TestImports(t *testing.T) {
	deps := dependencies(t)
	for name, imports := range deps {
		if !strings.HasPrefix(name, "rootceremony/") {
			continue
		}
		for _, to := range imports {
			if reason := forbidden(name, to); reason != "" {
				t.Errorf("%s imports %s: %s", name, to, reason)
			}
		}
		for _, word := range []string{"util", "common", "types", "helpers", "models"} {
			if name[strings.LastIndex(name, "/")+1:] == word {
				t.Errorf("package %s says nothing by its name", name)
			}
		}
	}
	reached := reachable(deps, "rootceremony/cmd/rootverify")
	for _, never := range []string{"net/http", "os/exec", "rootceremony/ui", "rootceremony/keys/secret", "rootceremony/keys/session", "rootceremony/keys/yubikey", "github.com/charmbracelet/bubbletea"} {
		if slices.Contains(reached, never) {
			t.Errorf("rootverify reaches %s", never)
		}
	}
}

// forbidden says why one package may not import the other; "" if it may.
func forbidden(from, to string) string {
	charm := strings.HasPrefix(to, "github.com/charmbracelet/")
	if charm && !under(from, "rootceremony/ui") {
		return "Charm belongs to ui"
	}
	if strings.HasPrefix(to, "github.com/go-piv/") && from != "rootceremony/keys/yubikey" {
		return "piv-go belongs to keys/yubikey"
	}
	if !strings.HasPrefix(to, "rootceremony/") {
		return ""
	}
	if below, above := floor(to), floor(from); below > above || below == above && above > 0 && above < 6 {
		return "imports point down only"
	}
	if floor(from) < 3 && floor(from) > 0 && slices.Contains([]string{"rootceremony/keys/session", "rootceremony/keys/backup", "rootceremony/keys/secret"}, to) {
		return "agreed and state are pure: no sessions, no secrets, no age"
	}
	switch {
	case from == "rootceremony/ceremony/audit" && !slices.Contains([]string{"rootceremony/ceremony/state", "rootceremony/ceremony/agreed", "rootceremony/ceremony/tuf", "rootceremony/ceremony/transcript", "rootceremony/keys", "rootceremony/keys/plainfile"}, to):
		return "audit takes no word of anything that it doesn't need"
	case from == "rootceremony/ceremony/confine":
		return "confine stands alone on golang.org/x/sys"
	case from == "rootceremony/ceremony/tuf" && to == "rootceremony/ceremony/transcript",
		from == "rootceremony/ceremony/transcript" && to == "rootceremony/ceremony/tuf":
		return "the two know nothing of each other"
	case under(from, "rootceremony/keys") && !slices.Contains([]string{"rootceremony/keys", "rootceremony/keys/plainfile", "rootceremony/keys/secret", "rootceremony/keys/session"}, to):
		return "packages of keys see only keys, plainfile, secret and session"
	case from == "rootceremony/keys":
		return "keys stands alone on the standard library"
	}
	return ""
}

// floor is where a package stands: docs/architecture.md has the picture.
func floor(name string) int {
	switch {
	case under(name, "rootceremony/cmd"), under(name, "rootceremony/ui"):
		return 6
	case slices.Contains([]string{"interview", "rehearsal", "remote"}, strings.TrimPrefix(name, "rootceremony/ceremony/")):
		return 5
	case name == "rootceremony/ceremony":
		return 4
	case slices.Contains([]string{"plan", "laptop", "prompt", "signed", "audit"}, strings.TrimPrefix(name, "rootceremony/ceremony/")):
		return 3
	case name == "rootceremony/ceremony/state", name == "rootceremony/ceremony/seen":
		return 2
	case name == "rootceremony/ceremony/agreed":
		return 1
	}
	return 0
}

func under(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }

// dependencies lists what each package that the programs reach imports.
func dependencies(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "rootceremony/...")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := map[string][]string{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		deps[fields[0]] = fields[1:]
	}
	if deps["rootceremony/cmd/rootverify"] == nil {
		t.Fatalf("%d packages, and rootverify is not among them", len(deps))
	}
	return deps
}

func reachable(deps map[string][]string, from string) []string {
	reached := []string{from}
	for i := 0; i < len(reached); i++ {
		for _, to := range deps[reached[i]] {
			if !slices.Contains(reached, to) {
				reached = append(reached, to)
			}
		}
	}
	return reached
}
