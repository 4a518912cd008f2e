package backup

import (
	"slices"
	"testing"

	"rootceremony/keys"
	"rootceremony/keys/session"
)

// For up to five recipients and every quorum: each set of the people opens a
// file exactly when it has as many as the quorum.
func TestEverySubset(t *testing.T) {
	_, text := freshKey(t, keys.Ed25519)
	var people []person
	for _, name := range []string{"Bruno", "Chen", "Dana", "Emil", "Fay"} {
		people = append(people, meet(t, name, keys.RecipientX25519))
	}
	for n := 1; n <= 5; n++ {
		for k := 1; k <= n; k++ {
			files, err := seal(text, keys.BackupKey, alice, recipients(people[:n]), k)
			if err != nil {
				t.Fatal(err)
			}
			if len(files) != keys.Subsets(n, k) {
				t.Errorf("%d of %d: %d files", k, n, len(files))
			}
			for set := range 1 << n {
				var present []person
				for i, p := range people[:n] {
					if set>>i&1 == 1 {
						present = append(present, p)
					}
				}
				opened := slices.ContainsFunc(files, func(f session.SealedFile) bool {
					got, err := openFile(f, by(present))
					defer got.Wipe()
					return err == nil && string(got.Bytes()) == string(text.Bytes())
				})
				if opened != (len(present) >= k) {
					t.Errorf("quorum %d of %d, %d people: opened is %v", k, n, len(present), opened)
				}
			}
		}
	}
}
