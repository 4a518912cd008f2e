package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// What a rehearsal publishes is taken by tuf-js too. See docs/second-opinions.md.
func TestTUFJSLoadsWhatIsPublished(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	const scripts = "../../ceremony/tuf/testdata/second/"
	modules := filepath.Join(cache, "rootceremony", "tuf-js", "node_modules")
	if _, err := os.Stat(modules); err != nil && os.Getenv("CI") == "" {
		t.Skip("tuf-js is not installed: " + scripts + "install does it, and make test calls that")
	}
	dir := t.TempDir()
	if out, err := rehearse(dir).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	chains := map[string]map[string][][]byte{}
	for _, name := range []string{"1.root.json", "fuller/1.root.json"} {
		text, err := os.ReadFile(filepath.Join(dir, "publish", name))
		if err != nil {
			t.Fatal(err)
		}
		chains[name] = map[string][][]byte{"roots": {text}}
	}
	input, err := json.Marshal(map[string]any{"at": time.Now(), "served": chains})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", scripts+"verdicts.cjs")
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var verdicts map[string]map[string]struct {
		Taken   int
		Problem string
	}
	if err := json.Unmarshal(out, &verdicts); err != nil || len(verdicts) != 2 {
		t.Fatalf("%s: %v", out, err)
	}
	for client, list := range verdicts {
		if len(list) != len(chains) {
			t.Errorf("%s: %d verdicts", client, len(list))
		}
		for name, v := range list {
			if v.Taken != 1 || v.Problem != "" {
				t.Errorf("%s: %s: %+v", client, name, v)
			}
		}
	}
}
