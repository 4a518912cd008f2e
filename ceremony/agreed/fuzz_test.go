package agreed_test

import (
	"bytes"
	"os"
	"testing"

	"rootceremony/ceremony/agreed"
)

// FuzzParse: what is taken for an agreed plan is written again as it was, byte for
// byte, so that it has one digest.
func FuzzParse(f *testing.F) {
	public, err := os.ReadFile("../../docs/example/record/plan.resolved.json")
	if err != nil {
		f.Fatal(err)
	}
	private, err := os.ReadFile("../../docs/example/record/private/plan.json")
	if err != nil {
		f.Fatal(err)
	}
	if _, err := agreed.Parse(public, private); err != nil {
		f.Fatal(err)
	}
	f.Add(public, private)
	f.Add(public, []byte(nil))
	signing := example(f, targets(2, "alice", "bruno", "chen"), carrying(f, 3, ""), delegation("dev", true, "a/*"))
	f.Add(signing.JSON(), signing.PrivateJSON())
	f.Add([]byte("{}"), []byte("{}"))
	f.Fuzz(func(t *testing.T, public, private []byte) {
		if len(private) == 0 {
			private = nil
		}
		plan, err := agreed.Parse(public, private)
		if err != nil {
			return
		}
		if !bytes.Equal(plan.JSON(), public) || private != nil && !bytes.Equal(plan.PrivateJSON(), private) {
			t.Fatalf("taken, and written as\n%s\n%s", plan.JSON(), plan.PrivateJSON())
		}
	})
}
