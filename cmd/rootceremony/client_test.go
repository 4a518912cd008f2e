package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// What a rehearsal publishes is a root that a client which nobody here wrote
// begins to trust from.
func TestAnotherClientLoadsWhatIsPublished(t *testing.T) {
	dir := t.TempDir()
	if out, err := rehearse(dir).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	checkOthersAccept(t, dir, 3, 5)
}

// checkOthersAccept has rootverify and go-tuf judge what a rehearsal with more
// holders than its threshold has published.
func checkOthersAccept(t *testing.T, dir string, threshold, holders int) {
	t.Helper()
	for _, name := range []string{"1.root.json", "fuller/1.root.json"} {
		file := filepath.Join(dir, "publish", name)
		if out, err := exec.Command(program("rootverify"), "chain", "--rehearsal", file).CombinedOutput(); err != nil {
			t.Errorf("rootverify: %s: %v\n%s", name, err, out)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		trusted, err := trustedmetadata.New(text)
		if err != nil {
			t.Fatalf("go-tuf: %s: %v", name, err)
		}
		role := trusted.Root.Signed.Roles["root"]
		if trusted.Root.Signed.Version != 1 || role.Threshold != threshold || len(role.KeyIDs) != holders {
			t.Errorf("%s: version %d, %d of %d", name, trusted.Root.Signed.Version, role.Threshold, len(role.KeyIDs))
		}
		for _, id := range role.KeyIDs {
			if key := trusted.Root.Signed.Keys[id]; key.Type != "ed25519" {
				t.Errorf("%s: key %s is %s", name, id, key.Type)
			}
		}
	}
}
