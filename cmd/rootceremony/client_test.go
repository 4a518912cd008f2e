package main

import (
	"os"
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
	for _, name := range []string{"1.root.json", "fuller/1.root.json"} {
		text, err := os.ReadFile(filepath.Join(dir, "publish", name))
		if err != nil {
			t.Fatal(err)
		}
		trusted, err := trustedmetadata.New(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		role := trusted.Root.Signed.Roles["root"]
		if trusted.Root.Signed.Version != 1 || role.Threshold != 3 || len(role.KeyIDs) != 5 {
			t.Errorf("%s: version %d, %d of %d", name, trusted.Root.Signed.Version, role.Threshold, len(role.KeyIDs))
		}
		for _, id := range role.KeyIDs {
			if key := trusted.Root.Signed.Keys[id]; key.Type != "ed25519" {
				t.Errorf("%s: key %s is %s", name, id, key.Type)
			}
		}
	}
}
